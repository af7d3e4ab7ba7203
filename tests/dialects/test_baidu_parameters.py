"""Every parameter of every interface, broken in every way its rule knows: a compact table of our own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from scripts.load.server import ServerProcess
from tests.baidu_client import NOBODY, Baidu, image

APP = "params"
OBJECTS: dict[str, list[str]] = {
    # in the order of the document; ! means required
    "face/detect": ["appid!", "image!", "image_type!", "max_face_num", "face_type", "face_field", "liveness_control"],
    "face/identify": [
        *("appid!", "image!", "image_type!", "group_id_list!", "user_id", "match_threshold", "quality_control"),
        *("liveness_control", "max_user_num"),
    ],
    "face/midentify": [
        *("appid!", "image!", "image_type!", "group_id_list!", "max_face_num", "match_threshold", "max_user_num"),
        *("quality_control", "liveness_control"),
    ],
    "face/add": [
        *("appid!", "user_id!", "group_id!", "image!", "image_type!", "user_info", "quality_control"),
        "liveness_control",
    ],
    "face/update": [
        *("appid!", "user_id!", "group_id!", "image!", "image_type!", "user_info", "quality_control"),
        "liveness_control",
    ],
    "face/list": ["appid!", "user_id!", "group_id!"],
    "face/delete": ["appid!", "user_id!", "group_id!", "face_token!"],
    "user/copy": ["appid!", "user_id!", "src_group_id!", "dst_group_id!"],
    "user/get": ["appid!", "user_id!", "group_id@!"],
    "user/list": ["appid!", "group_id!", "start", "length"],
    "user/delete": ["appid!", "group_id@!", "user_id!"],
    "group/add": ["appid!", "group_id!"],
    "group/delete": ["appid!", "group_id!"],
    "group/list": ["appid!", "start", "length"],
}
ARRAYS: dict[str, list[str]] = {
    "face/liveness": ["image!", "image_type!", "face_field"],
    "face/match": ["image!", "image_type!", "face_type", "quality_control", "liveness_control"],
}
FACEHUB: dict[str, list[str]] = {
    "/face-api/facehub/statapp": ["op_app_id_list!"],
    "/face-api/facehub/statgroup": ["op_app_id!", "group_id_list20!"],
}
GOOD: dict[str, Any] = {
    **image(NOBODY),
    "appid": APP,
    "user_id": "u1",
    "group_id": "g1",
    "group_id@": "g1",
    "src_group_id": "g1",
    "dst_group_id": "g2",
    "group_id_list": "g1",
    "group_id_list20": "g1",
    "face_token": "0" * 32,
    "op_app_id": APP,
    "op_app_id_list": APP,
}
RESERVED = ["all", "self", "me", "this", "next"]
NOT_TEXT: list[Any] = [5, True, 1.5, {}, {"a": 1}, [], ["a"]]
NOT_AN_ID = ["a-b", "a b", " a", "a\n", "a\0", "用户", "a.b", "a/b", "a'b", *RESERVED]
LEVELS = ["HIGHER", "0", "NONE,LOW"]


def numbers(low: int, high: int) -> list[Any]:
    return [low - 1, high + 1, -(2**70), 2**70, 1.5, True, "x", "", " ", "1.5", "1e0", "0x1", [], [1], {}]


WRONG: dict[str, dict[int, list[Any]]] = {
    "appid": {222014: [*NOT_TEXT, *NOT_AN_ID, "a" * 49, "@ALL"]},
    "user_id": {222018: [*NOT_TEXT, *NOT_AN_ID, "a" * 129, "@ALL"]},
    **{
        name: {222006: [*NOT_TEXT, *NOT_AN_ID, "a" * 49, "@ALL"]}
        for name in ("group_id", "src_group_id", "dst_group_id")
    },
    "group_id@": {222006: [*NOT_TEXT, *NOT_AN_ID, "a" * 49, "@all", "@ALL "]},
    "image": {222013: [*NOT_TEXT, "*", "A", "a" * 9, "data:image/png;base64,", "图", "A" * 10_485_760]},
    "image_type": {222015: [*NOT_TEXT, "BASE65", "FACE TOKEN", "FILE"]},
    "max_face_num": {222016: numbers(1, 10)},
    "face_type": {222024: [*NOT_TEXT, "PASSPORT"]},
    "face_field": {222017: [5, True, 1.5, {}, [], ["age"]]},
    "user_info": {222010: [*NOT_TEXT, "a" * 257, "图" * 86, "a\0"]},
    "quality_control": {222019: NOT_TEXT, 223118: LEVELS},
    "liveness_control": {222020: NOT_TEXT, 223119: LEVELS},
    "max_user_num": {222021: numbers(1, 20)},
    "match_threshold": {222030: [-1, 101, -0.001, 100.001, "x", "", "nan", "inf", "1e1", True, [], {}, 2**70]},
    "start": {222002: numbers(0, 2**32 - 1)},
    "length": {222003: numbers(1, 1000)},
    "face_token": {222025: [*NOT_TEXT, "a-b", "a" * 65, "a\n", "图"]},
    "group_id_list": {
        222005: [5, True, {}, [], [1], ["a", 5], "a,", ",", "a,,b", "a-b", "g1,all", "a" * 49, ["@ALL"], ["a,b"]],
        223104: [",".join(f"g{n}" for n in range(11)), [f"g{n}" for n in range(11)]],
    },
    "group_id_list20": {222005: [5, "a,", "me"], 223104: [",".join(f"g{n}" for n in range(21))]},
    "op_app_id_list": {222004: ["a-b", "a\n", "me", 5, {}, [], "a,"], 223117: [",".join(f"a{n}" for n in range(101))]},
    "op_app_id": {222012: [*NOT_TEXT, *NOT_AN_ID, "a" * 49]},
}


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Baidu:
    return Baidu(server.url)


def name_of(entry: str) -> tuple[str, bool]:
    return entry.rstrip("!"), entry.endswith("!")


def wire_name(name: str) -> str:
    return name.rstrip("@").removesuffix("20")


def cases(table: dict[str, list[str]]) -> list[Any]:
    return list(_cases(table))


def _cases(table: dict[str, list[str]]) -> Iterator[Any]:
    for path, entries in table.items():
        for entry in entries:
            name, _ = name_of(entry)
            for code, values in WRONG[name].items():
                yield pytest.param(path, entries, name, code, values, id=f"{path} {name} {code}")


def good(entries: list[str]) -> dict[str, Any]:
    return {wire_name(name): GOOD[name] for name, required in map(name_of, entries) if required}


@pytest.mark.parametrize(("path", "entries", "name", "code", "values"), cases(OBJECTS | FACEHUB))
def test_wrong_values(api: Baidu, path: str, entries: list[str], name: str, code: int, values: list[Any]) -> None:
    for value in values:
        assert api(path, **{**good(entries), wire_name(name): value}).code == code, value


@pytest.mark.parametrize(("path", "entries", "name", "code", "values"), cases(ARRAYS))
def test_wrong_values_in_arrays(
    api: Baidu, path: str, entries: list[str], name: str, code: int, values: list[Any]
) -> None:
    for value in values:
        body = [good(entries), {**good(entries), name: value}]
        assert api(f"{path}?appid={APP}", body).code == code, value


@pytest.mark.parametrize("path", OBJECTS | FACEHUB)
def test_missing_values_are_named_in_the_order_of_the_table(api: Baidu, path: str) -> None:
    entries = (OBJECTS | FACEHUB)[path]
    required = [wire_name(name) for name, needed in map(name_of, entries) if needed]
    sent: dict[str, Any] = {}
    for name in required:
        for absent in ({}, {name: None}, {name: ""}):
            answer = api(path, **{**sent, **absent})
            assert (answer.code, answer["error_msg"]) == (222001, f"param[{name}] is null")
        sent[name] = good(entries)[name]


@pytest.mark.parametrize("path", ARRAYS)
def test_missing_values_in_arrays(api: Baidu, path: str) -> None:
    assert api(path, [{}, {}])["error_msg"] == "param[appid] is null"
    assert api(f"{path}?appid={APP}", [{}, {}])["error_msg"] == "param[image] is null"
    assert api(f"{path}?appid={APP}", [image(NOBODY), {"image": "aaaa"}])["error_msg"] == "param[image_type] is null"
    assert api(path, [{"appid": APP}, {}])["error_msg"] == "param[image] is null"


@pytest.mark.parametrize("path", [path for path in OBJECTS if not all(name.endswith("!") for name in OBJECTS[path])])
def test_null_and_empty_optional_values_are_absent(api: Baidu, path: str) -> None:
    """A request with all optional parameters null answers as one without them."""
    entries = OBJECTS[path]
    plain = api(path, **good(entries)).code
    optional = [name for name, required in map(name_of, entries) if not required]
    assert api(path, **{**good(entries), **dict.fromkeys(optional)}).code == plain
    numeric = {"max_face_num", "max_user_num", "match_threshold", "start", "length"}
    empty = {name: "" for name in optional if name not in numeric}
    assert api(path, **{**good(entries), **empty, "unknown": {"a": [1]}}).code == plain


def test_first_failure_in_the_order_of_the_table_decides(api: Baidu) -> None:
    wrong = {
        "appid": "a-b",
        "image": "*",
        "image_type": "BASE64",
        "group_id_list": "a,",
        "user_id": "a-b",
        "match_threshold": 101,
        "quality_control": "x",
        "liveness_control": "x",
        "max_user_num": 0,
    }
    right = {**GOOD, "match_threshold": 80, "quality_control": "LOW", "liveness_control": "LOW", "max_user_num": 1}
    codes = []
    for name in wrong:
        if name != "image_type":
            codes.append(api("face/identify", **wrong).code)
        wrong[name] = right[name]
    assert codes == [222014, 222013, 222005, 222018, 222030, 223118, 223119, 222021]


def test_legacy_names_have_codes_of_their_own(api: Baidu) -> None:
    assert api("face/list", appid=APP, group_id="g1", uid="a-b").code == 222007
    assert api("face/delete", appid=APP, group_id="g1", uid="u", face_id="a-b").code == 222008
    assert api("face/delete", appid=APP, group_id="nobody", uid="u", face_id="a").code == 223100
    assert api("face/detect", appid=APP, **image(NOBODY), face_fields=5).code == 222017


def test_values_are_read_generously(api: Baidu) -> None:
    """Numbers in strings, words in any case, ids in a list with spaces: the request gets as far as the picture."""
    assert api("face/detect", appid=APP, **image(NOBODY), max_face_num="3", face_type="live").code == 222202
    assert api("face/detect", appid=APP, image=image(NOBODY)["image"], image_type="base64").code == 222202
    sent = {**image(NOBODY), "appid": APP, "max_user_num": "20", "match_threshold": "80", "quality_control": "low"}
    api("group/add", appid=APP, group_id="generous")
    for groups in (" generous , generous", ["generous"], ["generous", "generous "]):
        assert api("face/identify", **sent, group_id_list=groups).code == 222202
    assert api("face/identify", **sent, group_id_list=",".join(["generous"] * 30)).code == 222202


BROKEN = [
    b"{",
    b'{"image":',
    b"{'image':'a'}",
    b'{"image":"a",}',
    b'{"group_id":"a"} x',
    b'{"group_id":NaN}',
    b'{"group_id":"\xff\xfe"}',
    b'{"group_id":"\\ud800"}',
    b"[",
    b"[]",
    b'["a"]',
    b'"a"',
    b"null",
    b"5",
    b"hello",
    b"\x00",
    b"\xff\xd8\xff\xe0",
    b'{"group_id":' * 3000,
    b"[" * 100_000,
]


@pytest.mark.parametrize("content_type", ["application/json", "", "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("body", BROKEN, ids=lambda body: repr(body[:14]))
def test_bodies_that_cannot_be_read(api: Baidu, body: bytes, content_type: str) -> None:
    answer = api.send(f"group/add?appid={APP}", body, content_type)
    assert (answer.code, answer["error_msg"]) == (222001, "param[] is null")


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"{}", b'{"a":1}'])
def test_bodies_that_say_nothing(api: Baidu, body: bytes) -> None:
    assert api.send(f"group/add?appid={APP}", body)["error_msg"] == "param[group_id] is null"
    assert api.send("group/add", body)["error_msg"] == "param[appid] is null"
    assert api.send(f"group/list?appid={APP}", body).code == 0


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""]
)
def test_json_whatever_its_label(api: Baidu, content_type: str) -> None:
    body = json.dumps({**image(NOBODY), "appid": APP}).encode()
    assert api.send("face/detect", body, content_type).code == 222202
    assert api.send("face/detect", b"\xef\xbb\xbf \n" + body, content_type).code == 222202


def test_form_with_the_same_names(api: Baidu) -> None:
    body = f"image={quote(image(NOBODY)['image'], safe='')}&image_type=BASE64&max_face_num=2".encode()
    assert api.send(f"face/detect?appid={APP}", body, "application/x-www-form-urlencoded").code == 222202
    spaced = f"image={image(NOBODY)['image']}&image_type=BASE64".encode()  # + in it arrives as a space
    assert api.send(f"face/detect?appid={APP}", spaced, "application/x-www-form-urlencoded").code == 222202
    assert api.send(f"face/liveness?appid={APP}", body, "application/x-www-form-urlencoded").code == 222202
    assert api.send(f"face/match?appid={APP}", body, "application/x-www-form-urlencoded").code == 222208


def test_appid_in_query_and_body(api: Baidu) -> None:
    assert api("group/list?appid=", appid="other").code == 0
    assert api("group/list?appid=a-b", appid="other").code == 222014
    assert api("group/list?appid=other", appid="a-b").code == 0
    assert api(f"face/match?appid={APP}", [image(NOBODY)] * 2).code == 222202
    assert api("face/match", [{**image(NOBODY), "appid": APP}, image(NOBODY)]).code == 222202
    assert api("face/match", [image(NOBODY), {**image(NOBODY), "appid": APP}]).code == 222001


@pytest.mark.parametrize("count", [0, 1, 3, 9, 1000])
def test_match_takes_two_pictures(api: Baidu, count: int) -> None:
    assert api(f"face/match?appid={APP}", [image(NOBODY)] * count).code == 222208


def test_match_takes_nothing_but_an_array(api: Baidu) -> None:
    assert api(f"face/match?appid={APP}", image(NOBODY)).code == 222208
    assert api.send(f"face/match?appid={APP}", b"").code == 222208


@pytest.mark.parametrize(("count", "code"), [(0, 222208), (1, 222202), (2, 222202), (8, 222202), (9, 222208)])
def test_liveness_takes_one_to_eight(api: Baidu, count: int, code: int) -> None:
    assert api(f"face/liveness?appid={APP}", [image(NOBODY)] * count).code == code


def test_liveness_takes_a_bare_object(api: Baidu) -> None:
    assert api(f"face/liveness?appid={APP}", image(NOBODY)).code == 222202
    assert api.send(f"face/liveness?appid={APP}", b"").code == 222208


def test_sizes(api: Baidu) -> None:
    """Ten megabytes of text are too much for a picture, for all pictures of liveness together, but not for match."""
    largest = "A" * 10_485_756
    assert api("face/detect", appid=APP, image=largest, image_type="BASE64").code == 222203
    assert api(f"face/match?appid={APP}", [{"image": largest, "image_type": "BASE64"}] * 2).code == 222203
    half = {"image": "A" * 5_242_880, "image_type": "BASE64"}
    assert api(f"face/liveness?appid={APP}", [half]).code == 222203
    assert api(f"face/liveness?appid={APP}", [half, half]).code == 222013


@pytest.mark.parametrize("path", ["face/detect", "face/identify", "face/add", "face/match", "face/liveness"])
def test_body_of_thirty_megabytes_with_pictures(api: Baidu, path: str) -> None:
    body = b'{"image":"' + b"A" * (30 << 20) + b'"}'
    assert api.send(f"{path}?appid={APP}", body).code == 222013


def test_body_of_thirty_megabytes_elsewhere(api: Baidu) -> None:
    body = b'{"group_id":"' + b"A" * (30 << 20) + b'"}'
    assert api.send(f"group/add?appid={APP}", body)["error_msg"] == "param[] is null"


def test_large_bodies_of_nothing(api: Baidu) -> None:
    """Twenty megabytes of tiny values must not become millions of objects."""
    assert api.send(f"group/list?appid={APP}", b'{"x":[' + b"[]," * 7_000_000 + b"[]]}").code == 0
    assert api.send(f"face/match?appid={APP}", b"[" + b"{}," * 7_000_000 + b"{}]").code == 222208
    assert api.send(f"group/list?appid={APP}", b"a=1&" * 5_000_000, "application/x-www-form-urlencoded").code == 222001
