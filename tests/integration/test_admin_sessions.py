"""Who may come in, and what each role may do there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.load.server import ServerProcess, serving
from tests.admin_client import PASSWORD, Console, furnish

EVERY_PATH = ("session", "about", "apps", "groups?app=default", "jobs", "server", "settings", "keys", "audit")
NEW_GROUP = {"app": "default", "group": "new"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("guarded")
    furnish(folder, accounts=True)
    with serving(folder) as running:
        yield running


@pytest.fixture
def console(guarded: ServerProcess) -> Iterator[Console]:
    with Console(guarded.url) as client:
        yield client


@pytest.fixture
def opened(server: ServerProcess) -> Iterator[Console]:
    with Console(server.url) as client:
        yield client


def set_password(folder: Path, *arguments: str, given: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    command = [sys.executable, "-m", "face_server", "admin", "password", *arguments, "--data-dir", str(folder)]
    return subprocess.run(
        command, env=inherited, input=given + "\n", capture_output=True, text=True, timeout=60, check=False
    )


def test_beyond_loopback_nobody_comes_in_before_the_first_password(tmp_path: Path) -> None:
    with serving(tmp_path, host="0.0.0.0") as running, Console(running.url) as client:
        for path in EVERY_PATH:
            answer = client.get(f"/{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_password")
        assert client.post("/look", content=b"x").status_code == 401
        assert "face-server admin password" in running.log.read_text()

        assert set_password(tmp_path, given="short").returncode == 1
        assert set_password(tmp_path, "--role", "king").returncode == 1
        assert set_password(tmp_path).returncode == 0
        assert client.get("/about").json()["error"]["code"] == "sign_in"
        assert client.sign_in("admin").status_code == 200
        assert client.ask("GET", "/session")["role"] == "admin"
        client.ask("POST", "/groups", 201, json=NEW_GROUP)

        assert set_password(tmp_path, given="another long one").returncode == 0
        client.ask("GET", "/about", 401)  # another password ends what was begun with the old one
        assert client.sign_in("admin").status_code == 401
        assert client.sign_in("admin", "another long one").status_code == 200
        assert PASSWORD not in running.log.read_text()


def test_loopback_is_open_for_who_sits_there(opened: Console) -> None:
    assert opened.ask("GET", "/session") == {"open": True, "name": "", "role": "admin", "expires": None}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Host": "evil.example"}, 403),
        ({"X-Forwarded-For": "10.0.0.7"}, 401),
        ({"Forwarded": "for=10.0.0.7"}, 401),
    ],
    ids=str,
)
def test_open_is_not_open_for_other_sites_and_proxies(opened: Console, headers: dict[str, str], status: int) -> None:
    opened.ask("POST", "/groups", status, json=NEW_GROUP, headers=headers)
    opened.ask("GET", "/apps", status, headers=headers)


def test_a_page_of_this_server_may_change_things(opened: Console) -> None:
    own = str(opened.base_url).removesuffix("/admin/v1/")
    opened.ask("POST", "/groups", 201, json={"app": "own_page", "group": "g"}, headers={"Origin": own})


def test_cookies_are_as_strict_as_they_can_be(console: Console) -> None:
    said = console.sign_in("viewer").headers.get_list("set-cookie")
    session, csrf = (next(line for line in said if line.startswith(name)) for name in ("face_session", "face_csrf"))
    assert "HttpOnly" in session
    assert "HttpOnly" not in csrf
    assert all("samesite=strict" in line.lower() for line in said)


@pytest.mark.parametrize("token", [None, "", "guessed", "é"])
def test_a_stolen_cookie_changes_nothing(console: Console, token: str | None) -> None:
    console.sign_in("admin")
    del console.headers["X-CSRF-Token"]
    stolen = {"face_session": console.cookies["face_session"]}
    headers = {} if token is None else {b"X-CSRF-Token": token.encode("latin-1")}
    with Console(str(console.base_url).removesuffix("/admin/v1/")) as thief:
        thief.cookies.update(stolen)
        before = thief.ask("GET", "/groups?app=default")
        for method, path, more in CHANGES:
            answer = thief.request(method, path, headers=headers, **more)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf")
        assert thief.ask("GET", "/groups?app=default") == before
        assert "face_csrf" not in thief.cookies


@pytest.mark.parametrize("change", ["name", "signature", "expires"])
def test_a_cookie_that_was_changed_is_nobodys(console: Console, change: str) -> None:
    import base64
    import json

    console.sign_in("viewer")
    payload, _, signature = console.cookies["face_session"].strip('"').partition(".")
    facts = json.loads(base64.urlsafe_b64decode(payload))
    if change == "signature":
        signature = "0" * 64
    else:
        facts[change] = "admin" if change == "name" else facts[change] + 1e6
    forged = f"{base64.urlsafe_b64encode(json.dumps(facts).encode()).decode()}.{signature}"
    console.cookies.clear()
    console.ask("GET", "/about", 401, headers={"Cookie": f"face_session={forged}"})


def test_signing_out_ends_this_session_for_who_copied_the_cookie_too(console: Console, guarded: ServerProcess) -> None:
    console.sign_in("viewer")
    copied = console.cookies["face_session"]
    with Console(guarded.url) as elsewhere:
        elsewhere.sign_in("viewer")
        console.ask("DELETE", "/session", 204)
        elsewhere.ask("GET", "/about")
    console.sign_in("viewer")
    console.ask("DELETE", "/session", 204)
    assert "face_session" not in console.cookies
    console.ask("GET", "/about", 401, headers={"Cookie": f"face_session={copied}"})


CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/groups", {"json": NEW_GROUP}),
    ("DELETE", "/groups?app=default&group=crowd", {}),
    ("PATCH", "/users", {"json": {"app": "default", "group": "crowd", "user": "u0000", "info": "x"}}),
    ("POST", "/users/copy", {"json": {"app": "default", "user": "u0000", "source": "crowd", "target": "mixed"}}),
    ("DELETE", "/users?app=default&group=crowd&user=u0000", {}),
    ("POST", "/faces?app=default&group=crowd&user=x", {"content": b"picture"}),
    ("DELETE", "/faces/1?app=default", {}),
    ("POST", "/jobs", {"json": {"kind": "duplicates", "app": "default", "group": "mixed"}}),
    ("POST", "/jobs/1/cancel", {}),
]
KEYS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/keys", {}),
    ("POST", "/keys", {"json": {"app": "acme"}}),
    ("POST", "/keys/rotate", {"json": {"key": "x"}}),
    ("DELETE", "/keys?key=x", {}),
    ("PUT", "/gates?app=default", {"json": {"own": {}}}),
    ("DELETE", "/gates?app=default", {}),
    ("POST", "/packs/install", {"json": {"pack": "open", "accept_license": True}}),
    ("POST", "/packs/verify", {"json": {"pack": "builtin"}}),
    ("POST", "/packs/calibrate", {"json": {"pack": "builtin", "archive": "x"}}),
    ("POST", "/uploads", {"content": b"archive"}),
]


def _refused(console: Console, requests: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[int, str]]:
    answers = [console.request(method, path, **more) for method, path, more in requests]
    return [(answer.status_code, answer.json()["error"]["code"]) for answer in answers]


def test_every_change_of_the_schema_is_in_these_tables(opened: Console, server: ServerProcess) -> None:
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    known = {(method, path.split("?")[0].replace("/1", "/{}")) for method, path, _ in CHANGES + KEYS}
    free = {("POST", f"/{name}") for name in ("session", "look", "compare", "search")} | {("DELETE", "/session")}
    for path, methods in paths.items():
        for method in methods:
            if path.startswith("/admin/v1") and method != "get":
                short = path.removeprefix("/admin/v1").replace("{face_id}", "{}").replace("{job_id}", "{}")
                assert (method.upper(), short) in known | free


def test_a_viewer_cannot_change_anything(console: Console) -> None:
    console.sign_in("viewer")
    before = console.ask("GET", "/groups?app=default"), console.ask("GET", "/jobs")
    assert set(_refused(console, CHANGES + KEYS)) == {(403, "role")}
    console.ask("GET", "/audit", 403)
    assert (console.ask("GET", "/groups?app=default"), console.ask("GET", "/jobs")) == before
    assert console.post("/look", content=b"no picture").status_code == 400  # looking is no change


def test_an_operator_changes_the_library_and_touches_no_key(console: Console) -> None:
    console.sign_in("operator")
    assert set(_refused(console, KEYS)) == {(403, "role")}
    console.ask("POST", "/groups", 201, json={"app": "default", "group": "by_operator"})


def test_an_admin_gives_out_keys_and_sees_the_secret_once(console: Console) -> None:
    console.sign_in("admin")
    first = console.ask("POST", "/keys", 201, json={"app": "acme"})
    second = console.ask("POST", "/keys/rotate", json={"key": first["key"], "overlap_hours": 1})
    listed = console.ask("GET", "/keys", params={"app": "acme"})["items"]
    assert {row["key"] for row in listed} == {first["key"], second["key"]}
    told = str(listed) + str(console.ask("GET", "/audit"))
    assert first["secret"] not in told
    assert second["secret"] not in told
    console.ask("DELETE", "/keys", 204, params={"key": first["key"]})
    console.ask("DELETE", "/keys", 404, params={"key": first["key"]})
    assert [row["key"] for row in console.ask("GET", "/keys")["items"]] == [second["key"]]


def test_who_guesses_is_slowed_and_nobody_else(console: Console, guarded: ServerProcess) -> None:
    codes = [console.sign_in("guessed", f"guess {n}").status_code for n in range(10)]
    assert codes[:3] == [401, 401, 401]
    assert codes[-1] == 429
    assert int(console.post("/session", json={"name": "guessed", "password": PASSWORD}).headers["Retry-After"]) > 0
    with Console(guarded.url) as other:
        assert other.sign_in("viewer").status_code == 200  # from the same address, and not a moment later


def test_guessing_at_once_does_not_help(guarded: ServerProcess) -> None:
    def guess(number: int) -> int:
        with Console(guarded.url) as client:
            return client.sign_in("guessed.at.once", f"guess {number}").status_code

    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(guess, range(20))).count(429) >= 16


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a\0", "é", None, 5])
def test_a_name_that_nobody_can_have(console: Console, name: object) -> None:
    answer = console.post("/session", json={"name": name, "password": PASSWORD})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_parameter")


def test_every_change_is_in_the_audit_log(console: Console) -> None:
    console.sign_in("nobody", "a wrong password")
    console.sign_in("admin")
    console.ask("POST", "/groups", 201, json={"app": "default", "group": "noted"})
    console.ask("POST", "/groups", 409, json={"app": "default", "group": "noted"})
    rows = console.ask("GET", "/audit", params={"limit": 4})["items"]
    assert [(row["name"], row["action"], row["outcome"]) for row in rows] == [
        ("admin", "add_group", "group_exists"),
        ("admin", "add_group", "ok"),
        ("admin", "sign_in", "ok"),
        ("nobody", "sign_in", "wrong_password"),
    ]
    assert rows[1]["target"] == {"app": "default", "group": "noted"}
    assert {row["source"] for row in rows} == {"127.0.0.1"}
    assert PASSWORD not in str(rows)
    assert {row["action"] for row in console.ask("GET", "/audit?action=sign_in")["items"]} == {"sign_in"}
