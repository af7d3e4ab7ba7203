"""What SQLite answered lately, good for as long as nobody has written.

SQLite counts commits, its own and those of other processes, in memory that all of them share: to read the count takes
microseconds, where a statement takes a thread and a fraction of a millisecond.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

MOST = 10_000  # answers

Rows = Sequence[sa.Row[Any]]


class Recall:
    def __init__(self) -> None:
        self._watch: sqlite3.Connection | None = None
        self._version = 0
        self._answers: dict[Hashable, Rows] = {}

    def open(self, path: Path) -> None:
        self._watch = sqlite3.connect(path, isolation_level=None, timeout=0)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def version(self) -> int | None:
        """Changes with every commit to the database, whoever made it; None when it cannot be told just now."""
        if self._watch is None:
            return None
        try:
            return int(self._watch.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None

    def get(self, key: Hashable, version: int) -> Rows | None:
        if version != self._version:
            self._version = version
            self._answers.clear()
        return self._answers.get(key)

    def put(self, key: Hashable, version: int, rows: Rows) -> None:
        """For the version that was there before the rows were read: they may be newer, never older."""
        if version == self._version:
            if len(self._answers) >= MOST:
                self._answers.clear()
            self._answers[key] = rows


def key_of(query: sa.Select[Any], values: Mapping[str, Any]) -> Hashable:
    return (query, *(tuple(value) if isinstance(value, list) else value for value in values.values()))
