"""The face box contract as a machine reads it: every parameter, every field, every example and every code."""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import httpx
import pytest

from face_server.dialects.facebox import codes, groups, library, tables
from face_server.settings import Settings
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import NOBODY, jpeg, pixels
from tests.clients.facebox_client import picture
from tests.conformance.fields import check, rows_of
from tests.conformance.plugin import Proves
from tests.portraits import portrait_of

Endpoint = dict[str, Any]
Values = dict[str, Any]
Answer = dict[str, Any]

ABSENT = object()
UNKNOWN = {"faceToken": 104203, "imageId": 104202, "groupId": 104311}  # of an id in the path
INSIDE = 104500  # needs a core that fails: test_failures.py
MANY = "&".join(["a=1"] * 1001)  # a query that nobody means
_numbers = itertools.count()


class Api:
    """Sends what an interface documents and holds every answer to its envelope."""

    def __init__(self, server: ServerProcess, contract: dict[str, Any]) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, timeout=60)
        self.endpoints: dict[str, Endpoint] = {endpoint["name"]: endpoint for endpoint in contract["endpoints"]}

    def __call__(self, name: str, values: Values, **how: Any) -> Answer:
        endpoint = self.endpoints[name]
        path = endpoint["path"]
        for name_of_id in re.findall(r"\{(\w+)\}", path):
            path = path.replace(f"{{{name_of_id}}}", quote(values[name_of_id], safe=""))
        fields = {p["name"]: values[p["name"]] for p in endpoint["params"] if p["in"] != "path" and p["name"] in values}
        fields = {key: value for key, value in fields.items() if value is not ABSENT}
        if endpoint["method"] == "GET":
            how = {"params": {key: str(value) for key, value in fields.items() if value is not None}} | how
        elif endpoint["body_type"] == "object":
            how = {"json": fields} | how
        return self.checked(endpoint, self.http.request(endpoint["method"], path, **how))

    def checked(self, endpoint: Endpoint, response: httpx.Response) -> Answer:
        answer: Answer = response.json()
        assert list(answer) == ["code", "msg", "data"]
        assert response.headers["content-type"] == "application/json"
        code = answer["code"]
        assert response.status_code == (200 if code == 0 else 400), (endpoint["name"], answer)
        if code:
            assert code in endpoint["error_codes"], (endpoint["name"], answer)
            assert answer["data"] == {}
        text = codes.MESSAGES[code].format(detail="")
        assert answer["msg"].startswith(text) if text.endswith(":") else answer["msg"] == text
        return answer

    def stored(self) -> list[Any]:
        """Everything that a refused request must leave as it is."""
        with sqlite3.connect(f"file:{self.server.data_dir}/faces.db?mode=ro", uri=True) as connection:
            tables_ = ("apps", "groups", "users", "faces", "pictures")
            found = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables_]
        return [*found, sorted(path.name for path in (self.server.data_dir / "pictures").glob("??/*"))]


@pytest.fixture(scope="module")
def contract(proves: Proves) -> dict[str, Any]:
    return proves.written("facebox")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, contract: dict[str, Any]) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("facebox-spec")) as server:
        yield Api(server, contract)


@pytest.fixture(scope="module")
def portrait(astronaut: bytes) -> bytes:
    return portrait_of(astronaut)


@pytest.fixture
def good(api: Api, portrait: bytes) -> Values:
    """A good value of every parameter, in a library with five bound faces."""
    api("faces_lib_init", {})
    for group in api("group_list", {})["data"]["faceGroupList"]:
        api("group_delete", {"groupId": group["groupId"], "deleteAllFace": 1})
    number = next(_numbers)
    values: Values = {
        "image": picture(portrait),
        "image1": picture(portrait),
        "image2": picture(portrait),
        "description": "8.png",
        "imageMd5": f"new-{number}",
        "name": "安",
        "gender": "female",
        "pageOffset": 0,
        "pageSize": 10,
        "groupId": "组1",
        "groupType": "白名单",
        "groupName": "同事",
        "groupScore": 80,
        "deleteAllFace": 4,
        "faceGroupList": ["组1"],
        "group": ["组1"],
        "topN": 5,
        "livenessEnabled": True,
        "featureUpload": True,
    }
    assert api("group_create", values)["code"] == 0
    for n in range(5):
        made = api("face_create", values | {"imageMd5": f"there-{number}-{n}"})["data"]
        assert api("group_bind", values | made)["code"] == 0
    return values | {"faceToken": made["faceToken"], "imageId": made["imageId"]}


