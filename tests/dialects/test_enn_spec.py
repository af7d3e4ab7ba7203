"""The ENN contract as a machine reads it: every parameter, every field, every example and every code of spec.json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from face_server.dialects.enn.codes import MESSAGES, check_result
from face_server.settings import Settings
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import NOBODY, jpeg, pixels, text
from tests.conformance.fields import check, rows_of
from tests.conformance.plugin import Proves
from tests.portraits import another_of, portrait_of

Endpoint = dict[str, Any]
Answer = dict[str, Any]
Case = tuple[str, dict[str, Any]]

PICTURES = ("image", "image_1")
DETECTOR_FAILED = 40314  # only a broken installation does that
PROVISIONED = 40316  # of register: only where the setting asks for it


class Api:
    """Holds every answer to the envelope of the contract."""

    def __init__(self, url: str, contract: dict[str, Any]) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        self.endpoints: dict[str, Endpoint] = {endpoint["name"]: endpoint for endpoint in contract["endpoints"]}

    def __call__(self, name: str, fields: dict[str, Any]) -> Answer:
        """As multipart: pictures are files, all else is text."""
        files = {key: ("a.jpg", value) for key, value in fields.items() if key in PICTURES}
        texts = {key: (None, str(value)) for key, value in fields.items() if key not in PICTURES}
        return self.checked(name, self.http.post(self.endpoints[name]["path"], files={**texts, **files}))

    def json(self, name: str, fields: dict[str, Any]) -> Answer:
        sent = {key: text(value) if isinstance(value, bytes) else value for key, value in fields.items()}
        return self.checked(name, self.http.post(self.endpoints[name]["path"], json=sent))

    def checked(self, name: str, response: httpx.Response) -> Answer:
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        endpoint = self.endpoints[name]
        assert answer["code"] in endpoint["error_codes"], (name, answer)
        assert answer["message"] == MESSAGES[answer["code"]]
        wanted = {row["path"] for row in endpoint["response"] if "[]" not in row["path"]}
        assert answer.keys() == wanted, (name, answer)
        for field in wanted & {"check_result", "register_result"}:
            assert answer[field] == check_result(answer["code"]), (name, answer)
        return answer


@pytest.fixture(scope="module")
def contract(proves: Proves) -> dict[str, Any]:
    return proves.written("enn")


@pytest.fixture(scope="module")
def api(server: ServerProcess, contract: dict[str, Any]) -> Api:
    return Api(server.url, contract)


@pytest.fixture(scope="module")
def portrait(astronaut: bytes) -> bytes:
    return portrait_of(astronaut)


@pytest.fixture(scope="module")
def good(api: Api, portrait: bytes) -> dict[str, Any]:
    """A good value of every parameter."""
    ids = {"app_id": "enn-spec", "user_id": "组 1"}
    face_id = api("face_register", {**ids, "image": portrait})["face_id"]
    return {**ids, "face_id": face_id, "image": portrait, "image_1": portrait, "face_direction": "0", "max_num": 3}


def sent(endpoint: Endpoint, good: dict[str, Any]) -> dict[str, Any]:
    """A request with every documented parameter; of the two ways to compare, the one with a person."""
    names = [param["name"] for param in endpoint["params"] if param["in"] == "body" and param["name"] != "image_1"]
    return {name: good[name] for name in names}


def test_codes_and_limits(contract: dict[str, Any]) -> None:
    assert {entry["code"]: entry["message"] for entry in contract["errors"]} == MESSAGES
    assert len(MESSAGES) == 23
    assert len(contract["endpoints"]) == 7
    for entry in contract["errors"]:
        assert entry["check_result"] in (None, check_result(entry["code"]))
    settings, limits = Settings(), contract["limits"]
    assert settings.enn_same_face == limits["same_face_cosine"]
    assert settings.enn_recognise_score == settings.enn_compare_score == limits["similar_score"]
    assert settings.enn_turned_degrees == limits["direction_degrees"]


def test_every_path_answers_post_only(api: Api, contract: dict[str, Any]) -> None:
    for endpoint in contract["endpoints"]:
        assert api.json(endpoint["name"], {})["code"] == 40201
        assert api.http.get(endpoint["path"]).status_code == 405


def test_every_field_of_every_answer_and_no_other(api: Api, contract: dict[str, Any], good: dict[str, Any]) -> None:
    ids = {"app_id": "enn-fields", "user_id": "u"}
    face_id = api("face_register", {**good, **ids})["face_id"]
    fields = {**good, **ids, "face_id": face_id}
    order = ["face_update", "face_search", "face_check", "face_recognise", "face_compare", "face_delete"]
    answers = {name: api(name, sent(api.endpoints[name], fields)) for name in [*order, "face_register"]}
    assert answers.keys() == api.endpoints.keys()
    for name, answer in answers.items():
        assert answer["code"] == 200, (name, answer)
        rows = rows_of(api.endpoints[name]["response"])
        assert check(answer, rows) == ({row.path for row in rows}, []), name
    assert answers["face_update"]["face_id"] == answers["face_delete"]["face_id"] == face_id
    assert answers["face_search"]["result"] == [face_id]
    assert len(answers["face_check"]["face_information"][0]["landmark"]) == 5


def test_every_example_request(api: Api, contract: dict[str, Any], good: dict[str, Any], proves: Proves) -> None:
    """They name libraries and faces that are not there; the picture is filled in."""
    expected = {
        "face_register": 40305,  # it asks for a face that looks to the left
        "face_check": 200,
        **dict.fromkeys(("face_update", "face_delete", "face_search", "face_recognise", "face_compare"), 40316),
    }
    for endpoint in contract["endpoints"]:
        head, _, body = endpoint["example_request"].partition("\n\n")
        assert head.splitlines()[0] == f"POST {endpoint['path']}"
        assert "multipart/form-data" in head
        pairs = dict(line.split("=", 1) for line in body.splitlines())
        fields = {name: good["image"] if value == "<binary>" else value for name, value in pairs.items()}
        with proves.example("enn", endpoint["name"]):
            assert api(endpoint["name"], fields)["code"] == expected[endpoint["name"]], endpoint["name"]


def test_what_must_not_matter(api: Api, contract: dict[str, Any], good: dict[str, Any]) -> None:
    """Unknown parameters, null, a token of any kind while nothing is checked, numbers in texts."""
    api.http.headers["X-GW-Authorization"] = "any"
    extra = {"unknown": {"a": [1]}, "token": 5, "face_direction": None, "max_num": None, "image_1": None}
    for endpoint in contract["endpoints"]:
        if endpoint["name"] in ("face_register", "face_delete"):
            continue
        fields = {**sent(endpoint, good), **extra}
        for face_id in (good["face_id"], str(good["face_id"])):
            answer = api.json(endpoint["name"], {**fields, "face_id": face_id})
            assert answer["code"] == 200, (endpoint["name"], answer)
    del api.http.headers["X-GW-Authorization"]


def test_every_required_parameter_absent_or_empty(api: Api, contract: dict[str, Any], good: dict[str, Any]) -> None:
    codes = {"app_id": 40307, "user_id": 40310, "face_id": 40318, "image": 40300}
    tried = 0
    for endpoint in contract["endpoints"]:
        fields = sent(endpoint, good)
        for name in fields.keys() & codes.keys():
            if name == "image" and endpoint["name"] == "face_update":
                continue  # would delete
            others = {key: value for key, value in fields.items() if key != name}
            for broken in (others, {**others, name: None}, {**others, name: ""}):
                answer = api.json(endpoint["name"], broken)
                assert answer["code"] == codes[name], (endpoint["name"], name, answer)
                tried += 1
    assert tried == 45


def provoking(good: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """For each code the change to a good request that brings it about, wherever the interface can return it."""
    values = pixels(good["image"])
    two = jpeg(np.concatenate([values, values], axis=1))
    light = jpeg(np.clip(values.astype(np.float32) * 0.3 + 200, 0, 255).astype(np.uint8))
    yield from (
        (40201, dict.fromkeys(good)),
        (40202, {"app_id": "a" * 129}),
        (40203, {"app_id": "a\nb", "max_num": "0", "face_direction": "5"}),
        (40301, {"image": jpeg((values * 0.22).astype(np.uint8))}),
        (40302, {"image": jpeg(cv2.GaussianBlur(values, (0, 0), 9))}),
        (40303, {"image": light}),
        (40304, {"image": NOBODY}),
        (40305, {"face_direction": "1"}),
        (40306, {"image": two}),
        (40307, {"app_id": ""}),
        (40308, {"image": b"no picture"}),
        (40309, {"user_id": "nobody"}),
        (40310, {"user_id": ""}),
        (40311, {"image": two}),
        (40315, {}),
        (40316, {"app_id": "nowhere"}),
        (40317, {"user_id": "nobody"}),
    )


def own_cases(name: str, good: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Codes that each interface answers to another question."""
    if name == "face_update":
        yield from ((40313, {"image": "", "face_id": "x"}), (40318, {"face_id": "x"}))
    elif name == "face_delete":
        yield from ((40313, {"face_id": "x"}), (40318, {"face_id": ""}))
    elif name == "face_recognise":
        yield (40312, {"app_id": "enn-empty"})
    if name not in ("face_delete", "face_search", "face_update"):
        yield (40300, {"image": ""})


