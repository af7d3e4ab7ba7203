"""The contract as a machine reads it: every parameter, every field and every example of spec.json."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Iterator
from typing import Any

import pytest

from face_server.dialects.baidu.codes import MESSAGES
from scripts.load.server import ServerProcess
from tests.baidu_client import NOBODY, Answer, Baidu, image, token, variant
from tests.conformance.fields import check, rows_of
from tests.conformance.plugin import Proves
from tests.dialects.test_baidu_h5 import moving, mp4

APP = "spec"
CODES = {
    "appid": 222014,
    "image": 222013,
    "image_type": 222015,
    "max_face_num": 222016,
    "face_type": 222024,
    "face_field": 222017,
    "group_id": 222006,
    "src_group_id": 222006,
    "dst_group_id": 222006,
    "user_id": 222018,
    "user_info": 222010,
    "quality_control": 222019,
    "liveness_control": 222020,
    "max_user_num": 222021,
    "match_threshold": 222030,
    "face_token": 222025,
    "start": 222002,
    "length": 222003,
    "group_id_list": 222005,
}
UNKNOWN_WORD = {"quality_control": 223118, "liveness_control": 223119}
VALUES = {
    "user_id": "user1",
    "group_id": "group1",
    "group_id_list": "group1",
    "src_group_id": "group1",
    "dst_group_id": "group2",
    "face_token": "0" * 32,
    **image(NOBODY),
}
EVERYTHING = (
    "age,beauty,expression,face_shape,gender,glasses,landmark,race,quality,face_type,parsing,eye_status,"
    "landmark72,feature"
)

Endpoint = dict[str, Any]


@pytest.fixture(scope="module")
def contract(proves: Proves) -> dict[str, Any]:
    return proves.written("baidu_v3")


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Baidu:
    return Baidu(server.url)


def json_endpoints(contract: dict[str, Any]) -> Iterator[Endpoint]:
    return (endpoint for endpoint in contract["endpoints"] if endpoint["transport"] == "json")


def ask(api: Baidu, endpoint: Endpoint, sent: dict[str, Any], path: str = "") -> Answer:
    """One call with the appid in the query; an array of pictures has the broken one in front."""
    sent = dict(sent)
    appid = sent.pop("appid", APP)
    query = f"?appid={appid}" if isinstance(appid, str) and re.fullmatch("[A-Za-z0-9_]*", appid) else ""
    if not query:
        sent["appid"] = appid
    body: Any = [sent, image(NOBODY)] if endpoint["body_type"] == "array" else sent
    answer = api((path or endpoint["path"]) + (query or "?"), body)
    known = {0, 222030, *endpoint["error_codes"]} | {222007, 222008}
    assert answer.code in known, (endpoint["path"], sent, answer)
    return answer


def good(endpoint: Endpoint) -> dict[str, Any]:
    return {p["name"]: VALUES[p["name"]] for p in endpoint["params"] if p["required"] and p["name"] != "appid"}


def bad_values(param: dict[str, Any]) -> Iterator[Any]:
    """What breaks the rule of a parameter, as far as the machine-readable contract tells it."""
    name, kind = param["name"], param["type"]
    if kind == "string":
        yield from (5, True, {}, 1.5)
        if name != "group_id_list":
            yield ["a"]
        if param.get("max_len"):
            yield "a" * (param["max_len"] + 1)
        if param.get("pattern"):
            yield from ("a-b", "a b", "用户", "a\n")
            if name != "face_token":
                yield from ("all", "self", "me", "this", "next")
    else:
        yield from ("x", True, [], {}, 1e99)
        yield from (param["min"] - 1, param["max"] + 1)


def test_codes_and_messages(contract: dict[str, Any]) -> None:
    documented = {entry["code"]: entry["message"] for entry in contract["errors"] + contract["extension_errors"]}
    assert documented == MESSAGES
    assert len(documented) == 84


def test_every_parameter_with_every_bad_value(api: Baidu, contract: dict[str, Any]) -> None:
    tried = 0
    for endpoint in json_endpoints(contract):
        for param in endpoint["params"]:
            for value in bad_values(param):
                assert ask(api, endpoint, {**good(endpoint), param["name"]: value}).code == CODES[param["name"]], (
                    endpoint["path"],
                    param["name"],
                    value,
                )
                tried += 1
            if param["enum"]:
                code = UNKNOWN_WORD.get(param["name"], CODES[param["name"]])
                assert ask(api, endpoint, {**good(endpoint), param["name"]: "UNKNOWN"}).code == code
    assert tried > 300


def test_every_required_parameter_when_it_is_absent(api: Baidu, contract: dict[str, Any]) -> None:
    for endpoint in json_endpoints(contract):
        for param in endpoint["params"]:
            name = param["name"]
            for absent in (None, ""):
                answer = ask(api, endpoint, {**good(endpoint), name: absent})
                if param["required"]:
                    assert answer["error_msg"] == f"param[{name}] is null", endpoint["path"]
                elif absent is None or param["type"] == "string":
                    assert not answer["error_msg"].startswith("param["), (endpoint["path"], name, answer)


def test_every_enumerated_word_is_taken_in_any_case(api: Baidu, contract: dict[str, Any]) -> None:
    for endpoint in json_endpoints(contract):
        for param in endpoint["params"]:
            for word in (param["enum"] or []) if param["name"] != "image_type" else []:
                for spelling in (word, word.lower(), word.capitalize()):
                    code = ask(api, endpoint, {**good(endpoint), param["name"]: spelling}).code
                    assert code not in (CODES[param["name"]], UNKNOWN_WORD.get(param["name"])), (
                        param["name"],
                        spelling,
                    )


def test_every_spelling_of_every_path(api: Baidu, contract: dict[str, Any]) -> None:
    for endpoint in json_endpoints(contract):
        first = ask(api, endpoint, {**good(endpoint), "appid": ""})
        for path in (endpoint["path"], *endpoint["aliases"]):
            assert ask(api, endpoint, {**good(endpoint), "appid": ""}, path)["error_msg"] == first["error_msg"]
            allowed = {"POST", *(endpoint.get("methods_also") or [])}
            for method in ("GET", "PUT", "DELETE", "PATCH"):
                status = api.http.request(method, path).status_code
                assert status == (200 if method in allowed else 405), (method, path)


def test_every_example_request(api: Baidu, contract: dict[str, Any], proves: Proves) -> None:
    """They name pictures and tokens that are not there: the answer must be one of those the interface may give."""
    for endpoint in json_endpoints(contract):
        head, _, body = endpoint["example_request"].partition("\n\n")
        path = head.splitlines()[0].removeprefix("POST ")
        with proves.example("baidu_v3", endpoint["name"]):
            answer = api.send(path, body.encode())
        assert answer.code in (0, *endpoint["error_codes"]), (path, answer)
        assert answer.code not in (222001, 222014, 222302), (path, answer)


def test_both_example_requests_of_the_video(api: Baidu, astronaut: bytes, proves: Proves) -> None:
    """They are printed as commands of curl; the file and the text are cut short, so a video takes their place."""
    video = mp4(moving(astronaut, 50))
    with proves.example("baidu_v3", "h5_video_liveness") as interface:
        file, encoded = interface.written["example_request"].splitlines()
        session = re.search(r"session_id=(\w+)", file)
        assert session
        assert '-F "video=@test.mp4"' in file
        assert "&video_base64=" in encoded
        sent = {"session_id": session[1]}
        uploaded = api.http.post(interface.path, data=sent, files={"video": ("test.mp4", video)}).json()
        posted = api.http.post(interface.path, data={**sent, "video_base64": base64.b64encode(video).decode()}).json()
    assert uploaded["err_no"] == posted["err_no"] == 0
    assert uploaded["result"]["score"] == posted["result"]["score"]


# Fields of the answers


@pytest.fixture(scope="module")
def answers(api: Baidu, astronaut: bytes) -> dict[str, Answer]:
    """A good answer of every interface, with every field it can have."""
    query = f"?appid={APP}_answers"
    face = {**image(astronaut), "face_field": EVERYTHING}
    place = {"group_id": "group1", "user_id": "user1"}
    given: dict[str, Answer] = {}

    def call(name: str, path: str, body: Any) -> Answer:
        given[name] = api(path + query, body)
        return given[name]

    call("group_add", "group/add", {"group_id": "group2"})
    call("face_detect", "face/detect", face)
    call("face_liveness", "face/liveness", [face, {**face, **image(variant(astronaut, 1))}])
    call("face_match", "face/match", [image(astronaut), image(variant(astronaut, 1))])
    added = call("face_add", "face/add", {**image(astronaut), **place, "user_info": "abc"})
    call("face_identify", "face/identify", {**image(variant(astronaut, 1)), "group_id_list": "group1,group2"})
    call("face_list", "face/list", place)
    call("user_get", "user/get", {"user_id": "user1", "group_id": "@ALL"})
    call("user_list", "user/list", {"group_id": "group1"})
    call("user_copy", "user/copy", {"user_id": "user1", "src_group_id": "group1", "dst_group_id": "group2"})
    call("group_list", "group/list", {})
    call("face_update", "face/update", {**image(variant(astronaut, 2)), **place})
    updated = given["face_update"].result["face_token"]
    assert updated != added.result["face_token"]
    call("face_delete", "face/delete", {**place, "face_token": updated})
    call("user_delete", "user/delete", {"user_id": "user1", "group_id": "@ALL"})
    call("group_delete", "group/delete", {"group_id": "group1"})
    return given


# What a pack may lack, or the operator has switched off. That all of it is printed is tested on the renderer alone.
OPTIONAL = re.compile(
    r"\.(age|beauty|expression|face_shape|gender|glasses|race|face_type|eye_status|landmark72|occlusion|parsing_info)\b"
)


def test_every_field_of_every_answer(answers: dict[str, Answer], contract: dict[str, Any]) -> None:
    seen = set()
    for endpoint in json_endpoints(contract):
        name, rows = endpoint["name"], rows_of(endpoint["response"])
        assert answers[name].code == 0, (name, answers[name])
        proven, faults = check(answers[name], rows)
        assert not faults, name
        lacking = {row.path for row in rows} - proven
        assert all(OPTIONAL.search(path) for path in lacking), (name, lacking)
        seen |= {(name, path) for path in proven}
    assert len(seen) > 150


def test_doubles_have_at_most_eight_decimals(api: Baidu, astronaut: bytes) -> None:
    body = {**image(astronaut), "face_field": EVERYTHING}
    raw = api.http.post(f"/face-api/v3/face/detect?appid={APP}", json=body).text
    assert not re.search(r"\d\.\d{9,}", raw)


def test_parsing_info_is_a_gzipped_text_of_the_whole_picture(api: Baidu, astronaut: bytes) -> None:
    answer = api(f"face/detect?appid={APP}", **{**image(astronaut), "face_field": "parsing_info"})
    packed = answer.result["face_list"][0]["parsing_info"]
    classes = gzip.decompress(base64.b64decode(packed)).decode().split(",")
    assert len(classes) == 512 * 512
    assert all(number.isdigit() for number in set(classes))
    assert classes[0] == "0"


def test_a_token_gives_what_its_picture_gave(api: Baidu, answers: dict[str, Answer]) -> None:
    first = answers["face_detect"].result["face_list"][0]
    again = api(f"face/detect?appid={APP}_answers", **token(first["face_token"]), face_field=EVERYTHING).result[
        "face_list"
    ][0]
    assert again["face_token"] == first["face_token"]
    assert again.keys() == first.keys()
    for name in ("left", "top", "width", "height"):
        assert again["location"][name] == pytest.approx(first["location"][name], abs=0.01)
    assert again["quality"]["illumination"] == pytest.approx(first["quality"]["illumination"], abs=2)
