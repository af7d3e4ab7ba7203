"""`face-server apps` in a process of its own, beside a running server and without one."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from face_server.dialects.baidu_cloud.oauth import SCOPE
from scripts.load.server import ServerProcess, serving

SECONDS_TO_FOLLOW = 30


def apps(data_dir: Path, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    command = [sys.executable, "-m", "face_server", "apps", *words, "--data-dir", str(data_dir)]
    return subprocess.run(command, env=environment, input=answer, capture_output=True, text=True, timeout=60)


def told(data_dir: Path, *words: str) -> Any:
    done = apps(data_dir, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_TO_FOLLOW
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("guarded"), auth="apps") as running:
        yield running


def baidu(url: str, issued: dict[str, str], path: str, **sent: str) -> int:
    query = {"appid": issued["app"], "access_token": issued["token"]}
    return int(httpx.post(f"{url}/face-api/v3/{path}", params=query, json=sent, timeout=60).json()["error_code"])


def test_beside_a_server(guarded: ServerProcess, astronaut: bytes) -> None:
    url, folder = guarded.url, guarded.data_dir
    first = told(folder, "create", "gate")
    until(lambda: baidu(url, first, "group/list") == 0)

    image = {"image": base64.b64encode(astronaut).decode(), "image_type": "BASE64"}
    assert baidu(url, first, "face/add", **image, group_id="g", user_id="u") == 0
    assert baidu(url, first, "face/identify", **image, group_id_list="g") == 0
    assert any(path.is_file() for path in (folder / "pictures").rglob("*"))
    assert "face_galleries 1.0" in httpx.get(f"{url}/metrics").text

    second = told(folder, "rotate", "gate", "--overlap", "1")
    until(lambda: baidu(url, second, "group/list") == 0)
    assert baidu(url, first, "group/list") == 0
    third = told(folder, "rotate", "gate", "--overlap", "0")
    until(lambda: baidu(url, third, "group/list") == 0)
    assert baidu(url, first, "group/list") == baidu(url, second, "group/list") == 110

    def used() -> bool:
        (gate,) = [app for app in told(folder, "list") if app["app"] == "gate"]
        assert (gate["groups"], gate["faces"]) == (1, 1)
        (key,) = gate["keys"]
        return bool(key["key"] == third["key"] and key["last_use"] and key["ends"] is None)

    until(used)

    cloud = httpx.get(
        f"{url}/oauth/2.0/token",
        params={"grant_type": "client_credentials", "client_id": third["key"], "client_secret": third["secret"]},
    ).json()
    assert cloud["scope"] == SCOPE

    refused = apps(folder, "delete", "gate", answer="n\n")
    assert refused.returncode != 0
    assert "1 groups and 1 faces" in refused.stderr
    assert baidu(url, third, "group/list") == 0

    assert told(folder, "delete", "gate", "--yes") == {"app": "gate", "groups": 1, "faces": 1}
    until(lambda: baidu(url, third, "group/list") == 110)
    call = httpx.post(f"{url}/rest/2.0/face/v3/faceset/group/getlist?access_token={cloud['access_token']}", json={})
    assert call.json()["error_code"] == 110
    until(lambda: "face_galleries 0.0" in httpx.get(f"{url}/metrics").text)
    assert not any(path.is_file() for path in (folder / "pictures").rglob("*"))
    with closing(sqlite3.connect(folder / "faces.db")) as rows:
        for table in ("groups", "users", "faces", "changes", "credentials", "pictures", "albums"):
            assert rows.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
        assert rows.execute("SELECT name FROM apps").fetchall() == [("default",)]
    with closing(sqlite3.connect(folder / "tokens" / "index.db")) as tokens:
        assert tokens.execute("SELECT count(*) FROM tokens").fetchone() == (0,)

    again = told(folder, "create", "gate")
    until(lambda: baidu(url, again, "group/list") == 0)
    assert baidu(url, again, "face/identify", **image, group_id_list="g") == 223100
    assert baidu(url, again, "face/add", **image, group_id="g", user_id="new") == 0
    assert baidu(url, again, "face/identify", **image, group_id_list="g") == 0


def test_the_pictures_of_a_box_go_too(guarded: ServerProcess, astronaut: bytes) -> None:
    url, folder = guarded.url, guarded.data_dir
    issued = told(folder, "create", "box")
    auth = (issued["key"], issued["secret"])
    until(lambda: httpx.get(f"{url}/api/faceGroups", auth=auth).status_code == 200)
    before = {path for path in (folder / "pictures").rglob("*") if path.is_file()}
    body = {"image": base64.b64encode(astronaut).decode()}
    added = httpx.post(f"{url}/api/faces", json=body, auth=auth, timeout=60)
    assert added.status_code == 200, added.text
    assert {path for path in (folder / "pictures").rglob("*") if path.is_file()} > before
    told(folder, "delete", "box", "--yes")
    assert {path for path in (folder / "pictures").rglob("*") if path.is_file()} == before
    until(lambda: baidu(url, issued, "group/list") == 110)
    assert httpx.get(f"{url}/api/faceGroups", auth=auth).status_code == 401


def test_without_a_server(tmp_path: Path) -> None:
    shown = apps(tmp_path, "create", "gate")
    lines = dict(line.rsplit(maxsplit=1) for line in shown.stdout.splitlines())
    assert lines["as one token"] == f"{lines['API key']}.{lines['secret']}"
    assert len(lines["secret"]) == 40
    listed = apps(tmp_path, "list")
    assert lines["API key"] in listed.stdout
    assert lines["secret"] not in listed.stdout
    assert apps(tmp_path, "delete", "gate", answer="y\n").returncode == 0
    assert [app["app"] for app in told(tmp_path, "list")] == ["default"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("create", "default"), ""),
        (("create", "default"), "has a key already"),
        (("create", " "), "1 to 128 printable characters"),
        (("create", "x" * 129), "1 to 128 printable characters"),
        (("rotate", "nobody"), "no app 'nobody'"),
        (("rotate", "default", "--overlap", "-1"), "overlap"),
        (("delete", "nobody", "--yes"), "no app 'nobody'"),
    ],
)
def test_complaints(tmp_path_factory: pytest.TempPathFactory, words: tuple[str, ...], complaint: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "complaints"
    done = apps(folder, *words)
    assert (done.returncode != 0) == bool(complaint)
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