def fresh(name: str, good: Values) -> Values:
    """The same for an interface that makes something: under another name."""
    return good | {"groupId": "组2", "groupName": "another"} if name == "group_create" else good


def test_codes_and_limits(contract: dict[str, Any]) -> None:
    listed = [*contract["errors"], *contract["extension_errors"]]
    said = {entry["code"]: re.sub("<.*>", "{detail}", entry["message"]) for entry in listed}
    assert said | {0: "SUCCESS"} == codes.MESSAGES
    assert {entry["code"]: entry["http"] for entry in listed} == {code: codes.status_of(code) for code in said}
    assert (len(contract["errors"]), len(contract["endpoints"])) == (8, 16)
    limits, rules = contract["limits"], library.REGISTERED
    assert rules.largest_file == limits["image_bytes"]
    assert [rules.longest, rules.shorter] == limits["image_max_pixels"]
    assert [rules.least, rules.least] == limits["image_min_pixels"]
    assert limits["groups"] == groups.MOST
    assert limits["topN"] == [1, tables.MOST_RESULTS]
    assert limits["groupScore_default"] == tables.SCORE
    assert Settings().facebox_turned_degrees == 30


def test_every_field_of_every_answer_and_no_other(api: Api, good: Values) -> None:
    ending = ["group_unbind", "group_delete", "face_delete", "image_delete", "faces_lib_init"]
    order = [name for name in api.endpoints if name not in ending]
    for name in [*order, *ending]:
        values = fresh(name, good)
        if name in ("group_bind", "group_unbind"):
            values = values | {"faceGroupList": ["组1", "unknown"]}
        if name == "group_delete":
            values = values | {"groupId": "组2"}
        answer, rows = api(name, values), rows_of(api.endpoints[name]["response"])
        assert answer["code"] == 0, (name, answer)
        assert check(answer, rows) == ({row.path for row in rows}, []), name


def test_every_example_request(api: Api, good: Values, proves: Proves) -> None:
    """They name faces that are not there; pictures are filled in."""
    api("group_create", {"groupId": "default", "groupName": ""})
    expected = {
        **dict.fromkeys(("face_delete", "face_get", "group_bind", "group_unbind"), 104203),
        **dict.fromkeys(("image_delete", "image_get"), 104202),
    }
    order = [name for name in api.endpoints if name not in ("group_delete", "faces_lib_init")]
    for name in [*order, "group_delete", "faces_lib_init"]:
        endpoint = api.endpoints[name]
        head, _, body = endpoint["example_request"].partition("\n\n")
        method, path = head.splitlines()[0].split(" ", 1)
        sent = json.loads(body) if body else None
        pictures = {key: good["image"] for key, value in (sent or {}).items() if key.startswith("image") and value}
        with proves.example("facebox", name):
            answer = api.checked(endpoint, api.http.request(method, path, json=sent | pictures if sent else None))
        assert answer["code"] == expected.get(name, 0), (name, answer)


def test_every_example_answer_has_our_fields(contract: dict[str, Any]) -> None:
    for endpoint in contract["endpoints"]:
        rows = [row for row in rows_of(endpoint["response"]) if row.always]
        _, faults = check(endpoint["example_response"], rows)
        assert [fault for fault in faults if fault.endswith("is missing")] == [], endpoint["name"]


