"""Face tokens that are not registered: kept for a while, on disk, so that tens of thousands cost no memory.

Pictures are appended to segments, files that are deleted as a whole: one row or one file per picture costs several
times as much, and a deleted row leaves its picture in the file.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from face_server.store.behind import Entry, WrittenBehind
from face_server.store.segments import Place, Segments

log = logging.getLogger(__name__)

_SCHEMA = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
PRAGMA cache_size=-2000;
CREATE TABLE IF NOT EXISTS tokens (
    app TEXT NOT NULL, token TEXT NOT NULL, expires REAL NOT NULL,
    segment INTEGER NOT NULL, start INTEGER NOT NULL, size INTEGER NOT NULL, digest BLOB NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (app, token)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tokens_segment ON tokens (segment, expires);
"""


def forget_app(folder: Path, app: str) -> None:
    """The tokens of an app, in the cache of whichever process. Pictures go with the segments they are in."""
    path = folder / "tokens" / "index.db"
    if path.exists():
        with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as index:
            index.execute("PRAGMA secure_delete=ON")
            index.execute("DELETE FROM tokens WHERE app = ?", (app,))
            index.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Tokens(Protocol):
    """What the core knows of the cache, whether this server has it alone or shares it with others."""

    def put(self, app: str, picture: bytes, faces: Iterable[tuple[str, bytes]]) -> None: ...

    async def get(self, app: str, token: str) -> tuple[bytes, bytes] | None: ...

    async def get_later(self, app: str, token: str, asked: float) -> tuple[bytes, bytes] | None: ...


class TokenCache(WrittenBehind):
    gather = 0.05  # a transaction for every entry would cost more than the entries

    def __init__(self, folder: Path, minutes: float, megabytes: int) -> None:
        super().__init__(readers=1)
        self._folder = folder / "tokens"
        self._lifetime = minutes * 60
        self._segments = Segments(self._folder, most_bytes=megabytes << 20, seconds=self._lifetime / 4)
        self._next_prune = 0.0

    def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._index = self._connect()
        except sqlite3.DatabaseError:  # a damaged cache is an empty one
            log.warning("the cache of face tokens was damaged and begins anew")
            for path in self._folder.glob("index.db*"):
                path.unlink()
            self._index = self._connect()
        self._read_index = self._connect()
        super().open()

    def close(self) -> None:
        super().close()
        self._segments.close()
        self._read_index.close()
        self._index.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._folder / "index.db", check_same_thread=False, isolation_level=None)
        connection.executescript(_SCHEMA)
        return connection

    def _find(self, app: str, token: str) -> tuple[bytes, bytes] | None:
        query = "SELECT segment, start, size, digest, record FROM tokens WHERE app = ? AND token = ? AND expires > ?"
        try:
            row = self._read_index.execute(query, (app, token, time.time())).fetchone()
        except sqlite3.Error:
            return None
        picture = self._segments.read(Place(*row[:4])) if row else None
        return None if picture is None else (picture, row[4])

    # The writer thread

    def _keep(self, entries: list[Entry]) -> None:
        self._attempt(lambda: self._write(entries))

    def _chores(self) -> None:
        if self._segments.full or time.monotonic() > self._next_prune:
            self._next_prune = time.monotonic() + self.chores_every
            self._attempt(self._prune)

    def _attempt(self, step: Callable[[], None]) -> None:
        """A full disk costs the caller a token that expires early, never an answer."""
        try:
            self._index.execute("BEGIN IMMEDIATE")
            step()
            self._index.execute("COMMIT")
        except Exception as error:
            log.warning("the cache of face tokens could not be written: %s", error)
            with suppress(sqlite3.Error):
                self._index.execute("ROLLBACK")

    def _write(self, entries: list[Entry]) -> None:
        expires = time.time() + self._lifetime
        rows = []
        for app, picture, faces in entries:
            place = self._segments.keep(picture)
            rows += [(app, token, expires, *place, record) for token, record in faces]
        self._index.executemany("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _prune(self) -> None:
        """Segments nobody can ask for any more go; above the bound the oldest ones too."""
        alive = self._index.execute(
            "SELECT segment FROM tokens GROUP BY segment HAVING max(expires) > ?", (time.time(),)
        )
        for segment in self._segments.surplus({segment for (segment,) in alive}):
            self._index.execute("DELETE FROM tokens WHERE segment = ?", (segment,))
            self._segments.remove(segment)
        self._index.execute("DELETE FROM tokens WHERE expires <= ?", (time.time(),))
