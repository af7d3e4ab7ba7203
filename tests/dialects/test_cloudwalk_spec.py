"""The CloudWalk contract as a machine reads it: every parameter, every field and every example of spec.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from face_server.dialects.cloudwalk.codes import MESSAGES
from scripts.load.server import ServerProcess
from tests.baidu_client import text
from tests.conformance.fields import check, rows_of
from tests.conformance.plugin import Proves

Endpoint = dict[str, Any]
Answer = dict[str, Any]


class Api:
    """Holds every answer to the envelope of the contract."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)

    def __call__(self, path: str, **fields: Any) -> Answer:
        return self.checked(self.http.post(path, data=fields))

    def json(self, path: str, fields: dict[str, Any]) -> Answer:
        return self.checked(self.http.post(path, json=fields))

    @staticmethod
    def checked(response: httpx.Response) -> Answer:
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "application/json;charset=UTF-8"
        answer: Answer = response.json()
        assert type(answer["result"]) is int
        assert answer["info"] == ("成功" if answer["result"] == 0 else MESSAGES[answer["result"]])
        assert answer["result"] == 0 or answer.keys() == {"result", "info"}
        return answer


@pytest.fixture(scope="module")
def contract(proves: Proves) -> dict[str, Any]:
    return proves.written("cloudwalk")


@pytest.fixture(scope="module")
def api(server: ServerProcess) -> Api:
    return Api(server.url)


@pytest.fixture(scope="module")
def good(api: Api, astronaut: bytes) -> Iterator[dict[str, str]]:
    """A good value of every parameter."""
    group = "spec1"
    picture = text(astronaut)
    assert api("/face/clustering/group/create", groupId=group, tag="组")["result"] == 0
    face_id = api("/face/clustering/face/create", groupId=group, img=picture, tag="人")["faceId"]
    feature = api("/face/tool/feature", img=picture)["feature"]
    yield {
        **dict.fromkeys(("img", "imgA", "imgB"), picture),
        "featureA": feature,
        "featureB": feature,
        "groupId": group,
        "faceId": str(face_id),
        "mode": "true",
        "faceCount": "true",
        "topN": "3",
        "pageNumber": "1",
        "pageSize": "1000",
        "tag": "new",
    }
    api("/face/clustering/group/delete", groupId=group)


def sent(endpoint: Endpoint, good: dict[str, str]) -> dict[str, str]:
    """A request with every documented parameter; pictures are sent, not named by a URL."""
    names = [param["name"] for param in endpoint["params"]]
    fields = {name: good[name] for name in names if name in good}
    kind = next((param["enum"][0] for param in endpoint["params"] if param["name"] == "type"), None)
    return fields if kind is None else {**fields, "type": kind}


def needed(endpoint: Endpoint, name: str) -> bool:
    param = next(param for param in endpoint["params"] if param["name"] == name)
    return bool(param["required"]) or (name.startswith("img") and endpoint["name"] != "face_edit")


def test_codes_and_messages(contract: dict[str, Any]) -> None:
    assert {entry["code"]: entry["message"] for entry in contract["errors"]} == MESSAGES
    assert len(MESSAGES) == 84
    assert len(contract["endpoints"]) == 19


def test_every_path_answers_post_and_get_only(api: Api, contract: dict[str, Any]) -> None:
    for path in {endpoint["path"] for endpoint in contract["endpoints"]}:
        for method in ("POST", "GET"):
            assert Api.checked(api.http.request(method, path))["result"] in (0, 4097), path
        assert api.http.put(path).status_code == 405
    assert api.http.post("/face/tool/quality").status_code == 404


def test_every_required_parameter_absent_or_empty(api: Api, contract: dict[str, Any], good: dict[str, str]) -> None:
    tried = 0
    for endpoint in contract["endpoints"]:
        fields = sent(endpoint, good)
        for name in fields:
            if needed(endpoint, name):
                others = {key: value for key, value in fields.items() if key != name}
                assert api(endpoint["path"], **others)["result"] == 4097, (endpoint["name"], name)
                assert api(endpoint["path"], **others, **{name: ""})["result"] == 4097, (endpoint["name"], name)
                assert api.json(endpoint["path"], {**others, name: None})["result"] == 4097, (endpoint["name"], name)
                tried += 1
    assert tried == 29