def spoiled(param: dict[str, Any]) -> Iterator[Any]:
    """Values that break the rule of a parameter."""
    kind, name = param["type"], param["name"]
    if kind in ("int", "bool"):
        yield from ("x", "1.5", 1.5, [1], {"a": 1}, "٣")
        yield from ((True, 10**30) if kind == "int" else (2, "yes"))
    elif kind == "string":
        yield from (5, True, ["a"], {"a": "b"}, "a\0b")
    else:
        yield from ("a,b", 5, {"a": 1}, [], [1], ["a", None], [["a"]], ["a\0"])
    if param["max_len"]:
        most = param["max_len"]
        yield from ("a" * (most + 1), "人" * (most // 3 + 1), "a" * 5000)
    if param["enum"]:
        yield from (min(param["enum"]) - 1, max(param["enum"]) + 1)
    yield from (param[bound] + step for bound, step in (("min", -1), ("max", 1)) if bound in param)
    if name.startswith("image") and name != "imageMd5":
        yield from ("not base64!", "data:image/jpg;base64,", "data:image/jpg;base64", "=")
    if name in ("groupId", "imageMd5"):
        yield "a/b"


def test_every_parameter_spoiled(api: Api, good: Values) -> None:
    """Each by the name it has, and nothing of the request is left."""
    tried = 0
    before = api.stored()
    for name, endpoint in api.endpoints.items():
        values = fresh(name, good)
        for param in endpoint["params"]:
            if param["in"] == "path":
                continue
            bad = list(spoiled(param))
            if endpoint["method"] == "GET":
                bad = [value for value in bad if isinstance(value, str | int | float) and not isinstance(value, bool)]
            if param["required"]:
                bad += [ABSENT, None] + ([] if param["name"] == "groupName" else [""])
            for value in bad:
                answer = api(name, {**values, param["name"]: value})
                assert answer["code"] == 104400, (name, param["name"], value, answer)
                assert answer["msg"] == f"PARAM_ERROR:{param['name']}"
                tried += 1
    assert api.stored() == before
    assert tried > 250


def test_every_unknown_id_of_a_path(api: Api, good: Values) -> None:
    before, tried = api.stored(), 0
    for name, endpoint in api.endpoints.items():
        for param in endpoint["params"]:
            if param["in"] == "path":
                for value in ("x", "人" * 24, "a" * 24, "a/b", "a" * 5000, "a\0b", " ", "..."):
                    code = api(name, {**good, param["name"]: value})["code"]
                    assert code == UNKNOWN[param["name"]], (name, value)
                    tried += 1
    assert api.stored() == before
    assert tried == 64


def test_what_must_not_matter(api: Api, good: Values) -> None:
    """Unknown parameters, null and absence of what is optional, numbers and booleans in texts, the Content-Type."""
    for name, endpoint in api.endpoints.items():
        if name in ("faces_lib_init", "face_delete", "image_delete", "group_delete", "group_unbind"):
            continue
        params = [param for param in endpoint["params"] if param["in"] != "path"]
        needed = {p["name"]: good[p["name"]] for p in params if p["required"]} | (
            {"imageMd5": None} if name == "face_create" else {}
        )
        lean = {p["name"]: None for p in params if not p["required"]}
        texts = {p["name"]: str(good[p["name"]]) for p in params if p["type"] in ("int", "bool")}
        for n, changes in enumerate((needed | lean, texts, {p["name"]: ABSENT for p in params if not p["required"]})):
            values = good | changes
            if name == "group_create":
                values |= {"groupId": f"g{n}", "groupName": f"name {n}"}
            if name == "face_create":
                values |= {"imageMd5": f"{good['imageMd5']}-{n}"}
            assert api(name, values)["code"] == 0, (name, n)
        if endpoint["body_type"] == "object" and endpoint["method"] != "GET":
            values = good | {"groupId": "typed", "groupName": name, "imageMd5": f"{good['imageMd5']}-typed"}
            if name == "group_update":
                values["groupId"] = good["groupId"]
            fields = {p["name"]: values[p["name"]] for p in params} | {"unknown": {"a": [None]}, "app_id": 5}
            headers = {"content-type": "application/x-www-form-urlencoded"}
            sent = b"\xef\xbb\xbf \n" + json.dumps(fields).encode()
            assert api(name, values, json=None, content=sent, headers=headers)["code"] == 0, name


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"5", b"null", b"a=b", b"\xff\xfe", b"{" * 5000, b'{"a":1}x'])
def test_bad_bodies(api: Api, body: bytes) -> None:
    for name, endpoint in api.endpoints.items():
        if endpoint["method"] != "GET":
            values = {"faceToken": "x", "groupId": "x", "imageId": "x"}
            answer = api(name, values, json=None, content=body)
            assert (answer["code"], answer["msg"]) == (104400, "PARAM_ERROR:body"), name


