"""Tokens that are known at once and written later, several together, by a thread of their own.

An answer with a token leaves as soon as the token is in the queue of that thread; who asks for it before it is written
finds it there.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from face_server.errors import Busy, Stage

log = logging.getLogger(__name__)

Entry = tuple[str, bytes, list[tuple[str, bytes]]]  # app, picture, (token, record) of its faces

_MOST_WAITING = 128 << 20  # bytes of pictures that writing may be behind
_MOST_TOGETHER = 64  # entries


class WrittenBehind(ABC):
    gather = 0.0  # seconds in which entries come together before they are written
    chores_every = 30.0  # seconds, when there is nothing to write

    def __init__(self, readers: int) -> None:
        self._queue: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
        self._waiting: dict[tuple[str, str], tuple[bytes, bytes]] = {}  # not yet written
        self._waiting_bytes = 0
        self._lock = threading.Lock()  # of the two above
        self._readers = ThreadPoolExecutor(readers, "token-read")
        self._writer = threading.Thread(target=self._work, name="token-write", daemon=True)

    def open(self) -> None:
        self._writer.start()

    def close(self) -> None:
        """All that waits is written."""
        self._queue.put(None)
        self._writer.join()
        self._readers.shutdown()

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
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._find, app, token)

    async def get_later(self, app: str, token: str, asked: float) -> tuple[bytes, bytes] | None:
        """For who did not get it, and knows it from nowhere else: once more, when all have had the time to write what
        they gave out before it was `asked` for (of time.monotonic)."""
        return None

    @abstractmethod
    def _find(self, app: str, token: str) -> tuple[bytes, bytes] | None:
        """What was written."""

    # In the writer thread. What fails there costs a token that expires early, never an answer: neither raises.

    @abstractmethod
    def _keep(self, entries: list[Entry]) -> None: ...

    def _chores(self) -> None:  # noqa: B027  # not everybody has any
        """After every writing, and now and then without one."""

    def _work(self) -> None:
        while (entries := self._take()) is not None:
            try:
                if entries:
                    self._keep(entries)
                self._chores()
            except Exception:  # without this thread nobody would get a token any more
                log.exception("the cache of face tokens stumbled")
            self._kept(entries)

    def _take(self) -> list[Entry] | None:
        """What waits; nothing after a while without work; None at the end."""
        entries: list[Entry] = []
        with suppress(queue.Empty):
            while len(entries) < _MOST_TOGETHER:
                entry = self._queue.get(block=not entries, timeout=self.chores_every)
                if entry is None:
                    self._queue.put(None)
                    return entries or None
                if not entries:
                    time.sleep(self.gather)
                entries.append(entry)
        return entries

    def _kept(self, entries: list[Entry]) -> None:
        with self._lock:
            for app, picture, faces in entries:
                self._waiting_bytes -= len(picture)
                for token, record in faces:
                    # Of two requests with the same face the later one may still be waiting.
                    if self._waiting.get((app, token)) == (picture, record):
                        del self._waiting[app, token]
