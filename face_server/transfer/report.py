"""The list of refused pictures."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType

from face_server.transfer.plan import Refusal

COLUMNS = ("group", "user", "file", "code", "reason")


class Report:
    """Written line by line, so that what is known is there whatever happens; without a line there is no file."""

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self._stream = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._stream)
        self._rows.writerow(COLUMNS)

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if not self.count and kind is None:
            self.path.unlink()

    def add(self, refusal: Refusal) -> None:
        self._rows.writerow([getattr(refusal, column) for column in COLUMNS])
        self._stream.flush()
        self.count += 1
