"""ENN: what the contract demands, with the one picture that is on every machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from face_server.dialects.enn.codes import MESSAGES, check_result
from face_server.dialects.enn.judging import direction_of
from face_server.model import Pose
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import NOBODY, Baidu, image, jpeg, pixels, text
from tests.clients.enn_client import Enn, EnnError
from tests.portraits import another_of, portrait_of

UNKNOWN_FACE = 2**52


@pytest.fixture(scope="module")
def portrait(astronaut: bytes) -> bytes:
    return portrait_of(astronaut)


@pytest.fixture(scope="module")
def other(portrait: bytes) -> bytes:
    """The same person, not the same face."""
    return another_of(portrait)


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/cv/face/", timeout=60) as client:
        yield client


@pytest.fixture
def api(server: ServerProcess, request: pytest.FixtureRequest) -> Enn:
    """An app_id of the test's own."""
    return Enn(server.url, request.node.name[:100])


def refusal(call: Callable[[], Any]) -> dict[str, Any]:
    """The answer that a call is refused with: text and check_result are those of its code."""
    with pytest.raises(EnnError) as caught:
        call()
    answer = caught.value.answer
    assert answer["message"] == MESSAGES[answer["code"]]
    for name in ("check_result", "register_result"):
        assert answer.get(name, check_result(answer["code"])) == check_result(answer["code"])
    return answer


def code(call: Callable[[], Any]) -> int:
    return int(refusal(call)["code"])


def post(http: httpx.Client, interface: str, **sent: Any) -> dict[str, Any]:
    response = http.post(f"face_{interface}", **sent)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def recognised(api: Enn, picture: bytes) -> str:
    """Whom a registered picture shows: its template is kept with half the digits."""
    user, score = api.recognise(picture)
    assert 0.9999 < score <= 1
    return user


# The life of faces


def test_a_person_with_two_faces(api: Enn, portrait: bytes, other: bytes) -> None:
    first, second = api.register("ann", portrait), api.register("ann", other)
    assert 0 < first < second < 2**53
    assert api.faces_of("ann") == [first, second]
    assert recognised(api, portrait) == "ann"
    same, score = api.compare_with_user(other, "ann")
    assert same
    assert 0.9999 < score <= 1
    assert api.delete(first) == first
    assert api.faces_of("ann") == [second]
    assert refusal(lambda: api.delete(first)) == {"code": 40313, "message": "Delete faceid failed", "face_id": -1}
    assert api.update_without_picture(second) == second
    assert refusal(lambda: api.faces_of("ann")) == {"code": 40317, "message": MESSAGES[40317], "result": []}
    nobody = refusal(lambda: api.recognise(portrait))  # the app_id is still known
    assert (nobody["code"], nobody["check_result"], nobody["user_id"], nobody["score"]) == (40312, 0, "-1", -1)


def test_the_same_face_is_refused_with_its_number(api: Enn, portrait: bytes, other: bytes) -> None:
    first = api.register("ann", portrait)
    again = jpeg(pixels(portrait), 80)  # coded once more
    for user, picture in (("ann", portrait), ("bob", portrait), ("bob", again)):
        answer = refusal(lambda user=user, picture=picture: api.register(user, picture))  # type: ignore[misc]
        assert (answer["code"], answer["face_id"], answer["register_result"]) == (40315, first, 50)
    assert code(lambda: api.faces_of("bob")) == 40317
    second = api.register("bob", other)
    answer = refusal(lambda: api.update(second, again))
    assert (answer["code"], answer["face_id"]) == (40315, first)
    assert recognised(api, other) == "bob"


def test_the_same_face_of_the_same_person_is_seen_behind_the_one_that_changes(
    api: Enn, portrait: bytes, other: bytes
) -> None:
    first, second = api.register("ann", portrait), api.register("ann", other)
    assert refusal(lambda: api.update(first, other))["face_id"] == second
    assert refusal(lambda: api.update(second, portrait))["face_id"] == first


def test_an_update_keeps_number_and_user(api: Enn, portrait: bytes, other: bytes) -> None:
    face = api.register("ann", portrait)
    assert api.update(face, portrait) == face  # its own picture is no other face
    assert api.update(face, other) == face
    assert api.faces_of("ann") == [face]
    assert recognised(api, other) == "ann"
    assert api.register("bob", portrait) > face  # the old picture is gone


