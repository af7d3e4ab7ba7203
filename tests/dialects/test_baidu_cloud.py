"""The public cloud at the wire: tokens, every path, and what the vendor's SDKs of all languages do to a request."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from face_server.app import create_app
from face_server.dialects.baidu_cloud import tokens as tokens_module
from face_server.dialects.baidu_cloud.paths import CALLS, NOT_GRANTED
from face_server.settings import Settings
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import image, text, variant

TOKEN = "/oauth/2.0/token"
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}
REST = "/rest/2.0/face/"
GROUPS = REST + "v3/faceset/group/getlist"
H5_PATHS = ("v1/faceliveness/sessioncode", "v1/faceliveness/verify")


def pair(key: str, secret: str = "secret") -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": key, "client_secret": secret}


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def token_of(http: httpx.Client, key: str, secret: str = "secret") -> str:
    told = http.get(TOKEN, params=pair(key, secret)).json()
    assert isinstance(told["access_token"], str), told
    return str(told["access_token"])


def call(http: httpx.Client, token: str, path: str, body: object = None, **how: Any) -> dict[str, Any]:
    content = json.dumps({} if body is None else body)
    how = {"content": content, "headers": JSON, "params": {"access_token": token}, **how}
    response = http.post(REST + path, **how)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer: dict[str, Any] = response.json()
    assert answer.keys() >= {"error_code", "error_msg", "timestamp", "cached", "result"}
    return answer


# Tokens

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "Python, PHP, .NET: GET with a query": ("GET", {"params": pair("ways")}),
    "Java, Node: POST form": ("POST", {"data": pair("ways")}),
    "POST with all in the query and no body": ("POST", {"params": pair("ways"), "headers": JSON}),
    "POST with all in the query and an empty object": ("POST", {"params": pair("ways"), "json": {}}),
    "POST JSON": ("POST", {"json": pair("ways")}),
    "POST JSON labelled as a form": ("POST", {"content": json.dumps(pair("ways")), "headers": FORM}),
    "POST multipart": ("POST", {"data": pair("ways"), "files": {"none": b""}}),
    "POST half in the query": ("POST", {"params": {"grant_type": "client_credentials"}, "data": pair("ways")}),
    "the Host of the cloud": ("GET", {"params": pair("ways"), "headers": {"host": "aip.baidubce.com"}}),
}


@pytest.mark.parametrize("way", WAYS)
def test_token(http: httpx.Client, way: str) -> None:
    method, how = WAYS[way]
    response = http.request(method, TOKEN, **how)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    told = response.json()
    assert told.keys() == {
        "access_token",
        "expires_in",
        "scope",
        "refresh_token",
        "session_key",
        "session_secret",
    }
    assert told["expires_in"] == 2592000
    assert "brain_all_scope" in told["scope"].split(" ")
    assert quote(told["access_token"], safe="") == told["access_token"]
    assert call(http, told["access_token"], "v3/faceset/group/getlist")["error_code"] == 0


@pytest.mark.parametrize(
    ("sent", "error", "description"),
    [
        (pair(""), "invalid_client", "unknown client id"),
        (pair("a\nb"), "invalid_client", "unknown client id"),
        (pair("a\0b"), "invalid_client", "unknown client id"),
        (pair("a" * 129), "invalid_client", "unknown client id"),
        (pair("a" * 5000), "invalid_client", "unknown client id"),
        (pair("a") | {"grant_type": "password"}, "unsupported_grant_type", None),
        ({"client_id": "a", "client_secret": "b"}, "unsupported_grant_type", None),
        ({}, "unsupported_grant_type", None),
    ],
)
def test_no_token(http: httpx.Client, sent: dict[str, str], error: str, description: str | None) -> None:
    for told in (http.get(TOKEN, params=sent), http.post(TOKEN, data=sent)):
        assert told.status_code == 200
        assert told.json().keys() == {"error", "error_description"}
        assert told.json()["error"] == error
        assert description in (None, told.json()["error_description"])


@pytest.mark.parametrize("body", ["{", "[]", "nonsense", '{"client_id": 5}', "a=b&" * 2000])
def test_token_requests_that_are_none(http: httpx.Client, body: str) -> None:
    told = http.post(TOKEN, content=body, headers=FORM)
    assert told.status_code == 200
    assert told.json().keys() == {"error", "error_description"}


def test_a_new_token_does_not_end_the_old_one(http: httpx.Client) -> None:
    first = token_of(http, "twoTokens")
    assert call(http, first, "v3/faceset/group/add", {"group_id": "g"})["error_code"] == 0
    second = token_of(http, "twoTokens", "another secret: authorization is open")
    for token in (first, second, first):
        assert call(http, token, "v3/faceset/group/getlist")["result"]["group_id_list"] == ["g"]


def test_refresh_token(http: httpx.Client) -> None:
    told = http.get(TOKEN, params=pair("fresh")).json()
    again = {**pair("fresh"), "grant_type": "refresh_token"}
    fresh = http.post(TOKEN, data={**again, "refresh_token": told["refresh_token"]}).json()
    assert call(http, fresh["access_token"], "v3/faceset/group/getlist")["error_code"] == 0
    assert call(http, told["refresh_token"], "v3/faceset/group/getlist")["error_code"] == 110
    for wrong in ("", told["access_token"], told["refresh_token"][:-2]):
        assert "access_token" not in http.post(TOKEN, data={**again, "refresh_token": wrong}).json()
    other = http.post(TOKEN, data={**again, "client_id": "other", "refresh_token": told["refresh_token"]})
    assert "access_token" not in other.json()


@pytest.mark.parametrize("key", ["4E1BG9lTlSeIf1NQFlrXYZ12", "all", "my-key.é 信息", "k" * 128])
def test_any_key_names_an_app_of_its_own(http: httpx.Client, key: str) -> None:
    token = token_of(http, key)
    group = {"group_id": "mine"}
    assert call(http, token, "v3/faceset/group/add", group)["error_code"] == 0
    assert call(http, token, "v3/faceset/group/getlist", {"appid": "other"})["result"] == {"group_id_list": ["mine"]}
    assert call(http, token_of(http, key + "x" if len(key) < 128 else "x"), "v3/faceset/group/getusers", group)[
        "error_code"
    ] in (223100, 222014)


# Every path


def private(http: httpx.Client, app: str, path: str, body: object) -> dict[str, Any]:
    answer: dict[str, Any] = http.post(f"/face-api/{path}", params={"appid": app}, json=body).json()
    return answer


READS = (
    "v3/detect",
    "v3/search",
    "v3/multi-search",
    "v3/faceset/user/get",
    "v3/faceset/face/getlist",
    "capture/search",
    "v3/faceset/group/getlist",
    "v3/faceset/group/getusers",
)
ARRAYS = ("v3/match", "v3/faceverify")


@pytest.fixture(scope="module")
def enrolled(http: httpx.Client, astronaut: bytes) -> str:
    """The app `same` has one user with this face."""
    sent = {"group_id": "g", "user_id": "u", **image(astronaut)}
    return str(private(http, "same", "v3/face/add", sent)["result"]["face_token"])


@pytest.mark.parametrize("path", CALLS)
def test_a_path_is_the_interface_of_the_private_deployment(http: httpx.Client, path: str, enrolled: str) -> None:
    """Asked for the same, both say the same."""
    known = {"image": enrolled, "image_type": "FACE_TOKEN"}
    bodies: list[object] = [{}]
    if path in ARRAYS:
        bodies = [[], [{}], [known] * 2, [known] * 9]
    elif path in READS:
        bodies += [{**known, "group_id": "g", "user_id": "u", "group_id_list": "g"}, {"image": "*"}]
    for body in bodies:
        here = call(http, token_of(http, "same"), path, body)
        there = private(http, "same", CALLS[path], body)
        for answer in (here, there):
            del answer["log_id"], answer["timestamp"]
        assert here == there, body
    assert bodies == [{}] or any(call(http, token_of(http, "same"), path, body)["error_code"] == 0 for body in bodies)


def test_what_is_written_is_seen_by_the_private_deployment(http: httpx.Client, astronaut: bytes) -> None:
    token, user = token_of(http, "written"), {"group_id": "g", "user_id": "u"}

    def write(path: str, **sent: str) -> Any:
        answer = call(http, token, path, sent)
        assert answer["error_code"] == 0, (path, answer)
        return answer["result"]

    def seen(path: str, **sent: str) -> Any:
        return next(iter(private(http, "written", path, sent)["result"].values()))

    for path, scene in (("v3/faceset/", {}), ("scene/faceset/", {"scene_type": "MONITOR"})):
        write(path + "group/add", group_id="g", **scene)
        face = write(path + "user/add", **user, **image(astronaut), **scene)["face_token"]
        assert [one["face_token"] for one in seen("v3/face/list", **user)] == [face]
        other = write(path + "user/update", **user, **image(variant(astronaut, 2)), **scene)["face_token"]
        assert [one["face_token"] for one in seen("v3/face/list", **user)] == [other]
        write("v3/faceset/group/add", group_id="copies")
        write("v3/faceset/user/copy", user_id="u", src_group_id="g", dst_group_id="copies")
        assert seen("v3/user/list", group_id="copies") == ["u"]
        write("v3/faceset/user/delete", group_id="copies", user_id="u")
        assert seen("v3/user/list", group_id="copies") == []
        write("v3/faceset/face/delete", **user, face_token=other)
        assert seen("v3/user/list", group_id="g") == []
        write("v3/faceset/group/delete", group_id="g")
        write("v3/faceset/group/delete", group_id="copies")
        assert seen("v3/group/list") == []


@pytest.mark.parametrize("path", NOT_GRANTED)
def test_what_nobody_here_can_know(http: httpx.Client, path: str, astronaut: bytes) -> None:
    answer = call(http, token_of(http, "police"), path, {**image(astronaut), "id_card_number": "1", "name": "a"})
    assert (answer["error_code"], answer["error_msg"]) == (6, "No permission to access data")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/rest/2.0/face/v3/nothing"),
        ("POST", "/rest/2.0/ocr/v1/general_basic"),
        ("POST", "/rpc/2.0/feedback/v1/report"),
        ("GET", "/rest/2.0/face/v3/detect"),
    ],
)
def test_paths_that_are_none(http: httpx.Client, method: str, path: str) -> None:
    answer = http.request(method, path)
    assert answer.status_code == 200
    assert (answer.json()["error_code"], answer.json()["error_msg"]) == (3, "Unsupported openapi method")


def test_video(http: httpx.Client) -> None:
    token = token_of(http, "video")
    session = call(http, token, H5_PATHS[0], headers=FORM, content="")["result"]
    assert session.keys() == {"session_id", "code"}
    sent = {"session_id": session["session_id"], "video_base64": text(b"no video")}
    answer = call(http, token, H5_PATHS[1], content=None, headers=None, data=sent)
    assert (answer["err_no"], answer["error_code"]) == (222203, 222203)
    for path in H5_PATHS:
        answer = call(http, "wrong", path)
        assert (answer["err_no"], answer["error_code"]) == (110, 110)


def test_paths_are_documented(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]
    for path in (*CALLS, *H5_PATHS, *NOT_GRANTED):
        post = paths[REST + path]["post"]
        assert [parameter["name"] for parameter in post["parameters"]] == ["access_token"]
        assert '"appid"' not in json.dumps(post)
    assert paths[TOKEN].keys() == {"get", "post"}


# Tokens that are none


def spoiled(token: str) -> dict[str, str]:
    content, signature = token.split(".")
    app, key, ends = json.loads(base64.urlsafe_b64decode(content + "=="))
    longer = base64.urlsafe_b64encode(json.dumps([app, key, ends + 9]).encode()).decode().rstrip("=")
    return {
        "unknown": "24.6c5e1ff107f0e8bcef8c46d3424a0e78.2592000.1485516651.282335-8574074",
        "another end": f"{longer}.{signature}",
        "another signature": f"{content}.{'A' * len(signature)}",
        "its last letter": token[:-1] + chr(ord(token[-1]) ^ 1),
        "no signature": content,
        "an empty signature": f"{content}.",
        "only a signature": f".{signature}",
        "letters of no alphabet": "é信息",
        "very long": "a" * 5000,
    }


def test_tokens_that_are_none(http: httpx.Client, astronaut: bytes) -> None:
    token = token_of(http, "spoiled")
    for why, wrong in spoiled(token).items():
        answer = call(http, wrong, "v3/detect", image(astronaut))
        assert (answer["error_code"], answer["result"]) == (110, None), why
        assert answer["error_msg"] == "Access token invalid or no longer valid"
    assert call(http, token, "v3/detect", image(astronaut))["error_code"] == 0


def test_no_token_at_all(http: httpx.Client) -> None:
    ways: tuple[dict[str, Any], ...] = ({"params": {}}, {"params": {"access_token": ""}}, {"params": {"appid": "a"}})
    for how in ways:
        assert call(http, "", "v3/detect", **how)["error_code"] == 100
    signed = {**JSON, "authorization": "bce-auth-v1/ak/2026-01-01T00:00:00Z/1800/host/0123"}
    assert call(http, "", "v3/detect", params={}, headers=signed)["error_code"] == 14


def test_refused_before_a_large_body_is_read(http: httpx.Client) -> None:
    body = b'{"image":"' + b"A" * (8 << 20) + b'"}'
    for _ in range(2):
        assert call(http, "wrong", "v3/detect", content=body)["error_code"] == 110


# What SDKs do to a request

QUIRKS: dict[str, dict[str, Any]] = {
    "JSON labelled as a form": {"headers": FORM},
    "no label": {"headers": {}},
    "the Host of the cloud": {"headers": {**JSON, "host": "aip.baidubce.com"}},
    "JSON after a byte order mark and blanks": {"before": "\ufeff \r\n"},
    "line breaks in base64": {"picture": lambda raw: base64.encodebytes(raw).decode()},
    "a data: head": {"picture": lambda raw: "data:image/png;base64," + text(raw)},
    "spaces for +": {"picture": lambda raw: text(raw).replace("+", " ")},
    "%2B left in JSON": {"picture": lambda raw: quote(text(raw), safe="")},
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_quirk(http: httpx.Client, quirk: str, astronaut: bytes) -> None:
    how = QUIRKS[quirk]
    picture = how.get("picture", text)(astronaut)
    assert picture != text(astronaut) or "picture" not in how
    sent = {"image": picture, "image_type": "BASE64", "max_face_num": "2", "face_field": "age"}
    content = (how.get("before", "") + json.dumps(sent)).encode()
    answer = call(http, token_of(http, "quirks"), "v3/detect", content=content, headers=how.get("headers", JSON))
    assert answer["result"]["face_num"] == 1


@pytest.mark.parametrize("escape", [lambda sent: quote(sent, safe=""), lambda sent: sent], ids=["%2B", "+ as it is"])
def test_form(http: httpx.Client, escape: Any, astronaut: bytes) -> None:
    """.NET and PHP: a real form, with the + of base64 escaped or forgotten."""
    content = f"image={escape(text(astronaut))}&image_type=BASE64&max_face_num=2"
    answer = call(http, token_of(http, "forms"), "v3/detect", content=content, headers=FORM)
    assert answer["result"]["face_num"] == 1


def test_arrays_labelled_as_forms(http: httpx.Client, astronaut: bytes) -> None:
    token, content = token_of(http, "arrays"), json.dumps([image(astronaut), image(variant(astronaut, 2))])
    assert call(http, token, "v3/match", content=content, headers=FORM)["result"]["score"] > 80
    assert len(call(http, token, "v3/faceverify", content=content, headers=FORM)["result"]["face_list"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        "aipSdk=node&access_token={}?aipSdk=node",
        "access_token={}?aipSdk=node",
        "access_token={}%3FaipSdk=node",
        "aipSdk=python&aipVersion=4.15.13&access_token={}",
        "access_token={}&aipSdk=java",
        "access_token={}&appid=another",
    ],
)
def test_token_in_a_query(http: httpx.Client, query: str) -> None:
    url = f"{GROUPS}?{query.format(token_of(http, 'queries'))}"
    answer = http.post(url, content="{}", headers=FORM).json()
    assert answer["result"] == {"group_id_list": []}


# Deployments


async def test_expired_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    async with app.router.lifespan_context(app), client_of(app) as client:
        codes = []
        for age in (29.9, 30.1):
            with monkeypatch.context() as patch:
                past = time.time() - age * 86400
                patch.setattr(tokens_module, "time", SimpleNamespace(time=lambda past=past: past))
                token = (await client.get(TOKEN, params=pair("old"))).json()["access_token"]
            codes.append((await client.post(GROUPS, params={"access_token": token})).json()["error_code"])
        assert codes == [0, 110]


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", timeout=30)


@pytest.fixture(scope="module")
def two_apps(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ServerProcess, dict[str, Any], dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("apps")
    shop, gym = (apps(folder, "create", name) for name in ("shop-1", "gym"))
    with serving(folder, auth="apps") as running:
        yield running, shop, gym


def apps(folder: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "face_server", "apps", *words, "--json", "--data-dir", str(folder)]
    made: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return made


TwoApps = tuple[ServerProcess, dict[str, Any], dict[str, Any]]


def test_with_app_secrets(two_apps: TwoApps) -> None:
    server, shop, gym = two_apps
    with httpx.Client(base_url=server.url, timeout=30) as http:
        for key, secret, why in (
            ("unknown", shop["secret"], "unknown client id"),
            ("shop-1", shop["secret"], "unknown client id"),
            (shop["key"], gym["secret"], "Client authentication failed"),
            (shop["key"], "", "Client authentication failed"),
        ):
            told = http.post(TOKEN, data=pair(key, secret))
            assert told.json() == {"error": "invalid_client", "error_description": why}
        shops, gyms = (token_of(http, app["key"], app["secret"]) for app in (shop, gym))
        assert call(http, shops, "v3/faceset/group/add", {"group_id": "mine"})["error_code"] == 0
        assert call(http, shops, "v3/faceset/group/getlist")["result"] == {"group_id_list": ["mine"]}
        asked = {"group_id": "mine", "appid": "shop-1"}
        assert call(http, gyms, "v3/faceset/group/getusers", asked)["error_code"] == 223100
        assert call(http, gyms, "v3/person/verify")["error_code"] == 6
        assert call(http, "wrong", "v3/person/verify")["error_code"] == 110


def test_token_ends_with_its_key_and_survives_a_restart(two_apps: TwoApps) -> None:
    server, _, gym = two_apps
    with httpx.Client(base_url=server.url, timeout=30) as http:
        old = token_of(http, gym["key"], gym["secret"])
        fresh = apps(server.data_dir, "rotate", "gym", "--overlap", "0")
        until = time.monotonic() + 30
        while call(http, old, "v3/faceset/group/getlist")["error_code"] == 0:
            assert time.monotonic() < until, "a token still works though its key is gone"
            time.sleep(0.1)
        assert call(http, old, "v3/faceset/group/getlist")["error_code"] == 110
        new = token_of(http, fresh["key"], fresh["secret"])
    server.stop()
    server.start()
    with httpx.Client(base_url=server.url, timeout=30) as http:
        assert call(http, new, "v3/faceset/group/getlist")["error_code"] == 0
        assert call(http, old, "v3/faceset/group/getlist")["error_code"] == 110
    assert new not in server.log.read_text()
    assert fresh["secret"] not in server.log.read_text()


async def test_token_from_open_days_is_worth_nothing(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    async with app.router.lifespan_context(app), client_of(app) as client:
        token = (await client.get(TOKEN, params=pair("default"))).json()["access_token"]
    app = create_app(Settings(data_dir=tmp_path, auth="apps"))
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.post(GROUPS, params={"access_token": token})).json()["error_code"] == 110
