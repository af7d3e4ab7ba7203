"""A real worker in a process of its own, for benchmarks and tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class WorkerProcess:
    """`face-server worker`; settings are given by their names without the prefix."""

    def __init__(self, redis_url: str, log: Path, lanes: int = 1, core: int | None = None, **settings: object) -> None:
        self.log = log
        self._core = core  # the only one it may use
        self._command = [sys.executable, "-m", "face_server", "worker", "--lanes", str(lanes), "--redis", redis_url]
        self._settings = {"device": "cpu"} | settings
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> WorkerProcess:
        """Does not wait for it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
        environment = inherited | {f"FACE_{name.upper()}": str(value) for name, value in self._settings.items()}
        self.log.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)
        if self._core is not None:
            os.sched_setaffinity(self._process.pid, {self._core})
        return self

    def start(self, timeout: float = 60.0) -> WorkerProcess:
        self.spawn()
        end = time.monotonic() + timeout
        while not self.ready:
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"the worker did not become ready:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def ready(self) -> bool:
        return self.log.exists() and "ready: " in self.log.read_text()

    def kill(self) -> None:
        """As a power cut would: no handler runs."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator would. Returns the exit status."""
        return self._end(signal.SIGTERM)

    def freeze(self, frozen: bool = True) -> None:
        self.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        status = self._process.wait(timeout=60)
        self._process = None
        return status