def test_a_refused_update_keeps_the_old_picture(api: Enn, portrait: bytes) -> None:
    face = api.register("ann", portrait)
    for picture, expected in ((NOBODY, 40304), (b"no picture", 40308), (b"", 40300)):
        assert code(lambda picture=picture: api.update(face, picture)) == expected  # type: ignore[misc]
    assert recognised(api, portrait) == "ann"


def test_unknown_faces(api: Enn, http: httpx.Client, portrait: bytes) -> None:
    api.register("ann", portrait)
    app = api._app_id
    for face in ("jidojasda", "0", "-1", "1.5", str(UNKNOWN_FACE), "9" * 100, "人"):
        sent = {"app_id": app, "face_id": face}
        files = {"image": ("a.jpg", portrait)}
        assert post(http, "delete", data=sent)["code"] == 40313, face
        assert post(http, "update", data=sent)["code"] == 40313, face
        assert post(http, "update", data=sent, files=files)["code"] == 40318, face


def test_many_at_once_register_one_face(api: Enn, portrait: bytes) -> None:
    pictures = [jpeg(pixels(portrait), quality) for quality in range(60, 96, 6)]

    def register(number: int) -> tuple[int, int]:
        try:
            return 200, api.register(f"user{number}", pictures[number])
        except EnnError as error:
            return error.code, error.answer["face_id"]

    with ThreadPoolExecutor(len(pictures)) as pool:
        answers = list(pool.map(register, range(len(pictures))))
    assert sorted(code for code, _ in answers) == [200, *[40315] * (len(pictures) - 1)]
    assert len({face for _, face in answers}) == 1


def test_libraries_are_separate(server: ServerProcess, portrait: bytes) -> None:
    one, two = Enn(server.url, "separate-one"), Enn(server.url, "separate-two")
    face = one.register("ann", portrait)
    assert code(lambda: two.recognise(portrait)) == 40316
    assert two.register("bob", portrait) != face
    assert code(lambda: two.delete(face)) == 40313
    assert code(lambda: two.update(face, portrait)) == 40318
    assert code(lambda: two.faces_of("ann")) == 40317
    assert code(lambda: two.compare_with_user(portrait, "ann")) == 40309
    assert (one.recognise(portrait)[0], two.recognise(portrait)[0]) == ("ann", "bob")


def test_other_dialects_see_the_same_people(server: ServerProcess, portrait: bytes, other: bytes) -> None:
    enn, baidu = Enn(server.url, "sharedEnn"), Baidu(server.url, "sharedEnn")
    face = enn.register("ann", portrait)
    found = baidu("face/identify", group_id_list="default", **image(portrait)).result["user_list"]
    assert [user["user_id"] for user in found] == ["ann"]
    assert baidu("face/add", group_id="default", user_id="bob", **image(other)).code == 0
    assert enn.recognise(other)[0] == "bob"
    assert baidu("group/delete", group_id="default").code == 0
    # An app without the group is an empty library, not an unknown one.
    assert code(lambda: enn.recognise(portrait)) == 40312
    assert code(lambda: enn.recognise(NOBODY)) == 40304
    assert code(lambda: enn.faces_of("ann")) == 40317
    assert code(lambda: enn.compare_with_user(portrait, "ann")) == 40309
    assert code(lambda: enn.delete(face)) == 40313


# Directions


@pytest.mark.parametrize(
    ("yaw", "pitch", "expected"),
    [
        (0, 0, "0"),
        (15, -15, "0"),
        (-15.1, 0, "1"),
        (15.1, 0, "2"),
        (0, -15.1, "3"),
        (0, 15.1, "4"),
        (-20, 19, "1"),
        (20, -21, "3"),
        (-16, 40, "4"),
    ],
)
def test_directions(yaw: float, pitch: float, expected: str) -> None:
    assert direction_of(Pose(yaw, pitch, 80), 15) == expected