def test_every_code_an_interface_can_return(api: Api, good: Values, portrait: bytes) -> None:
    two, nobody = "two", picture(NOBODY)
    assert api("group_create", {"groupId": two, "groupName": two})["code"] == 0
    blurred = picture(jpeg(cv2.GaussianBlur(pixels(portrait), (0, 0), 9)))
    of_another_server = ("another", time.time() + 600)  # who it is, and its last sign of life
    job = ("export", '{"app": "default", "group": "two"}', "running", 0, time.time(), time.time(), "x", "[]")
    with sqlite3.connect(api.server.data_dir / "faces.db", timeout=30) as connection:
        names = "kind, what, state, done, created, starts, author, columns, owner, seen"
        row = (*job, *of_another_server)
        connection.execute(f"INSERT INTO jobs ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    changes: list[tuple[int, Values]] = [
        (104200, {"image": nobody, "image2": nobody}),
        (104201, {"image": blurred}),
        (104202, {"imageId": "x"}),
        (104203, {"faceToken": "x"}),
        (104204, {"imageMd5": good["imageId"]}),
        (104300, {"groupName": two, "groupId": "three"}),
        (104304, {"groupId": two}),
        (104310, {}),
        (104311, {"groupId": "x", "group": ["组1", "x"]}),
    ]
    for name, endpoint in api.endpoints.items():
        got = {INSIDE}
        for code, change in changes:
            if code in endpoint["error_codes"]:
                values = good | change
                if name == "group_update" and code == 104300:
                    values |= {"groupId": good["groupId"]}
                answer = api(name, values)
                assert answer["code"] == code, (name, code, answer)
                got.add(code)
        got.add(api(name, good, params=MANY)["code"])
        if name == "group_create":
            for n in range(62):
                assert api(name, {"groupId": f"many {n}", "groupName": ""})["code"] == 0
            got.add(api(name, {"groupId": "one more", "groupName": ""})["code"])
        assert got == set(endpoint["error_codes"]), name
    with sqlite3.connect(api.server.data_dir / "faces.db", timeout=30) as connection:
        connection.execute("DELETE FROM jobs")


def test_other_methods_and_paths(api: Api) -> None:
    for method, path in (("PUT", "/api/faces"), ("DELETE", "/api/faceGroups"), ("GET", "/api/face/search")):
        assert api.http.request(method, path).status_code == 405
    assert api.http.get("/api/other").status_code == 404


def test_too_large_bodies(tmp_path: Path, contract: dict[str, Any]) -> None:
    with serving(tmp_path, max_body_mb=1) as server:
        api = Api(server, contract)
        large = "data:image/jpg;base64," + "A" * (1 << 20)
        answer = api("face_create", {"image": large})
        assert (answer["code"], answer["msg"]) == (104201, "BAD_QUALITY:size")
        answer = api("face_search", {"image": large, "group": ["default"]})
        assert (answer["code"], answer["msg"]) == (104400, "PARAM_ERROR:body")
