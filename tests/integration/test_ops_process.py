"""The process as an operator sees it: its command line, its mistakes told in one line, its start and its end."""

import asyncio
import base64
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from face_server import __version__
from scripts.load.server import ServerProcess, free_port, serving


def face_server(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    return subprocess.run(
        [sys.executable, "-m", "face_server", *arguments],
        env=inherited | {"COLUMNS": "100"} | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_the_commands_and_version_prints_it() -> None:
    said = face_server("--help").stdout
    assert all(word in said for word in ("serve", "models", "version", "FACE_"))
    assert face_server("version").stdout.strip() == __version__


def test_models_are_a_command_with_commands_of_its_own() -> None:
    said = face_server("models", "--help").stdout
    assert all(word in said for word in ("face-server models", "list", "install", "verify"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"FACE_PACK": "no_such_pack"}, "no_such_pack"),
        ({"FACE_DATA_DIR": "{file}/data"}, "file"),
        ({"FACE_DATA_DIR": "{file}"}, "file"),
        ({"FACE_PORTS": "1"}, "FACE_PORTS"),
        ({"FACE_PORT": "many"}, "FACE_PORT"),
        ({"FACE_DEVICE": "abacus"}, "abacus"),
        ({"FACE_HOST": "no.such.host.invalid"}, "no.such.host.invalid"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, Mapping) else None,
)
def test_a_mistake_is_told_in_one_line(settings: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    usual = {"FACE_PORT": str(free_port()), "FACE_DATA_DIR": str(tmp_path / "data")}
    result = face_server("serve", **usual | {k: v.format(file=tmp_path / "file") for k, v in settings.items()})
    assert result.returncode == 2
    assert result.stderr.startswith("face-server: ")
    assert len(result.stderr.strip().splitlines()) == 1
    assert said in result.stderr


def test_a_taken_port_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = face_server("serve", "--port", port, "--data-dir", str(tmp_path))
    assert result.returncode == 2
    assert result.stderr.strip().splitlines() == [
        f"face-server: cannot listen on 127.0.0.1:{port}: Address already in use"
    ]


async def received(client: httpx.AsyncClient, server: ServerProcess) -> int:
    """How many requests have arrived as a whole: those that wait, those in the lanes, those answered."""
    figures = (await client.get(f"{server.url}/metrics")).text
    waiting = re.search(r"^face_queue_length ([\d.]+)", figures, re.MULTILINE)
    answered = re.search(r'^face_requests_total\{code="0".*\} ([\d.]+)', figures, re.MULTILINE)
    in_lanes = len(os.sched_getaffinity(0))
    return sum(int(float(found.group(1))) for found in (waiting, answered) if found) + in_lanes


async def test_the_end_is_in_order(tmp_path: Path, astronaut: bytes) -> None:
    """Whoever has sent his request gets his answer; the process ends well and warns no more than it should."""
    server = ServerProcess(tmp_path, host="0.0.0.0").start()
    body = {"appid": "default", "image": base64.b64encode(astronaut).decode(), "image_type": "BASE64"}
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None), timeout=30) as client:
        asked = [
            asyncio.create_task(client.post(f"{server.url}/face-api/v3/face/detect", json=body)) for _ in range(30)
        ]
        async with asyncio.timeout(20):
            while await received(client, server) < 30:
                pass
        ended = asyncio.create_task(asyncio.to_thread(server.stop))
        answers = [answer.json()["error_code"] for answer in await asyncio.gather(*asked)]
        assert await ended == 0
    assert answers == [0] * 30
    log = server.log.read_text()
    assert "authorization is open" in log
    assert "Traceback" not in log


def test_the_interfaces_are_described_each_once(server: ServerProcess) -> None:
    api = httpx.get(f"{server.url}/openapi.json").json()
    names = [operation["operationId"] for item in api["paths"].values() for operation in item.values()]
    assert len(names) > 16
    assert len(set(names)) == len(names)
    assert "/face-api/v3/face/detect" in api["paths"]
    assert httpx.get(f"{server.url}/docs").status_code == 200


@pytest.mark.serial
def test_second_start_is_quick_and_small(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    starts = []
    for _ in range(3):  # the best of three: what else runs here is not the server's fault
        with serving(tmp_path) as server:
            starts.append(server.seconds_to_ready)
            time.sleep(0.5)
            assert server.pss_mb() < 300
    assert min(starts) < 3
    assert "authorization is open" not in server.log.read_text()