def test_a_direction_that_is_demanded_is_checked(api: Enn, portrait: bytes) -> None:
    found: dict[object, object] = {}
    for direction in ("", 0, 1, 2, 3, 4):
        try:
            api.delete(api.register("ann", portrait, face_direction=direction))
            found[direction] = 200
        except EnnError as error:
            found[direction] = (error.code, error.answer["check_result"], error.answer["register_result"])
    refused = (40305, 40, 40)
    assert found == {"": 200, 0: 200, 1: refused, 2: refused, 3: refused, 4: refused}


# Pictures


def test_what_is_wrong_with_a_picture(api: Enn, portrait: bytes, astronaut: bytes) -> None:
    values = pixels(portrait)
    two = jpeg(np.concatenate([values, values], axis=1))
    cases = [
        (NOBODY, 40304),
        (b"BM no picture", 40308),
        (portrait + bytes(4 << 20), 40308),
        (jpeg(cv2.GaussianBlur(values, (0, 0), 9)), 40302),
        (jpeg(cv2.resize(values, None, fx=0.4, fy=0.4)), 40302),
        (jpeg((values * 0.22).astype(np.uint8)), 40301),
        (jpeg(np.clip(values.astype(np.float32) * 0.3 + 200, 0, 255).astype(np.uint8)), 40303),
    ]
    api.register("ann", portrait)
    for number, (picture, expected) in enumerate(cases):
        for call in (api.check, api.recognise, lambda p: api.register("bob", p), lambda p: api.compare(p, portrait)):
            assert code(lambda call=call, picture=picture: call(picture)) == expected, number  # type: ignore[misc]
        assert code(lambda picture=picture: api.compare(portrait, picture)) == expected, number  # type: ignore[misc]
    assert code(lambda: api.register("bob", two)) == 40306
    assert code(lambda: api.compare(portrait, two)) == 40311
    assert api.recognise(two)[0] == "ann"
    assert code(lambda: api.compare(NOBODY, b"no picture")) == 40304  # of two failures the first picture's
    assert code(lambda: api.faces_of("bob")) == 40317  # nothing is left behind


def test_a_picture_of_just_four_megabytes_is_read(api: Enn, portrait: bytes) -> None:
    limit = 4 << 20
    assert api.check(portrait + bytes(limit - len(portrait)))["code"] == 200
    assert code(lambda: api.check(portrait + bytes(limit - len(portrait) + 1))) == 40308


def test_check_lists_the_best_faces(api: Enn, portrait: bytes) -> None:
    values = pixels(portrait)
    height, width = values.shape[:2]
    two = jpeg(np.concatenate([values, cv2.GaussianBlur(values, (0, 0), 2)], axis=1))
    one, both = api.check(two), api.check(two, 100)
    assert (one["face_num"], both["face_num"]) == (2, 2)
    assert one["face_information"] == both["face_information"][:1]
    chances = [face["face_probability"] for face in both["face_information"]]
    assert chances == sorted(chances, reverse=True)
    for face in both["face_information"]:
        left, top, right, bottom = (
            int(edge) for edge in face["face_location"].replace("(", "").replace(")", "").split(",")
        )
        assert 0 <= left < right <= 2 * width
        assert 0 <= top < bottom <= height
        eyes, nose, mouth = face["landmark"][:2], face["landmark"][2], face["landmark"][3:]
        assert eyes[0]["x"] < nose["x"] < eyes[1]["x"]
        assert eyes[0]["y"] < nose["y"] < mouth[0]["y"]
    poor = refusal(lambda: api.check(jpeg(cv2.resize(values, None, fx=0.4, fy=0.4))))
    assert (poor["code"], poor["check_result"], poor["face_num"]) == (40302, 20, 1)
    assert [face["check_result"] for face in poor["face_information"]] == [20]
    none = refusal(lambda: api.check(NOBODY))
    assert (none["check_result"], none["face_num"], none["face_information"]) == (10, 0, [])


def test_compare_says_yes_or_no(api: Enn, portrait: bytes, other: bytes) -> None:
    assert api.compare(portrait, portrait) == (True, 1.0)
    same, score = api.compare(portrait, other)
    assert (type(same), 0 <= score <= 1) == (bool, True)


# Bodies