def bad_values(param: dict[str, Any]) -> Iterator[tuple[Any, int]]:
    """What breaks the rule of a parameter, and the code of it."""
    name = param["name"]
    if name.startswith("img"):
        yield from (("###", 8497), ("YWJj", 8497), (5, 8497), ({}, 8497))
    elif name.startswith("feature"):
        yield from (("###", 8514), ("YWJj", 8515), (5, 8514))
    elif param["type"] == "string" and not name.startswith("app_"):
        yield from ((5, 4101), (True, 4101), ([], 4101), ({}, 4101))
        if param.get("pattern"):
            yield from ((word, 4101) for word in ("a-b", "a b", "组", "a\n", "_"))
        if param.get("max_len"):
            yield from (("a" * (param["max_len"] + 1), 4101), ("组" * (param["max_len"] // 3 + 1), 4101))
        if param.get("enum"):
            yield ("queryByNothing", 4100)
    elif "int" in param["type"]:
        numbers: tuple[Any, ...] = ("x", "1.5", -1, True, [], 1e99, "9" * 40)
        yield from ((word, 4101) for word in numbers)
        if param.get("min"):
            yield ("0", 4101)
    elif param["type"].startswith("bool"):
        words: tuple[Any, ...] = ("yes", "1", 1, [], {})
        yield from ((word, 4101) for word in words)


def test_every_parameter_with_every_bad_value(api: Api, contract: dict[str, Any], good: dict[str, str]) -> None:
    tried = 0
    for endpoint in contract["endpoints"]:
        fields = {name: value for name, value in sent(endpoint, good).items() if needed(endpoint, name)}
        for param in endpoint["params"]:
            for value, code in bad_values(param):
                answer = api.json(endpoint["path"], {**fields, param["name"]: value})
                # A picture that is sent makes the URL beside it superfluous, wherever it may lead.
                assert answer["result"] == code, (endpoint["name"], param["name"], value, answer)
                tried += 1
    assert tried > 250


def test_what_must_not_matter(api: Api, contract: dict[str, Any], good: dict[str, str]) -> None:
    """Unknown parameters, credentials of any kind while nothing is checked, null."""
    for endpoint in contract["endpoints"]:
        if endpoint["name"] in ("group_create", "group_delete", "face_create", "face_delete", "tool_remove_water"):
            continue
        fields = {name: value for name, value in sent(endpoint, good).items() if needed(endpoint, name)}
        if endpoint["name"] == "face_edit":
            fields["tag"] = "人"
        extra = {"app_id": 5, "app_secret": "x", "unknown": {"a": [1]}, "url": None, "type": None}
        assert api.json(endpoint["path"], {**fields, **extra})["result"] == 0, endpoint["name"]


def test_every_example_request(api: Api, contract: dict[str, Any], proves: Proves) -> None:
    """They name groups that are not there and pictures cut short: the answer must be one the interface may give."""
    for endpoint in contract["endpoints"]:
        head, _, body = endpoint["example_request"].partition("\n\n")
        path = head.splitlines()[0].removeprefix("POST ")
        form = {"content-type": "application/x-www-form-urlencoded"}
        with proves.example("cloudwalk", endpoint["name"]):
            answer = Api.checked(api.http.post(path, content=body.strip().encode(), headers=form))
        if endpoint["name"] == "group_create" and answer["result"] == 0:
            api("/face/clustering/group/delete", groupId=dict(parse_qsl(body.strip()))["groupId"])
        assert answer["result"] in (0, *endpoint["error_codes"]), (path, answer)
        assert answer["result"] not in (4097, 4101, 4112), (path, answer)


@pytest.fixture(scope="module")
def answers(api: Api, contract: dict[str, Any], good: dict[str, str]) -> dict[str, Answer]:
    """A good answer of every interface, with every field it can have."""
    group = "spec2"
    found: dict[str, Answer] = {}
    fields = dict(good)
    order = ["group_create", "face_create", *(endpoint["name"] for endpoint in contract["endpoints"])]
    last = ["face_delete", "group_delete"]
    endpoints = {endpoint["name"]: endpoint for endpoint in contract["endpoints"]}
    for name in [*(name for name in dict.fromkeys(order) if name not in last), *last]:
        found[name] = api(endpoints[name]["path"], **sent(endpoints[name], {**fields, "groupId": group}))
        if name == "face_create":
            fields["faceId"] = str(found[name]["faceId"])
    return found


def test_every_field_of_every_answer_and_no_other(answers: dict[str, Answer], contract: dict[str, Any]) -> None:
    for endpoint in contract["endpoints"]:
        answer = answers[endpoint["name"]]
        if answer["result"] == 4100 and endpoint["name"] == "tool_remove_water":
            continue  # the installed pack has no model for it, and says so
        assert answer["result"] == 0, (endpoint["name"], answer)
        rows = rows_of(endpoint["response"])
        assert check(answer, rows) == ({row.path for row in rows}, []), endpoint["name"]


def test_what_the_answers_say(answers: dict[str, Answer]) -> None:
    assert all(len(face["keypt"]) == 68 for face in answers["tool_keypt"]["faces"])
    assert all(face["age"].isdigit() for face in answers["tool_attribute"]["faces"])
    assert [row["count"] for row in answers["group_query_by_group_id"]["rows"]] == [1]
    assert answers["face_query"]["rows"][0]["tag"] == "new"
    assert answers["group_identify_ext1"]["groupId"] == "spec2"
    boxes = [[(f["x"], f["y"]) for f in answers[f"tool_{name}"]["faces"]] for name in ("detect", "attribute", "keypt")]
    assert boxes[0] == boxes[1] == boxes[2]
