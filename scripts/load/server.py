"""A real server in a process of its own, for benchmarks and tests: started on a free port, waited for, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """`face-server serve` with its data in a folder; settings are given by their names without the prefix."""

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.seconds_to_ready = 0.0
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 60.0) -> ServerProcess:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
        own = {"host": "127.0.0.1", "port": self.port, "data_dir": self.data_dir, **self._settings}
        environment = inherited | {f"FACE_{name.upper()}": str(value) for name, value in own.items()}
        self.data_dir.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "face_server", "serve"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        while not self._answers("/readyz"):
            if self._process.poll() is not None or time.monotonic() - started > timeout:
                self.kill()
                raise RuntimeError(f"the server did not become ready:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)
        self.seconds_to_ready = time.monotonic() - started
        return self

    @property
    def log(self) -> Path:
        return self.data_dir / "server.log"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.HTTPError):
            return False

    def kill(self) -> None:
        """As a power cut would: no handler runs."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator would. Returns the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        status = self._process.wait(timeout=60)
        self._process = None
        return status

    def pss_mb(self) -> float:
        """Memory of the process, shared pages counted by share."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
        return float("nan")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(data_dir: Path, **settings: object) -> Iterator[ServerProcess]:
    server = ServerProcess(data_dir, **settings).start()
    try:
        yield server
    finally:
        server.stop()