def test_every_transport(http: httpx.Client, portrait: bytes) -> None:
    name = "transports"
    ids = {"app_id": name, "user_id": "ann"}
    picture = {"image": text(portrait)}
    registered = post(http, "register", json={**ids, **picture, "face_direction": None, "more": [1]})
    assert registered["code"] == 200
    sent: list[dict[str, Any]] = [
        {"files": {"image": ("a.jpg", portrait)}, "data": ids},
        {"files": {"image": ("a.jpg", portrait), "app_id": name, "user_id": "ann"}},  # texts as files
        {"files": {"image": (None, text(portrait))}, "data": ids},
        {"files": {"image": (None, portrait)}, "data": ids},  # bytes without a file name
        {"data": {**ids, **picture}},
        {"data": {**ids, "image": "data:image/jpeg;base64," + text(portrait)}},
        {"json": {**ids, **picture}},
        {"content": json.dumps({**ids, **picture}), "headers": {"content-type": "application/x-www-form-urlencoded"}},
    ]
    for number, one in enumerate(sent):
        answer = post(http, "compare", **one)
        assert (answer["code"], answer["result"], answer["score"]) == (200, True, pytest.approx(1, abs=1e-4)), number
    for face_id in (registered["face_id"], f" {registered['face_id']} "):
        assert post(http, "update", json={"app_id": name, "face_id": face_id, **picture})["code"] == 200


def test_a_file_field_left_empty_by_a_browser_is_no_picture(api: Enn, http: httpx.Client, portrait: bytes) -> None:
    """It has neither bytes nor a name; one with a name was meant to be a picture."""
    face = api.register("ann", portrait)
    head = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'

    def update(filename: str) -> int:
        parts = [("app_id", "", api._app_id), ("face_id", "", str(face)), ("image", f'; filename="{filename}"', "")]
        body = "".join(head.format(*part) for part in parts) + "--b--\r\n"
        headers = {"content-type": "multipart/form-data; boundary=b"}
        return int(post(http, "update", content=body, headers=headers)["code"])

    assert update("a.jpg") == 40300
    assert api.faces_of("ann") == [face]
    assert update("") == 200
    assert code(lambda: api.faces_of("ann")) == 40317


GOOD = {"app_id": "order", "user_id": "u", "face_id": "1", "image": "x"}


