"""Every alert and every panel asks for metrics that a running server or its worker has."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from face_server.bus import wire
from face_server.bus.names import Names
from face_server.model import Task, Want
from face_server.vision.packs import find_pack
from scripts.load.server import free_port
from scripts.load.worker import WorkerProcess
from tests.redis_server import RedisServer, running

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = re.compile(r"\b(?:face|process|python)_[a-z0-9_]+")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def worker(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of its figures."""
    port = free_port()
    process = WorkerProcess(redis.url, tmp_path_factory.mktemp("worker") / "log", worker_metrics_port=port).start()
    yield f"http://127.0.0.1:{port}"
    process.kill()


def names_on(text: str) -> set[str]:
    """A histogram is three of them."""
    parts = {"histogram": ("_bucket", "_sum", "_count")}
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    return {name + part for name, kind in kinds for part in parts.get(kind, ("",))}


@pytest.fixture(scope="module")
def families(redis: RedisServer, worker: str, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """All names on the pages of a server and of its worker."""
    folder = tmp_path_factory.mktemp("metrics")
    with (folder / "log").open("wb") as log:
        port = free_port()
        own = {"FACE_PORT": str(port), "FACE_DATA_DIR": str(folder), "FACE_REDIS_URL": redis.url}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
        command = [sys.executable, "-m", "face_server", "serve"]
        server = subprocess.Popen(command, env=inherited | own, stdout=log, stderr=log)
        try:
            of_server = names_on(page(port, server, folder / "log"))
        finally:
            server.terminate()
            server.wait(timeout=60)
    return of_server | names_on(urllib.request.urlopen(f"{worker}/metrics", timeout=5).read().decode())


def page(port: int, server: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + 90
    while server.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            text: str = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            return text
        time.sleep(0.05)
    raise RuntimeError(f"the server did not answer:\n{log.read_text()[-3000:]}")


def panels() -> Iterator[dict[str, Any]]:
    dashboard = json.loads((DEPLOY / "grafana" / "face-server.json").read_text())
    yield from (panel for panel in dashboard["panels"] if panel["type"] != "row")


def asked(expression: str) -> set[str]:
    return set(NAME.findall(re.sub(r"\{[^}]*\}|\bby \([^)]*\)", "", expression)))


def test_every_panel_asks_for_what_is_there(families: set[str]) -> None:
    titles = []
    for panel in panels():
        titles.append(panel["title"])
        for target in panel["targets"]:
            wanted = asked(target["expr"])
            assert wanted, panel["title"]
            assert wanted <= families, panel["title"]
    assert len(titles) == len(set(titles)) >= 15


def test_every_alert_asks_for_what_is_there(families: set[str]) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"][0]["rules"]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        left = rule["expr"]
        for name in recorded:
            left = left.replace(name, "")
        assert asked(left) <= families, rule
        assert asked(left) or "up{" in left or left != rule["expr"], rule


def test_a_worker_says_how_it_is(worker: str) -> None:
    assert httpx.get(f"{worker}/healthz").json() == {"alive": True}
    assert httpx.get(f"{worker}/readyz").json() == {"ready": True}
    assert httpx.get(f"{worker}/elsewhere").status_code == 404
    assert httpx.post(f"{worker}/metrics").status_code == 501


def test_a_worker_counts_what_it_does(redis: RedisServer, worker: str) -> None:
    keys = Names(wire.digest(find_pack("builtin", Path())))
    header = wire.Header(b"question", keys.answers("nobody"), 10.0, 1, Task(Want.NONE))
    redis.client.xadd(keys.jobs, {b"h": wire.encode(header), b"p": b"no picture"})
    end = time.monotonic() + 20
    while 'face_worker_jobs_total{result="BadPicture"} 1.0' not in (text := of_worker(worker)):
        assert time.monotonic() < end, text
        time.sleep(0.05)
    assert "face_worker_queue_age_seconds_count 1.0" in text
    assert 'face_worker_info{device="cpu",pack="builtin"} 1.0' in text
    assert "face_lanes_alive 1.0" in text


def of_worker(worker: str) -> str:
    found: str = urllib.request.urlopen(f"{worker}/metrics", timeout=5).read().decode()
    return found
