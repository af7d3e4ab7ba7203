"""What SQLite answered lately, good for as long as nobody has written.

Processes that share a database in WAL mode share the head of its index as memory, and every commit changes it before
the writer hears of its success (https://sqlite.org/walformat.html#walidxfmt). To look at it costs nothing, where a
statement takes a thread and a fraction of a millisecond.
"""

from __future__ import annotations

import mmap
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

MOST = 10_000  # answers
HEAD = 48  # bytes: among them the number of commits and the checksum of the last one

Rows = Sequence[sa.Row[Any]]


class Recall:
    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._shared: mmap.mmap | None = None
        self._version = b""
        self._answers: dict[Hashable, Rows] = {}

    def open(self, path: Path) -> None:
        """After the first connection, which makes the file. Without it nothing is remembered."""
        with suppress(OSError, ValueError):
            self._file = path.with_name(f"{path.name}-shm").open("rb")
            self._shared = mmap.mmap(self._file.fileno(), HEAD, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """After the last connection. To close a file ends every lock that the process has on it, those of SQLite too:
        then the next process that opens the database takes it for one that nobody uses, and begins the file anew."""
        for one in (self._shared, self._file):
            if one is not None:
                one.close()
        self._shared = self._file = None

    def version(self) -> bytes | None:
        """Changes with every commit to the database, whoever made it."""
        return None if self._shared is None else self._shared[:HEAD]

    def get(self, key: Hashable, version: bytes) -> Rows | None:
        if version != self._version:
            self._version = version
            self._answers.clear()
        return self._answers.get(key)

    def put(self, key: Hashable, version: bytes, rows: Rows) -> None:
        """For the version that was there before the rows were read: they may be newer, never older."""
        if version == self._version:
            if len(self._answers) >= MOST:
                self._answers.clear()
            self._answers[key] = rows


def key_of(query: sa.Select[Any], values: Mapping[str, Any]) -> Hashable:
    return (query, *(tuple(value) if isinstance(value, list) else value for value in values.values()))
