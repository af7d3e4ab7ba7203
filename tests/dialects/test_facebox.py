"""Face box: what the contract demands, with the one picture that is on every machine."""

from __future__ import annotations

import asyncio
import base64
import io
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image

from face_server.dialects.facebox import tokens
from face_server.store.store import Store
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import NOBODY, Baidu, image, jpeg, pixels
from tests.clients.facebox_client import FaceBox, FaceBoxError, image_id, picture
from tests.portraits import another_of, portrait_of

UNKNOWN = tokens.spelled("0" * 32)
NO_FACE, BAD, NO_IMAGE, NO_TOKEN, EXISTS = 104200, 104201, 104202, 104203, 104204
NAME_TAKEN, FULL, USED, GROUP_EXISTS, NO_GROUP, WRONG = 104300, 104302, 104304, 104310, 104311, 104400


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of its own: the box is one library, and other tests have groups in it."""
    with serving(tmp_path_factory.mktemp("facebox")) as running:
        yield running


@pytest.fixture
def api(box: ServerProcess) -> Iterator[FaceBox]:
    """An empty box with the group that is there from the start."""
    api = FaceBox(box.url)
    api.initialise()
    for group in api.groups():
        api.delete_group(group, 1)
    api.create("default")
    yield api
    api.http.close()


@pytest.fixture(scope="module")
def portrait(astronaut: bytes) -> bytes:
    return portrait_of(astronaut)


@pytest.fixture(scope="module")
def other(portrait: bytes) -> bytes:
    """The same person on another picture."""
    return another_of(portrait)


@pytest.fixture(scope="module")
def third(portrait: bytes) -> bytes:
    return jpeg(pixels(portrait)[:, ::-1], 90)


def refusal(call: Callable[[], Any]) -> FaceBoxError:
    with pytest.raises(FaceBoxError) as caught:
        call()
    assert caught.value.status == 400
    assert caught.value.answer.keys() == {"code", "msg", "data"}
    assert caught.value.answer["data"] == {}
    return caught.value


def code(call: Callable[[], Any]) -> int:
    return refusal(call).code


def files(box: ServerProcess) -> int:
    """Stored pictures; they go right after the answer at the latest."""
    return len(list((box.data_dir / "pictures").glob("??/*")))


def rows(box: ServerProcess) -> tuple[int, int, int]:
    with sqlite3.connect(f"file:{box.data_dir}/faces.db?mode=ro", uri=True) as connection:
        found = (connection.execute(f"SELECT count(*) FROM {name}") for name in ("pictures", "faces", "users"))
        pictures, faces, users = (one.fetchone()[0] for one in found)
    return pictures, faces, users


# Pictures, faces and groups are three things


def test_picture_face_and_group(api: FaceBox, box: ServerProcess, portrait: bytes) -> None:
    made = api.register(portrait, description="8.png", name="安", gender="female")
    token, name = made["faceToken"], made["imageId"]
    assert name == image_id(portrait)
    assert len(name) == len(token) == 24
    face = api.face(token)
    assert (face["imageId"], face["description"], face["name"], face["gender"]) == (name, "8.png", "安", "female")
    assert face["rect"] == made["rect"]
    assert face["faceGroupList"] == []
    assert api.original(name) == (portrait, [token])
    assert files(box) == 2
    assert rows(box) == (1, 0, 0)
    assert api.bind(token, "default") == {"totalCnt": 1, "successCnt": 1, "failCnt": 0, "failInfo": []}
    assert api.face(token)["faceGroupList"] == [{"groupId": "default"}]
    api.delete_face(token)
    assert api.groups()["default"]["groupFaces"] == 0
    assert api.original(name) == (portrait, [])
    (row,) = api.pages()
    assert (row["id"], row["faceToken"], row["description"]) == (made["id"], "", "8.png")
    assert files(box) == 1
    assert rows(box) == (1, 0, 0)
    for gone in (lambda: api.face(token), lambda: api.delete_face(token), lambda: api.bind(token, "default")):
        assert code(gone) == NO_TOKEN
    api.delete_image(name)
    assert list(api.pages()) == []
    assert code(lambda: api.original(name)) == code(lambda: api.delete_image(name)) == NO_IMAGE
    assert files(box) == 0


def test_deleting_the_picture_deletes_all(api: FaceBox, box: ServerProcess, portrait: bytes) -> None:
    made = api.register(portrait)
    api.bind(made["faceToken"], "default")
    api.delete_image(made["imageId"])
    assert code(lambda: api.face(made["faceToken"])) == NO_TOKEN
    assert api.tops(portrait, "default") == []
    assert rows(box) == (0, 0, 0)
    assert files(box) == 0


def test_the_cut_out(api: FaceBox, portrait: bytes) -> None:
    """A colour JPEG of the box and a fifth of its sides more, which is also the picture of a result."""
    grey = cv2.imencode(".png", cv2.cvtColor(pixels(portrait), cv2.COLOR_BGR2GRAY))[1].tobytes()
    made = api.register(grey)
    api.bind(made["faceToken"], "default")
    cut = api.face(made["faceToken"])["image"]
    seen = Image.open(io.BytesIO(base64.b64decode(cut)))
    rect = made["rect"]
    height, width = pixels(portrait).shape[:2]
    wide, high = rect["right"] - rect["left"], rect["bottom"] - rect["top"]
    right, left = min(rect["right"] + 0.2 * wide, width), max(rect["left"] - 0.2 * wide, 0)
    bottom, top = min(rect["bottom"] + 0.2 * high, height), max(rect["top"] - 0.2 * high, 0)
    assert (seen.format, seen.mode) == ("JPEG", "RGB")
    assert abs(seen.width - (right - left)) <= 2
    assert abs(seen.height - (bottom - top)) <= 2
    assert api.tops(portrait, "default")[0]["imageUrl"] == cut


def test_a_picture_comes_once(api: FaceBox, box: ServerProcess, portrait: bytes, other: bytes) -> None:
    made = api.register(portrait, description="first")
    assert code(lambda: api.register(portrait)) == EXISTS
    assert code(lambda: api.register(other, imageMd5=made["imageId"])) == EXISTS
    assert code(lambda: api.register(b"no picture", imageMd5=made["imageId"])) == EXISTS
    assert files(box) == 2
    # Under a name of its own the same picture may come again.
    own = api.register(portrait, imageMd5="my-own-name-of-32-bytes-exactly!")
    assert own["imageId"] == "my-own-name-of-32-bytes-exactly!"
    assert own["faceToken"] != made["faceToken"]
    # Without its face a picture can be registered again, and its row stays.
    api.delete_face(made["faceToken"])
    again = api.register(other, imageMd5=made["imageId"], description="second")
    assert again["id"] == made["id"]
    assert again["faceToken"] != made["faceToken"]
    assert api.original(made["imageId"]) == (other, [again["faceToken"]])
    assert [row["description"] for row in api.pages()] == ["second", ""]
    assert files(box) == 4
    api.delete_image(own["imageId"])
    last = api.register(portrait, imageMd5="later")
    assert last["id"] > own["id"]  # a number is never used again


def test_pages(api: FaceBox, portrait: bytes) -> None:
    made = [api.register(portrait, imageMd5=f"p{n}", description=str(n)) for n in range(5)]
    assert [row["id"] for row in api.pages(2)] == [one["id"] for one in made]
    found = api.call("GET", "/faces", pageOffset=3, pageSize=5000)
    assert found["totalFaces"] == 5
    assert [row["description"] for row in found["face"]] == ["3", "4"]
    for row in found["face"]:
        assert row["imageId"] == row["imgId"] == row["imgeId"] == row["imgeld"]
    assert api.call("GET", "/faces", pageOffset=2**40) == {"totalFaces": 5, "face": []}
    # The faces of a group are in the order of their pictures, whatever the order in which they were bound.
    for one in (made[4], made[1], made[2]):
        api.bind(one["faceToken"], "default")
    found = api.call("GET", "/faceGroups/default", pageOffset=1, pageSize=1)
    assert (found["totalFaces"], [row["id"] for row in found["face"]]) == (3, [made[2]["id"]])
    assert api.members("default") == [made[n]["faceToken"] for n in (1, 2, 4)]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda p: jpeg(cv2.GaussianBlur(p, (0, 0), 9)), "BAD_QUALITY:blur"),
        (lambda p: jpeg((p * 0.2 + 100).astype(np.uint8), 98), "BAD_QUALITY:contrast"),
        (lambda p: jpeg(cv2.resize(p, (99, 110))), "BAD_QUALITY:pixels"),
        (lambda p: jpeg(np.zeros((2161, 2161, 3), np.uint8)), "BAD_QUALITY:pixels"),
        (lambda p: cv2.imencode(".webp", p)[1].tobytes(), "BAD_QUALITY:format"),
        (lambda p: jpeg(p)[:2000], "BAD_QUALITY:format"),
        (lambda p: b"no picture", "BAD_QUALITY:format"),
        (lambda p: jpeg(p) + bytes(4 << 20), "BAD_QUALITY:size"),
        (lambda p: NOBODY, "FACE_NOT_FOUND"),
    ],
)
def test_a_picture_that_is_refused_leaves_nothing(
    api: FaceBox, box: ServerProcess, portrait: bytes, changed: Callable[[Any], bytes], said: str
) -> None:
    data = changed(pixels(portrait))
    refused = refusal(lambda: api.register(data, imageMd5="refused"))
    assert refused.text == said
    assert refused.code == (NO_FACE if said == "FACE_NOT_FOUND" else BAD)
    assert list(api.pages()) == []
    assert files(box) == 0


def test_a_turned_head_is_named(api: FaceBox, portrait: bytes) -> None:
    values = pixels(portrait)
    height, width = values.shape[:2]
    turned = cv2.warpAffine(values, cv2.getRotationMatrix2D((width / 2, height / 2), 40, 0.8), (width, height))
    assert "angle" in refusal(lambda: api.register(jpeg(turned))).text.removeprefix("BAD_QUALITY:").split(",")


def test_spellings_of_a_picture(api: FaceBox, portrait: bytes) -> None:
    plain = base64.b64encode(portrait).decode()
    for n, text in enumerate((plain, f"data:image/png;base64,{plain}", f"data:;base64,{plain}")):
        api.call("POST", "/faces", {"image": text, "imageMd5": f"p{n}"})
    assert len(list(api.pages())) == 3


def test_bmp_and_png_come_back_as_they_were(api: FaceBox, portrait: bytes) -> None:
    for suffix in (".png", ".bmp"):
        data = cv2.imencode(suffix, pixels(portrait))[1].tobytes()
        assert api.original(api.register(data)["imageId"])[0] == data


# Groups


def test_groups(api: FaceBox) -> None:
    api.create("1", "员工", groupType="白名单", groupScore="75")
    api.create("二", "", groupScore=0)
    listed = list(api.groups().values())
    assert listed == [
        {"groupId": "default", "groupType": "", "groupScore": 80, "groupName": "", "groupFaces": 0},
        {"groupId": "1", "groupType": "白名单", "groupScore": 75, "groupName": "员工", "groupFaces": 0},
        {"groupId": "二", "groupType": "", "groupScore": 0, "groupName": "", "groupFaces": 0},
    ]
    assert code(lambda: api.create("1", "x")) == GROUP_EXISTS
    assert code(lambda: api.create("3", "员工")) == NAME_TAKEN
    assert code(lambda: api.change("二", groupName="员工")) == NAME_TAKEN
    assert code(lambda: api.change("3", groupName="x")) == NO_GROUP
    api.change("1", groupName="员工")  # its own name
    api.change("二", groupName="others")
    api.change("1", groupScore=90)
    assert {**listed[1], "groupScore": 90} == api.groups()["1"]
    api.change("1", groupName="", groupType="")
    api.create("3", "员工")
    assert (api.groups()["1"]["groupName"], api.groups()["1"]["groupType"]) == ("", "")
    assert api.members("二") == []
    assert code(lambda: api.members("x" * 33)) == NO_GROUP


def test_64_groups_are_the_most(api: FaceBox) -> None:
    for n in range(63):
        api.create(f"g{n}")
    assert code(lambda: api.create("one more")) == FULL
    assert code(lambda: api.create("g1")) == GROUP_EXISTS
    assert len(api.groups()) == 64


def test_binding_and_unbinding_tell_of_each_group(api: FaceBox, portrait: bytes) -> None:
    token = api.register(portrait)["faceToken"]
    api.create("1")
    told = api.bind(token, "default", "123", "1")
    unknown = {"groupId": "123", "errorMsg": "GROUP_ID_NOT_EXIST"}
    assert told == {"totalCnt": 3, "successCnt": 2, "failCnt": 1, "failInfo": [unknown]}
    assert api.bind(token, "1")["successCnt"] == 1  # again
    assert [group["groupId"] for group in api.face(token)["faceGroupList"]] == ["default", "1"]
    assert {name: group["groupFaces"] for name, group in api.groups().items()} == {"default": 1, "1": 1}
    assert api.unbind(token, "1", "123")["failInfo"] == [unknown]
    told = api.unbind(token, "1", "default")
    assert told["failInfo"] == [{"groupId": "1", "errorMsg": "FACE_NOT_BOUND"}]
    assert (told["totalCnt"], told["successCnt"], told["failCnt"]) == (2, 1, 1)
    assert api.face(token)["faceGroupList"] == []
    assert code(lambda: api.bind(UNKNOWN, "default")) == code(lambda: api.unbind(UNKNOWN, "default")) == NO_TOKEN


def test_delete_without_a_body(api: FaceBox, portrait: bytes) -> None:
    token = api.register(portrait)["faceToken"]
    api.create("1")
    api.bind(token, "default", "1")
    path = f"/faceGroups/unbind/{token}"
    assert api.call("DELETE", path, faceGroupList="1,default,x")["successCnt"] == 2
    assert code(lambda: api.call("DELETE", path, {"faceGroupList": "1,default"})) == WRONG  # a text is no list
    api.call("DELETE", "/faceGroups/1", {}, deleteAllFace=4)
    assert code(lambda: api.call("DELETE", "/faceGroups/default")) == WRONG
    assert code(lambda: api.call("DELETE", "/faceGroups/default", {"deleteAllFace": 5}, deleteAllFace=1)) == WRONG
    assert list(api.groups()) == ["default"]


@pytest.mark.parametrize(
    ("way", "both", "only", "groups"),
    [
        (1, ("face", ["default"]), ("face", []), ["default"]),
        (2, ("picture", []), ("picture", []), ["default"]),
        (3, ("face", ["default"]), ("picture", []), ["default", "1"]),
        (4, ("face", ["default"]), ("nothing", []), ["default"]),
    ],
)
def test_four_ways_of_deleting_a_group(
    api: FaceBox,
    box: ServerProcess,
    portrait: bytes,
    way: int,
    both: tuple[str, list[str]],
    only: tuple[str, list[str]],
    groups: list[str],
) -> None:
    """Of a face that is bound to this group and another, and of one that is bound only here."""
    api.create("1")
    faces = [api.register(portrait, imageMd5=f"p{n}") for n in range(3)]
    api.bind(faces[0]["faceToken"], "default", "1")
    api.bind(faces[1]["faceToken"], "1")
    api.delete_group("1", way)
    assert list(api.groups()) == groups
    left, kept = {row["imageId"]: row for row in api.pages()}, 0
    for made, (what, bound) in zip(faces, (both, only, ("face", [])), strict=True):
        token, row = made["faceToken"], left.get(made["imageId"])
        assert (row is not None) == (what != "nothing")
        assert row is None or row["faceToken"] == (token if what == "face" else "")
        if what == "face":
            assert [group["groupId"] for group in api.face(token)["faceGroupList"]] == bound
        else:
            assert code(lambda token=token: api.face(token)) == NO_TOKEN  # type: ignore[misc]
        kept += {"face": 2, "picture": 1, "nothing": 0}[what]
    assert files(box) == kept
    if way == 3:
        assert api.members("1") == []
    else:
        assert code(lambda: api.members("1")) == NO_GROUP
        assert code(lambda: api.delete_group("1", way)) == NO_GROUP
        api.create("1")  # the id is free again
    found = api.tops(portrait, *api.groups())
    assert [top["faceToken"] for top in found] == ([faces[0]["faceToken"]] if way != 2 else [])


def test_a_group_in_use_is_not_deleted(api: FaceBox, box: ServerProcess) -> None:
    api.create("busy")
    job = ("export", '{"app": "default", "group": "busy"}', "running", 0, time.time(), time.time(), "somebody", "[]")
    with sqlite3.connect(box.data_dir / "faces.db", timeout=30) as connection:
        names = "kind, what, state, done, created, starts, author, columns"
        connection.execute(f"INSERT INTO jobs ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", job)
    assert code(lambda: api.delete_group("busy", 1)) == USED
    assert "busy" in api.groups()
    with sqlite3.connect(box.data_dir / "faces.db", timeout=30) as connection:
        connection.execute("DELETE FROM jobs")
    api.delete_group("busy", 1)


def test_initialising_keeps_the_groups(api: FaceBox, box: ServerProcess, portrait: bytes) -> None:
    api.create("1", "name")
    for n in range(3):
        api.bind(api.register(portrait, imageMd5=f"p{n}")["faceToken"], "default", "1")
    api.initialise()
    assert list(api.pages()) == []
    assert {name: group["groupFaces"] for name, group in api.groups().items()} == {"default": 0, "1": 0}
    assert api.groups()["1"]["groupName"] == "name"
    assert rows(box) == (0, 0, 0)
    assert files(box) == 0
    assert api.tops(portrait, "default", "1") == []


# Looking


def test_compare(api: FaceBox, portrait: bytes, other: bytes) -> None:
    found = api.compare(portrait, portrait)
    assert found["compareScore"] == 100
    assert found["detectionResult1"] == found["detectionResult2"]
    assert "livenessScore" not in found["detectionResult1"]
    found = api.compare(portrait, other, livenessEnabled="true")
    assert 50 < found["compareScore"] < 100
    assert {0 <= found[f"detectionResult{n}"]["livenessScore"] <= 100 for n in (1, 2)} == {True}
    assert code(lambda: api.compare(portrait, NOBODY)) == NO_FACE
    small = jpeg(cv2.resize(pixels(portrait), (80, 90)))
    assert api.compare(small, portrait)["compareScore"] > 50  # the smallest size is for registering only
    for n, (one, two) in enumerate(((b"no picture", portrait), (portrait, jpeg(np.zeros((9, 4097, 3), np.uint8)))), 1):
        assert refusal(lambda one=one, two=two: api.compare(one, two)).text == f"PARAM_ERROR:image{n}"  # type: ignore[misc]


def test_blur_grows_with_the_blur(api: FaceBox, portrait: bytes) -> None:
    blurred = jpeg(cv2.GaussianBlur(pixels(portrait), (0, 0), 9))
    sharp, soft = (api.compare(portrait, blurred)[f"detectionResult{n}"] for n in (1, 2))
    assert sharp["blurness"] == sharp["blurriness"] < 20
    assert soft["blurness"] == soft["blurriness"] > 80
    assert api.search(portrait, "default")["detectionResult"]["quality"] > 0.5
    assert api.search(blurred, "default")["detectionResult"]["quality"] < 0.2


def test_search(api: FaceBox, portrait: bytes, other: bytes) -> None:
    api.create("1")
    first = api.register(portrait, description="3.png")
    second = api.register(other)
    api.bind(first["faceToken"], "default", "1")
    api.bind(second["faceToken"], "1")
    assert api.tops(portrait, "default")[0] == {
        "group": [{"groupId": "default"}, {"groupId": "1"}],
        "searchScore": pytest.approx(100, abs=0.01),
        "faceToken": first["faceToken"],
        "description": "3.png",
        "imageUrl": api.face(first["faceToken"])["image"],
    }
    api.change("1", groupScore=0)
    found = api.tops(portrait, "default", "1", "1")
    assert [top["faceToken"] for top in found] == [first["faceToken"], second["faceToken"]]
    assert found[1]["group"] == [{"groupId": "1"}]
    assert [top["faceToken"] for top in api.tops(portrait, "1", topN=1)] == [first["faceToken"]]
    assert code(lambda: api.search(portrait, "default", "none")) == NO_GROUP
    assert code(lambda: api.search(NOBODY, "default")) == NO_FACE
    assert refusal(lambda: api.search(b"no picture", "default")).text == "PARAM_ERROR:image"


def test_the_threshold_is_that_of_each_group(api: FaceBox, portrait: bytes, other: bytes, third: bytes) -> None:
    """Many good faces in a strict group do not hide one in a lenient group."""
    api.create("strict", groupScore=100)
    api.create("lenient", groupScore=10)
    for n in range(12):
        api.bind(api.register(third, imageMd5=f"p{n}")["faceToken"], "strict")
    token = api.register(other)["faceToken"]
    api.bind(token, "lenient")
    assert [top["faceToken"] for top in api.tops(portrait, "strict", "lenient")] == [token]
    score = api.tops(portrait, "lenient")[0]["searchScore"]
    api.change("lenient", groupScore=int(score))
    assert api.tops(portrait, "lenient")
    api.change("lenient", groupScore=int(score) + 1)
    assert api.tops(portrait, "lenient") == []
    api.change("strict", groupScore=0)
    assert len({top["faceToken"] for top in api.tops(portrait, "strict", "lenient")}) == 5


def test_a_face_of_many_groups_comes_once(api: FaceBox, portrait: bytes, other: bytes) -> None:
    names = [f"g{n}" for n in range(20)]
    for name in names:
        api.create(name, groupScore=1)
    often, once = api.register(portrait)["faceToken"], api.register(other)["faceToken"]
    api.bind(often, *names)
    api.bind(once, "g7")
    found = api.tops(portrait, *names)
    assert [top["faceToken"] for top in found] == [often, once]
    assert len(found[0]["group"]) == 20


def test_the_feature_is_one_that_other_dialects_read(api: FaceBox, box: ServerProcess, portrait: bytes) -> None:
    feature = api.search(portrait, "default", featureUpload=True)["detectionResult"]["feature"]
    sent = {"app_id": "a", "app_secret": "b", "featureA": feature, "imgB": picture(portrait)}
    answer = httpx.post(f"{box.url}/staticdb/search/compare", json=sent).json()
    assert answer["score"] == pytest.approx(1, abs=1e-4)
    assert "feature" not in api.search(portrait, "default")["detectionResult"]


# One library under all dialects


def identified(baidu: Baidu, data: bytes, groups: str) -> list[str]:
    body = {**image(data), "group_id_list": groups}
    answer = baidu("face/identify", body)
    return [user["user_id"] for user in answer.result["user_list"]] if answer.code == 0 else []


def test_a_face_of_the_box_is_a_user_elsewhere(api: FaceBox, box: ServerProcess, portrait: bytes) -> None:
    baidu = Baidu(box.url, "default")
    api.create("G1")
    token = api.register(portrait, name="Ann")["faceToken"]
    assert identified(baidu, portrait, "G1") == []  # not bound yet
    api.bind(token, "G1")
    (user,) = baidu("face/identify", {**image(portrait), "group_id_list": "G1"}).result["user_list"]
    assert (user["user_id"], user["user_info"]) == (token, "Ann")
    # There it can be copied and deleted; the picture stays.
    baidu("group/add", group_id="G2")
    assert baidu("user/copy", user_id=token, src_group_id="G1", dst_group_id="G2").code == 0
    assert [group["groupId"] for group in api.face(token)["faceGroupList"]] == ["G1", "G2"]
    (face,) = baidu("face/list", group_id="G1", user_id=token).result["face_list"]
    assert tokens.spelled(face["face_token"]) == token
    seen = baidu("face/detect", image=face["face_token"], image_type="FACE_TOKEN", face_field="quality")
    assert seen.code == 0  # from the original, which is not the face's to delete
    assert baidu("user/delete", user_id=token, group_id="G1").code == 0
    assert baidu("group/delete", group_id="G2").code == 0
    assert api.face(token)["faceGroupList"] == []
    assert api.original(image_id(portrait)) == (portrait, [token])
    assert api.bind(token, "G1")["successCnt"] == 1
    api.unbind(token, "G1")
    assert identified(baidu, portrait, "G1") == []


def test_a_user_of_elsewhere_is_a_face_in_the_box(
    api: FaceBox, box: ServerProcess, portrait: bytes, other: bytes
) -> None:
    baidu = Baidu(box.url, "default")
    for user, data in (("bob", portrait), ("bob", other), ("eve", portrait)):
        group = "theirs" if user == "bob" else "more"
        answer = baidu("face/add", group_id=group, user_id=user, user_info=f"I am {user}", **image(data))
        assert answer.code == 0
    assert api.groups()["theirs"] == {
        "groupId": "theirs", "groupType": "", "groupScore": 80, "groupName": "", "groupFaces": 2
    }  # fmt: skip
    (top,) = api.tops(portrait, "theirs")
    token = top["faceToken"]
    assert len(token) == 24
    # The same picture of two groups is one face.
    assert top["group"] == [{"groupId": "theirs"}, {"groupId": "more"}]
    face = api.face(token)
    assert (face["imageId"], face["description"], face["name"], face["gender"]) == ("", "", "I am bob", "")
    assert base64.b64decode(face["image"])[:2] == b"\xff\xd8"
    assert face["rect"]["left"] < face["rect"]["right"]
    assert list(api.pages()) == []  # of which the box has no picture
    assert token in api.members("theirs")
    assert api.bind(token, "default")["successCnt"] == 1
    assert identified(baidu, portrait, "default") == ["bob"]
    api.delete_face(token)
    assert api.groups()["default"]["groupFaces"] == api.groups()["more"]["groupFaces"] == 0
    (left,) = baidu("face/list", group_id="theirs", user_id="bob").result["face_list"]
    api.delete_group("theirs", 4)
    assert code(lambda: api.face(tokens.spelled(left["face_token"]))) == NO_TOKEN


def test_spelling_of_tokens() -> None:
    for _ in range(50):
        token = tokens.new()
        spelled = tokens.spelled(token)
        assert len(spelled) == 24
        assert spelled.replace("_", "a").isalnum()
        assert tokens.read(spelled) == token
    for text in ("", "x", "人" * 24, "=" * 24, "A" * 23 + "B", "0" * 32):
        assert tokens.read(text) == text


# What must hold whatever comes


def test_ids_in_paths(api: FaceBox, portrait: bytes) -> None:
    api.create("名 字?#%&+")
    token = api.register(portrait, imageMd5="a+b c%2F?&#=")["faceToken"]
    assert api.original("a+b c%2F?&#=") == (portrait, [token])
    assert api.bind(token, "名 字?#%&+")["successCnt"] == 1
    assert api.members("名 字?#%&+") == [token]
    # '=' may come as it is, and a slash is in no id.
    assert code(lambda: api.original("a/b")) == code(lambda: api.delete_image("a/b")) == NO_IMAGE
    assert code(lambda: api.face("a/b")) == code(lambda: api.delete_face("a/b")) == NO_TOKEN
    assert code(lambda: api.members("a/b")) == code(lambda: api.delete_group("a/b", 1)) == NO_GROUP
    assert code(lambda: api.face("\0")) == NO_TOKEN
    assert code(lambda: api.face("x" * 5000)) == NO_TOKEN
    made = api.register(portrait)
    assert api.http.get(f"/faces/image/{made['imageId']}").json()["data"]["faceToken"] == [made["faceToken"]]
    for n, name in enumerate(("facesLib", "image", "binding", "unbind", "faceToken")):
        api.create(name)
        assert api.members(name) == [], n
        api.delete_group(name, 1)
    assert len(list(api.pages())) == 2


def test_the_same_picture_at_once(api: FaceBox, box: ServerProcess, portrait: bytes) -> None:
    def register(_: int) -> int:
        try:
            return int(api.register(portrait)["id"])
        except FaceBoxError as error:
            return error.code

    with ThreadPoolExecutor(6) as pool:
        answers = sorted(pool.map(register, range(6)))
    assert answers[1:] == [EXISTS] * 5
    assert files(box) == 2


def test_what_was_answered_survives_a_kill(tmp_path: Path, portrait: bytes) -> None:
    """And the first group, which is there from the start, is an ordinary one: deleted, it does not come again."""
    server = ServerProcess(tmp_path).start()
    api = FaceBox(server.url)
    assert api.tops(portrait, "default") == []
    assert list(api.groups()) == ["default"]
    kept, ended, erased = (api.register(portrait, imageMd5=name, name=name)["faceToken"] for name in "abc")
    api.create("G", groupScore=70)
    api.create("H")
    for token in (kept, ended, erased):
        api.bind(token, "G", "H")
    api.delete_face(ended)
    api.delete_image("c")
    assert api.tops(portrait, "G")
    api.delete_group("default", 4)
    api.unbind(kept, "H")
    server.kill()
    with serving(tmp_path) as again:
        api = FaceBox(again.url)
        assert [(row["imageId"], row["faceToken"]) for row in api.pages()] == [("a", kept), ("b", "")]
        assert api.original("a") == (portrait, [kept])
        assert api.original("b") == (portrait, [])
        assert api.face(kept)["faceGroupList"] == [{"groupId": "G"}]
        assert [top["faceToken"] for top in api.tops(portrait, "G")] == [kept]
        assert {name: group["groupFaces"] for name, group in api.groups().items()} == {"G": 1, "H": 0}
        assert api.groups()["G"]["groupScore"] == 70
        assert files(again) == 3


def test_every_stored_picture_is_named_by_a_row(api: FaceBox, box: ServerProcess, portrait: bytes) -> None:
    """What no row names is swept away."""

    async def named() -> set[str]:
        store = Store(box.data_dir / "faces.db")
        await store.open()
        try:
            return await store.picture_keys()
        finally:
            await store.close()

    made = [api.register(portrait, imageMd5=f"p{n}") for n in range(3)]
    api.bind(made[0]["faceToken"], "default")
    api.delete_face(made[1]["faceToken"])
    stored = {path.name for path in (box.data_dir / "pictures").glob("??/*")}
    assert len(stored) == 5
    assert asyncio.run(named()) - {""} == stored


def test_a_template_of_another_model_is_made_anew(api: FaceBox, box: ServerProcess, portrait: bytes) -> None:
    token = api.register(portrait)["faceToken"]
    with sqlite3.connect(box.data_dir / "faces.db", timeout=30) as connection:
        connection.execute("UPDATE pictures SET embedding_id = 'older', template = zeroblob(length(template))")
    api.bind(token, "default")
    assert [round(top["searchScore"]) for top in api.tops(portrait, "default")] == [100]


def test_nothing_is_stored_where_the_operator_keeps_no_pictures(tmp_path: Path, portrait: bytes) -> None:
    with serving(tmp_path, store_pictures="none") as server:
        api = FaceBox(server.url)
        made = api.register(portrait)
        api.bind(made["faceToken"], "default")
        assert api.original(made["imageId"]) == (b"", [made["faceToken"]])
        assert api.face(made["faceToken"])["image"] == ""
        assert api.tops(portrait, "default")[0]["imageUrl"] == ""
        assert files(server) == 0