@pytest.mark.parametrize(
    ("interface", "sent", "expected"),
    [
        ("register", {}, 40201),
        ("register", {"unknown": "1"}, 40201),
        ("register", {"face_direction": "7"}, 40307),
        ("register", {"app_id": "", "user_id": "u", "image": "x"}, 40307),
        ("register", {"app_id": "a" * 129}, 40310),
        ("register", {"app_id": "a" * 129, "user_id": "u"}, 40300),
        ("register", {"app_id": "a" * 129, "user_id": "\n", "image": "x"}, 40202),
        ("register", {"app_id": "\n", "user_id": "组" * 43, "image": "x"}, 40202),
        ("register", {**GOOD, "user_id": "a\x00b"}, 40203),
        ("register", {**GOOD, "user_id": "a\x7fb"}, 40203),
        ("register", {**GOOD, "user_id": ["a"]}, 40203),
        ("register", {**GOOD, "face_direction": "5"}, 40203),
        ("register", {**GOOD, "face_direction": "01"}, 40203),
        ("register", {**GOOD, "face_direction": True}, 40203),
        ("register", {**GOOD, "image": 5}, 40203),
        ("register", {**GOOD, "user_id": "x" * 10_000}, 40202),
        ("update", {"app_id": "order"}, 40318),
        ("update", {**GOOD, "app_id": "nowhere", "face_id": "x"}, 40316),
        ("update", {"app_id": "nowhere", "face_id": "1", "face_direction": "9"}, 40316),
        ("delete", {"app_id": "nowhere", "face_id": "1"}, 40316),
        ("delete", {"app_id": "nowhere"}, 40318),
        ("delete", {"app_id": "nowhere", "face_id": "1" * 129}, 40202),
        ("delete", {"app_id": "nowhere", "face_id": [1]}, 40203),
        ("search", {"app_id": "nowhere"}, 40310),
        ("search", {"user_id": "u"}, 40307),
        ("search", {"app_id": "nowhere", "user_id": "u"}, 40316),
        ("check", {"max_num": 1}, 40300),
        ("check", {"image": ""}, 40300),
        ("check", {"image": "x", "max_num": "0"}, 40203),
        ("check", {"image": "x", "max_num": "101"}, 40203),
        ("check", {"image": "x", "max_num": "1.5"}, 40203),
        ("check", {"image": "x"}, 40308),
        ("recognise", {"image": "x"}, 40307),
        ("recognise", {"app_id": "nowhere", "image": "x"}, 40316),
        ("compare", {"image": "x"}, 40201),
        ("compare", {"image": "x", "user_id": "u"}, 40307),
        ("compare", {"image": "x", "app_id": "nowhere"}, 40310),
        ("compare", {"app_id": "nowhere", "user_id": "u"}, 40300),
        ("compare", {"image_1": "x"}, 40300),
        ("compare", {"image": "x", "app_id": "nowhere", "user_id": "u"}, 40316),
        ("compare", {"image": "x", "image_1": "x", "app_id": "a" * 129, "user_id": "\n"}, 40308),
    ],
)
def test_order_of_checks(http: httpx.Client, interface: str, sent: dict[str, Any], expected: int) -> None:
    answer = post(http, interface, json=sent)
    assert (answer["code"], answer["message"]) == (expected, MESSAGES[expected])


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", ""),
        (b"[]", "application/json"),
        (b'{"app_id":', "application/json"),
        (b"no form", "application/x-www-form-urlencoded"),
        (b"--b\r\ncut off", "multipart/form-data; boundary=b"),
        (b"x", "multipart/form-data"),
    ],
)
def test_bodies_that_cannot_be_read(http: httpx.Client, content: bytes, content_type: str) -> None:
    for interface in ("register", "update", "delete", "search", "check", "recognise", "compare"):
        answer = post(http, interface, content=content, headers={"content-type": content_type} if content_type else {})
        assert answer["code"] == 40201, interface


# Settings


@pytest.mark.other_contract("codes are told to be texts")
def test_settings(tmp_path: Path, portrait: bytes, other: bytes) -> None:
    settings = {
        "enn_provisioned": "true",
        "enn_same_face": -1,
        "enn_text_codes": '["old"]',
        "enn_compare_score": 1,
        "enn_largest_blur": 0.6,
        "faces_per_user": 1,
    }
    with serving(tmp_path, **settings) as server:
        old, new = Enn(server.url, "old"), Enn(server.url, "new")
        answer = refusal_of(old, portrait)
        assert answer == {"code": "40316", **dict.fromkeys(("check_result", "register_result"), 50), "face_id": -1} | {
            "message": MESSAGES[40316]
        }
        for app in ("old", "new"):
            assert Baidu(server.url, app)("group/add", group_id="default").code == 0
        face = new.register("ann", portrait)
        assert refusal(lambda: new.register("ann", other))["face_id"] == face  # everybody is alike here
        assert new.compare(portrait, other)[0] is False
        assert new.check(portrait)["code"] == 200
        assert old.call("face_register", {"image": portrait}, app_id="old", user_id="ann")["code"] == "200"


def refusal_of(api: Enn, picture: bytes) -> dict[str, Any]:
    with pytest.raises(EnnError) as caught:
        api.register("ann", picture)
    return caught.value.answer


def test_a_full_user_and_an_overloaded_server(tmp_path: Path, portrait: bytes, other: bytes) -> None:
    with serving(tmp_path, faces_per_user=1, lanes=1, deadline_ms=400) as server:
        api = Enn(server.url, "full")
        api.register("ann", portrait)
        assert code(lambda: api.register("ann", other)) == 40310

        def check(_: int) -> httpx.Response:
            return httpx.post(f"{server.url}/cv/face/face_check", files={"image": ("a.jpg", portrait)}, timeout=60)

        with ThreadPoolExecutor(40) as pool:
            refused = [answer for answer in pool.map(check, range(40)) if answer.status_code != 200]
        assert refused
        for answer in refused:
            assert answer.status_code == 503
            assert answer.json() == {"code": 503, "message": "Service Unavailable"}
