"""How busy a card is while something is measured, as nvidia-smi tells."""

from __future__ import annotations

import shutil
import subprocess
from types import TracebackType

FIELDS = ("utilization.gpu", "memory.used", "power.draw")


def names() -> list[str]:
    return _lines("name,driver_version,memory.total") if shutil.which("nvidia-smi") else []


def _lines(query: str) -> list[str]:
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


class Watch:
    """Five looks a second between enter and exit. Without nvidia-smi there is nothing to tell."""

    def __init__(self, device: str) -> None:
        self.said: dict[str, float] = {}
        self._number = device.partition(":")[2] or "0"
        self._process: subprocess.Popen[str] | None = None
        self._here = device != "cpu" and shutil.which("nvidia-smi") is not None

    def __enter__(self) -> Watch:
        if self._here:
            query = ["nvidia-smi", "-i", self._number, f"--query-gpu={','.join(FIELDS)}", "-lms", "200"]
            self._process = subprocess.Popen(
                [*query, "--format=csv,noheader,nounits"], stdout=subprocess.PIPE, text=True
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self._process.terminate()
            self.said = averages(self._process.communicate()[0])


def averages(text: str) -> dict[str, float]:
    """What the card does not tell (`[N/A]`) is left out; so is a line that was cut."""
    columns: dict[str, list[float]] = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == len(FIELDS):
            for name, part in zip(FIELDS, parts, strict=True):
                if part.replace(".", "", 1).isdigit():
                    columns.setdefault(name, []).append(float(part))
    return {name: sum(values) / len(values) for name, values in columns.items()}
