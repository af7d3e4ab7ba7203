"""Every alert and every panel asks for metrics that a running server has."""

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

import pytest
import yaml

from scripts.load.server import free_port
from tests.redis_server import running

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = re.compile(r"\b(?:face|process|python)_[a-z0-9_]+")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """All names on the page of a server that waits for workers; a histogram is three of them."""
    folder = tmp_path_factory.mktemp("metrics")
    with running() as redis, (folder / "log").open("wb") as log:
        port = free_port()
        own = {"FACE_PORT": str(port), "FACE_DATA_DIR": str(folder), "FACE_REDIS_URL": redis.url}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
        command = [sys.executable, "-m", "face_server", "serve"]
        server = subprocess.Popen(command, env=inherited | own, stdout=log, stderr=log)
        try:
            kinds = re.findall(r"^# TYPE (\S+) (\S+)$", page(port, server, folder / "log"), re.MULTILINE)
        finally:
            server.terminate()
            server.wait(timeout=60)
        parts = {"histogram": ("_bucket", "_sum", "_count")}
        yield {name + part for name, kind in kinds for part in parts.get(kind, ("",))}


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
