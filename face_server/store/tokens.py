"""Face tokens that are not registered: kept for a while, on disk, so that tens of thousands cost no memory.

An answer with a token leaves as soon as the token is in the queue of the writer thread; who asks for it before it is
written finds it there. Pictures are appended to segments, files that are deleted as a whole: one row or one file per
picture costs several times as much, and a deleted row leaves its picture in the file.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from face_server.errors import Busy, Stage
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
_MOST_WAITING = 128 << 20  # bytes of pictures the disk may be behind
_MOST_TOGETHER = 64  # entries in one transaction
_GATHER = 0.05  # seconds: a transaction for every entry would cost more than the entries
_PRUNE_EVERY = 30.0  # seconds

_Entry = tuple[str, bytes, list[tuple[str, bytes]]]  # app, picture, (token, record) of its faces


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


class TokenCache:
    def __init__(self, folder: Path, minutes: float, megabytes: int) -> None:
        self._folder = folder / "tokens"
        self._lifetime = minutes * 60
        self._segments = Segments(self._folder, most_bytes=megabytes << 20, seconds=self._lifetime / 4)
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._waiting: dict[tuple[str, str], tuple[bytes, bytes]] = {}  # not yet written
        self._waiting_bytes = 0
        self._lock = threading.Lock()  # of the two above
        self._reader = ThreadPoolExecutor(1, "token-read")
        self._writer = threading.Thread(target=self._work, name="token-write", daemon=True)

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
        self._writer.start()

    def close(self) -> None:
        self._queue.put(None)
        self._writer.join()
        self._reader.shutdown()
        self._segments.close()
        self._read_index.close()
        self._index.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._folder / "index.db", check_same_thread=False, isolation_level=None)
        connection.executescript(_SCHEMA)
        return connection

    def put(self, app: str, picture: bytes, faces: Iterable[tuple[str, bytes]]) -> None:
        """Never waits. The tokens can be asked for as soon as this returns."""
        entry = (app, picture, list(faces))
        with self._lock:
            if self._waiting_bytes > _MOST_WAITING:
                raise Busy(Stage.CACHE)
            for token, record in entry[2]:
                self._waiting[app, token] = (picture, record)
            self._waiting_bytes += len(picture)
        self._queue.put(entry)

    async def get(self, app: str, token: str) -> tuple[bytes, bytes] | None:
        """The picture and the record, or None when the token is unknown or has expired."""
        with self._lock:
            waiting = self._waiting.get((app, token))
        if waiting is not None:
            return waiting
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._find, app, token)

    def _find(self, app: str, token: str) -> tuple[bytes, bytes] | None:
        query = "SELECT segment, start, size, digest, record FROM tokens WHERE app = ? AND token = ? AND expires > ?"
        try:
            row = self._read_index.execute(query, (app, token, time.time())).fetchone()
        except sqlite3.Error:
            return None
        picture = self._segments.read(Place(*row[:4])) if row else None
        return None if picture is None else (picture, row[4])

    # The writer thread

    def _work(self) -> None:
        next_prune = 0.0
        while (entries := self._take()) is not None:
            if entries:
                self._attempt(lambda entries=entries: self._write(entries))  # type: ignore[misc]
                self._written(entries)
            if self._segments.full or time.monotonic() > next_prune:
                next_prune = time.monotonic() + _PRUNE_EVERY
                self._attempt(self._prune)

    def _attempt(self, step: Callable[[], None]) -> None:
        """A full disk costs the caller a token that expires early, never an answer."""
        try:
            self._index.execute("BEGIN IMMEDIATE")
            step()
            self._index.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            log.warning("the cache of face tokens could not be written: %s", error)
            with suppress(sqlite3.Error):
                self._index.execute("ROLLBACK")

    def _take(self) -> list[_Entry] | None:
        """What waits; nothing after a while without work; None at the end."""
        entries: list[_Entry] = []
        with suppress(queue.Empty):
            while len(entries) < _MOST_TOGETHER:
                entry = self._queue.get(block=not entries, timeout=_PRUNE_EVERY)
                if entry is None:
                    self._queue.put(None)
                    return entries or None
                if not entries:
                    time.sleep(_GATHER)
                entries.append(entry)
        return entries

    def _write(self, entries: list[_Entry]) -> None:
        expires = time.time() + self._lifetime
        rows = []
        for app, picture, faces in entries:
            place = self._segments.keep(picture)
            rows += [(app, token, expires, *place, record) for token, record in faces]
        self._index.executemany("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def _written(self, entries: list[_Entry]) -> None:
        with self._lock:
            for app, picture, faces in entries:
                self._waiting_bytes -= len(picture)
                for token, record in faces:
                    # Of two requests with the same face the later one may still be waiting.
                    if self._waiting.get((app, token)) == (picture, record):
                        del self._waiting[app, token]

    def _prune(self) -> None:
        """Segments nobody can ask for any more go; above the bound the oldest ones too."""
        alive = self._index.execute(
            "SELECT segment FROM tokens GROUP BY segment HAVING max(expires) > ?", (time.time(),)
        )
        for segment in self._segments.surplus({segment for (segment,) in alive}):
            self._index.execute("DELETE FROM tokens WHERE segment = ?", (segment,))
            self._segments.remove(segment)
        self._index.execute("DELETE FROM tokens WHERE expires <= ?", (time.time(),))