def test_every_code_an_interface_can_return(api: Api, contract: dict[str, Any], good: dict[str, Any]) -> None:
    empty = {"app_id": "enn-empty", "user_id": "u"}
    api("face_delete", {**empty, "face_id": api("face_register", {**good, **empty})["face_id"]})
    # Another face of the library, that an update would make the same as the first.
    other = api("face_register", {**good, "user_id": "other", "image": another_of(good["image"])})["face_id"]
    for endpoint in contract["endpoints"]:
        name = endpoint["name"]
        got = {api(name, sent(endpoint, good))["code"]} if name not in ("face_register", "face_delete") else {200}
        for code, change in (*provoking(good), *own_cases(name, good)):
            if code in endpoint["error_codes"] and not (name == "face_register" and code == PROVISIONED):
                fields = {**sent(endpoint, good), **change}
                if name == "face_update" and code == 40315:
                    fields["face_id"] = other
                answer = api.json(name, {key: fields[key] for key in fields if fields[key] is not None})
                assert answer["code"] == code, (name, code, answer)
                assert code != 40315 or answer["face_id"] == good["face_id"], answer
                got.add(code)
        if name == "face_update":
            assert api(name, {**sent(endpoint, good), "image": b""})["code"] == 40300  # a file with a name
            got.add(40300)
        unseen = set(endpoint["error_codes"]) - got - {DETECTOR_FAILED}
        assert unseen == ({PROVISIONED} if name == "face_register" else set()), name


def test_provisioning(tmp_path: Path, contract: dict[str, Any], portrait: bytes) -> None:
    with serving(tmp_path, enn_provisioned="true") as server:
        api = Api(server.url, contract)
        answer = api("face_register", {"app_id": "nowhere", "user_id": "u", "image": portrait})
        assert (answer["code"], answer["face_id"]) == (PROVISIONED, -1)
