"""What the library does at the wire: groups, users, faces, tokens; and that a refused request leaves nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest

from scripts.load.server import ServerProcess
from tests.baidu_client import NOBODY, Baidu, image, jpeg, pixels, text, token, variant

_apps = itertools.count()


@pytest.fixture
def api(server: ServerProcess) -> Baidu:
    """Each test has a library of its own."""
    return Baidu(server.url, app=f"library{next(_apps)}")


@pytest.fixture(scope="module")
def faces(astronaut: bytes) -> list[bytes]:
    return [variant(astronaut, number) for number in range(5)]


def add(api: Baidu, picture: bytes, group: str = "g1", user: str = "u1", **more: object) -> str:
    return str(api("face/add", **image(picture), group_id=group, user_id=user, **more).result["face_token"])


def tokens(api: Baidu, group: str = "g1", user: str = "u1") -> list[str]:
    return [face["face_token"] for face in api("face/list", group_id=group, user_id=user).result["face_list"]]


def found(api: Baidu, picture: bytes, groups: str = "g1", **more: object) -> list[tuple[str, str]]:
    answer = api("face/identify", **image(picture), group_id_list=groups, max_user_num=20, **more)
    if answer.code == 222207:
        return []
    return [(user["group_id"], user["user_id"]) for user in answer.result["user_list"]]


def test_group_comes_and_goes(api: Baidu) -> None:
    assert api("group/list").result == {"group_id_list": []}
    assert api("group/add", group_id="g1").result is None
    assert api("group/add", group_id="g1").code == 223101
    assert api("group/add", group_id="G1").code == 0
    assert api("group/list").result == {"group_id_list": ["g1", "G1"]}
    assert api("user/list", group_id="g1").result == {"user_id_list": []}
    assert api("group/delete", group_id="g1").result is None
    assert api("group/delete", group_id="g1").code in (223100, 223128)
    assert api("group/list").result == {"group_id_list": ["G1"]}
    assert api("group/delete", group_id="nobody").code == 223100


def test_paging_is_by_records_and_in_the_order_of_creation(api: Baidu) -> None:
    names = [f"g{number}" for number in (3, 1, 2, 5, 4)]
    for name in names:
        api("group/add", group_id=name)
    assert api("group/list").result["group_id_list"] == names
    pages = [api("group/list", start=start, length=2).result["group_id_list"] for start in (0, 2, 4, 6, 4294967295)]
    assert pages == [names[:2], names[2:4], names[4:], [], []]
    assert api.get("group/list", start="1", length="1").result["group_id_list"] == names[1:2]


def test_reads_answer_get(api: Baidu, faces: list[bytes]) -> None:
    added = add(api, faces[0], user_info="资料 & more")
    shown = api.get("face/list", group_id="g1", user_id="u1").result["face_list"]
    assert [face["face_token"] for face in shown] == [added]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", shown[0]["ctime"])
    assert api.get("user/get", group_id="@ALL", uid="u1").result["user_list"][0]["user_info"] == "资料 & more"
    assert api.get("user/list", group_id="g1").result["user_id_list"] == ["u1"]
    assert api.app in api.get("app/list").result["app_id_list"]
    assert api.get("user/list")["error_msg"] == "param[group_id] is null"


def test_app_list_needs_no_appid_and_always_has_the_default_app(server: ServerProcess) -> None:
    assert "default" in Baidu(server.url)("app/list").result["app_id_list"]


def test_adding_makes_group_and_user(api: Baidu, faces: list[bytes]) -> None:
    first = api("face/add", **image(faces[0]), group_id="g1", user_id="u1", user_info="abc").result
    assert first.keys() == {"face_token", "location"}
    assert first["location"].keys() == {"left", "top", "width", "height", "rotation"}
    second = add(api, faces[1])
    assert tokens(api) == [first["face_token"], second]
    assert api("user/get", group_id="g1", user_id="u1").result == {
        "user_list": [{"user_info": "abc", "group_id": "g1"}]
    }
    assert found(api, faces[2]) == [("g1", "u1")]


def test_user_info_is_replaced_when_given_and_kept_when_not(api: Baidu, faces: list[bytes]) -> None:
    def info() -> str:
        return str(api("user/get", group_id="g1", user_id="u1").result["user_list"][0]["user_info"])

    add(api, faces[0])
    assert info() == ""
    add(api, faces[1], user_info="one")
    add(api, faces[2], user_info=None)
    assert info() == "one"
    api("face/update", **image(faces[3]), group_id="g1", user_id="u1")
    assert info() == "one"
    api("face/update", **image(faces[3]), group_id="g1", user_id="u1", user_info="")
    assert info() == ""


def test_a_face_once_per_group(api: Baidu, faces: list[bytes]) -> None:
    added = add(api, faces[0])
    for user in ("u1", "u2"):
        assert api("face/add", **image(faces[0]), group_id="g1", user_id=user).code == 223105
        assert api("face/add", **token(added), group_id="g1", user_id=user).code == 223105
    assert api("user/list", group_id="g1").result["user_id_list"] == ["u1"]
    assert add(api, faces[0], group="g2", user="u9") == added


def test_update_replaces_all_faces_or_none(api: Baidu, faces: list[bytes]) -> None:
    place = {"group_id": "g1", "user_id": "u1"}
    assert api("face/update", **image(faces[0]), **place).code == 223100
    old = [add(api, faces[0]), add(api, faces[1])]
    other = add(api, faces[3], user="u2")
    assert api("face/update", **image(faces[0]), group_id="g1", user_id="nobody").code == 223103
    assert api("face/update", **image(NOBODY), **place).code == 222202
    assert api("face/update", **token(other), **place).code == 223105
    assert tokens(api) == old
    assert api("face/update", **image(faces[1]), **place).result["face_token"] == old[1]  # one of its own
    assert tokens(api) == [old[1]]


def test_action_types(api: Baidu, faces: list[bytes]) -> None:
    add(api, faces[0])
    added = add(api, faces[1], action_type="REPLACE")
    assert tokens(api) == [added]
    add(api, faces[2], action_type="append")
    assert len(tokens(api)) == 2
    newcomer = {"group_id": "g1", "user_id": "new"}
    assert api("face/update", **image(faces[3]), **newcomer, action_type="UPDATE").code == 223103
    assert api("face/update", **image(faces[3]), **newcomer, action_type="REPLACE").code == 0
    assert api("face/update", **image(faces[3]), group_id="nobody", user_id="u", action_type="REPLACE").code == 223100
    assert len(tokens(api, user="new")) == 1


def test_last_face_takes_its_user_with_it(api: Baidu, faces: list[bytes]) -> None:
    first, second = add(api, faces[0]), add(api, faces[1])
    place = {"group_id": "g1", "user_id": "u1"}
    assert api("face/delete", **place, face_token="0" * 32).code == 223106
    assert api("face/delete", **place, face_token=first).result is None
    assert tokens(api) == [second]
    assert api("face/delete", group_id="g1", uid="u1", face_id=second).result is None
    assert api("face/list", **place).code == 223103
    assert found(api, faces[0]) == []
    assert api("face/delete", group_id="g2", user_id="u1", face_token=first).code == 223100
    assert api("face/delete", **place, face_token=first).code == 223103


def test_copying_a_user(api: Baidu, faces: list[bytes]) -> None:
    own = [add(api, faces[0], user_info="abc"), add(api, faces[1])]
    copy = {"user_id": "u1", "src_group_id": "g1", "dst_group_id": "g2"}
    assert api("user/copy", **{**copy, "src_group_id": "g9"}).code == 223100
    assert api("user/copy", **{**copy, "user_id": "nobody"}).code == 223103
    assert api("user/copy", **copy).code == 223111
    api("group/add", group_id="g2")
    assert api("user/copy", **copy).result is None
    assert tokens(api, group="g2") == own
    assert api("user/copy", **copy).code == 223102
    infos = api("user/get", user_id="u1", group_id="@ALL").result["user_list"]
    assert infos == [{"user_info": "abc", "group_id": "g1"}, {"user_info": "abc", "group_id": "g2"}]
    assert found(api, faces[2], "g2,g1") == [("g1", "u1"), ("g2", "u1")]
    api("group/add", group_id="g3")
    add(api, faces[0], group="g3", user="other")
    assert api("user/copy", **{**copy, "dst_group_id": "g3"}).code == 223105
    assert api("user/list", group_id="g3").result["user_id_list"] == ["other"]


def test_deleting_a_user_from_one_group_or_from_all(api: Baidu, faces: list[bytes]) -> None:
    add(api, faces[0])
    add(api, faces[0], group="g2")
    add(api, faces[0], group="g3")
    assert api("user/delete", user_id="u1", group_id="g1").result is None
    assert api("user/delete", user_id="u1", group_id="g1").code == 223103
    assert api("user/delete", user_id="u1", group_id="nobody").code == 223100
    assert api("user/get", user_id="u1", group_id="g1").code == 223103
    assert api("user/delete", user_id="u1", group_id="@ALL").result is None
    assert api("user/get", user_id="u1", group_id="@ALL").code == 223103
    assert api("user/delete", user_id="u1", group_id="@ALL").code == 223103
    assert api("face/list", user_id="u1", group_id="@ALL").code == 222006


def test_apps_never_see_each_other(api: Baidu, faces: list[bytes]) -> None:
    added = add(api, faces[0])
    other = Baidu(str(api.http.base_url), app=f"{api.app}_other")
    assert other("group/list").result == {"group_id_list": []}
    assert other("face/identify", **image(faces[0]), group_id_list="g1").code == 223100
    assert other("face/detect", **token(added)).code == 222209
    assert other("user/get", user_id="u1", group_id="@ALL").code == 223103


def test_identify(api: Baidu, faces: list[bytes]) -> None:
    search = {**image(faces[2]), "group_id_list": "g1,g2"}
    assert api("face/identify", **search).code == 223100
    api("group/add", group_id="g1")
    assert api("face/identify", **search).code == 223100
    api("group/add", group_id="g2")
    assert api("face/identify", **search).code == 222207
    assert api("face/identify", **search, user_id="u1").code == 223103
    add(api, faces[0], user_info="abc")
    add(api, faces[1])
    add(api, faces[0], group="g2", user="u2")
    answer = api("face/identify", **search, max_user_num=5).result
    assert answer.keys() == {"face_token", "user_list"}
    best, second = answer["user_list"]  # a user once per group, by the best of its faces
    assert (best["group_id"], best["user_id"], best["user_info"]) == ("g1", "u1", "abc")
    assert (second["group_id"], second["user_id"], second["user_info"]) == ("g2", "u2", "")
    assert 80 <= second["score"] <= best["score"] <= 100
    assert len(api("face/identify", **search).result["user_list"]) == 1
    assert api("face/identify", **search, user_id="u2", max_user_num=5).result["user_list"] == [second]
    assert api("face/identify", **search, user_id="u9").code == 223103
    assert api("face/identify", **search, user_id=None, match_threshold=best["score"]).code == 0
    assert api("face/identify", **search, match_threshold=min(100, best["score"] + 0.01)).code in (0, 222207)
    assert api("face/identify", **{**search, "group_id_list": "g1,g9"}).code == 223100


def test_same_face_in_two_groups_is_ordered_by_name(api: Baidu, faces: list[bytes]) -> None:
    for group, user in (("b", "u1"), ("a", "u2"), ("a2", "u1")):
        add(api, faces[0], group=group, user=user)
    assert found(api, faces[0], "b,a2,a") == [("a", "u2"), ("a2", "u1"), ("b", "u1")]


def test_new_face_is_found_by_the_next_request_and_a_removed_one_is_not(api: Baidu, faces: list[bytes]) -> None:
    api("group/add", group_id="g1")
    for _ in range(3):
        assert found(api, faces[0]) == []
        added = add(api, faces[0])
        assert found(api, faces[0]) == [("g1", "u1")]
        api("face/delete", group_id="g1", user_id="u1", face_token=added)
    add(api, faces[0])
    api("group/delete", group_id="g1")
    assert api("face/identify", **image(faces[0]), group_id_list="g1").code in (223100, 223128)


def test_midentify(api: Baidu, faces: list[bytes]) -> None:
    search = {**image(faces[2]), "group_id_list": "g1"}
    assert api("face/midentify", **search).code == 223100
    add(api, faces[0], user_info="abc")
    answer = api("face/midentify", **search, max_face_num=10).result
    one = answer["face_list"][0]
    assert answer["face_num"] == len(answer["face_list"])
    assert one.keys() == {"face_token", "location", "user_list"}
    assert one["user_list"][0]["user_id"] == "u1"
    assert api("face/midentify", **search, match_threshold=100).code == 222207
    assert api("face/midentify", **{**search, **image(NOBODY)}).code == 222202


def test_statistics(api: Baidu, faces: list[bytes]) -> None:
    add(api, faces[0])
    add(api, faces[1])
    add(api, faces[2], user="u2")
    api("group/add", group_id="g2")
    counts = {"users": 2, "faces": 3}
    answer = api.send("/face-api/facehub/statgroup", f'{{"op_app_id":"{api.app}","group_id_list":"g1,g2"}}'.encode())
    assert answer["g1"] == answer.result["g1"]
    assert answer["g1"].keys() == {"user_num", "face_num", "ctime", "utime"}
    assert (answer["g1"]["user_num"], answer["g1"]["face_num"]) == (counts["users"], counts["faces"])
    assert (answer["g2"]["user_num"], answer["g2"]["face_num"]) == (0, 0)
    answer = api.send("/face-api/facehub/statapp", f'{{"op_app_id_list":"{api.app},nobody"}}'.encode())
    assert answer.result == {api.app: {"group_num": 2}, "nobody": {"group_num": 0}}
    answer = api.send("/face-api/facehub/statgroup", f'{{"op_app_id":"{api.app}","group_id_list":"g9"}}'.encode())
    assert answer.code == 223100


# Tokens


def test_same_picture_same_token_and_it_can_be_used_at_once(api: Baidu, faces: list[bytes]) -> None:
    first = api("face/detect", **image(faces[0])).result["face_list"][0]["face_token"]
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert api("face/detect", **image(faces[0])).result["face_list"][0]["face_token"] == first
    assert api("face/detect", **image(faces[1])).result["face_list"][0]["face_token"] != first
    again = api("face/detect", **token(first), face_field="quality").result["face_list"][0]
    assert again["face_token"] == first
    assert "quality" in again
    match = api("face/match", [token(first), image(faces[0])]).result
    assert match["score"] > 99
    assert [face["face_token"] for face in match["face_list"]] == [first, first]
    assert api("face/liveness", [token(first)]).result["face_list"][0]["face_token"] == first
    assert api("face/add", **token(first), group_id="g1", user_id="u1", quality_control="LOW").code == 0
    assert found(api, faces[0]) == [("g1", "u1")]
    assert api("face/identify", **token(first), group_id_list="g1").result["face_token"] == first


@pytest.mark.parametrize("path", ["face/match", "face/identify", "face/add", "face/liveness", "face/detect"])
def test_the_token_of_every_answer_can_be_sent(api: Baidu, faces: list[bytes], path: str) -> None:
    api("group/add", group_id="g1")
    add(api, faces[4], user="known")
    picture = faces[3]
    if path == "face/match":
        given = api(path, [image(picture), image(faces[4])]).result["face_list"][0]["face_token"]
    elif path == "face/liveness":
        given = api(path, [image(picture)]).result["face_list"][0]["face_token"]
    elif path == "face/add":
        given = add(api, picture)
    elif path == "face/identify":
        given = api(path, **image(picture), group_id_list="g1").result["face_token"]
    else:
        given = api(path, **image(picture), get_feature="YES").result["face_list"][0]["face_token"]
    assert api("face/detect", **token(given), face_field="landmark").result["face_list"][0]["face_token"] == given


@pytest.mark.parametrize("value", ["0" * 32, "short", "图", "'; DROP TABLE faces; --", "a" * 5000])
def test_unknown_tokens(api: Baidu, value: str) -> None:
    assert api("face/detect", **token(value)).code == 222209


def test_addresses_are_off(api: Baidu) -> None:
    assert api("face/detect", image="http://example.com/a.jpg", image_type="URL").code == 222204


# Order of checks, gates


def test_groups_and_users_are_checked_before_the_picture(api: Baidu) -> None:
    broken = {"image": "AAAA", "image_type": "BASE64"}
    assert api("face/identify", **broken, group_id_list="g1").code == 223100
    assert api("face/update", **broken, group_id="g1", user_id="u1").code == 223100
    api("group/add", group_id="g1")
    assert api("face/identify", **broken, group_id_list="g1", user_id="u1").code == 223103
    assert api("face/update", **broken, group_id="g1", user_id="u1").code == 223103
    assert api("face/identify", **broken, group_id_list="g1").code == 222203
    assert api("face/add", **broken, group_id="g1", user_id="u1").code == 222203


def test_first_picture_that_fails_decides(api: Baidu, faces: list[bytes]) -> None:
    broken = {"image": "AAAA", "image_type": "BASE64"}
    assert api("face/match", [broken, image(NOBODY)]).code == 222203
    assert api("face/match", [image(NOBODY), broken]).code == 222202
    assert api("face/match", [image(faces[0]), token("0" * 32)]).code == 222209
    assert api("face/liveness", [image(faces[0]), image(NOBODY), broken]).code == 222202


def test_quality_comes_before_duplicate(api: Baidu, faces: list[bytes]) -> None:
    dark = jpeg((pixels(faces[0]) * 0.3).astype(np.uint8))
    place = {"group_id": "g1", "user_id": "u1"}
    assert api("face/add", **image(dark), **place, quality_control="HIGH").code in (223114, 223115)
    assert api("group/list").result == {"group_id_list": []}
    added = add(api, dark)
    assert api("face/add", **image(dark), **place, quality_control="HIGH").code in (223114, 223115)
    assert api("face/add", **token(added), **place, quality_control="HIGH").code in (223114, 223115)
    assert api("face/add", **image(dark), **place).code == 223105
    blurred = jpeg(cv2.GaussianBlur(pixels(faces[0]), (0, 0), 14))
    code = api("face/identify", **image(blurred), group_id_list="g1", quality_control="HIGH").code
    assert code in (223114, 222202)


def test_templates_of_another_model_are_never_compared(api: Baidu, faces: list[bytes], server: ServerProcess) -> None:
    """What an operator sees who changes the pack over an old library: an error, not nonsense."""
    add(api, faces[0])
    with contextlib.closing(sqlite3.connect(server.data_dir / "faces.db", timeout=10)) as database, database:
        database.execute("UPDATE apps SET embedding_id = 'another' WHERE name = ?", (api.app,))
    assert api("face/identify", **image(faces[0]), group_id_list="g1").code == 222303
    assert api("face/add", **image(faces[1]), group_id="g1", user_id="u1").code == 222303
    assert api("face/add", **image(faces[1]), group_id="g2", user_id="u1").code == 222303
    assert api("face/detect", **image(faces[0])).code == 0


# What a refused request leaves behind


def pictures(folder: Path) -> int:
    return sum(1 for path in (folder / "pictures").rglob("*") if path.is_file())


def test_a_refused_request_leaves_nothing_behind(api: Baidu, faces: list[bytes], server: ServerProcess) -> None:
    add(api, faces[0])
    body = f'{{"op_app_id":"{api.app}","group_id_list":"g1"}}'.encode()
    kept = (api("group/list").result, api.send("/face-api/facehub/statgroup", body).result, pictures(server.data_dir))
    place = {"group_id": "new", "user_id": "new"}
    for refused in (
        {**image(NOBODY), **place},
        {"image": "AAAA", "image_type": "BASE64", **place},
        {**image(faces[1]), **place, "user_info": "x" * 257},
        {**image(faces[1]), **place, "quality_control": "NOPE"},
        {**token("0" * 32), **place},
        {**image(faces[0]), "group_id": "g1", "user_id": "new"},
        {"image": text(faces[1])[:-400], "image_type": "BASE64", **place},
        {"image": "http://example.com/", "image_type": "URL", **place},
    ):
        assert api("face/add", **refused).code != 0
        assert api("face/update", **refused).code != 0
    after = (api("group/list").result, api.send("/face-api/facehub/statgroup", body).result, pictures(server.data_dir))
    assert after == kept
    assert found(api, faces[1]) == [("g1", "u1")]
