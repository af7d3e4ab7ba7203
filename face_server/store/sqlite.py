"""SQLite, the database that needs nothing: one thread that writes, a few that read.

A transaction runs as a whole on one thread: a coroutine that visits a driver thread once for every statement costs
three times as much.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from face_server.errors import Busy, Stage, StoreFailed
from face_server.store import migrate
from face_server.store.database import MOST_TOGETHER, Columns, Work, attempt_each
from face_server.store.recall import Recall, key_of

READERS = 4
PART = 1000  # rows

H = TypeVar("H")
T = TypeVar("T")


@dataclass(slots=True)
class _Write:
    work: Work[Any]
    done: Future[Any] = field(default_factory=Future)


class SqliteDatabase:
    """A file on a disk of this machine."""

    kind = "sqlite"
    reachable = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = open_engine(path, connections=1, begin="BEGIN IMMEDIATE")
        self._reader = open_engine(path, connections=READERS, begin="BEGIN")
        self._writing = ThreadPoolExecutor(1, "store-write")
        self._reading = ThreadPoolExecutor(READERS, "store-read")
        self._waiting: deque[_Write] = deque()
        self._recall = Recall()

    async def open(self) -> None:
        await asyncio.to_thread(migrate.to_head, self._path)
        # The first connection costs milliseconds; no request should pay for it.
        await self.read(lambda connection: connection.execute(sa.text("SELECT count(*) FROM sqlite_master")))
        self._recall.open(self._path)

    async def close(self) -> None:
        for threads in (self._writing, self._reading):
            await asyncio.to_thread(threads.shutdown)
        self._reader.dispose()
        self._writer.dispose()
        self._recall.close()

    async def size(self) -> int:
        return await asyncio.to_thread(_size, self._path)

    def announce(self, app_id: int, seq: int) -> None:
        """Another process reads it in the file with its next search."""

    async def write(self, work: Work[T], app: str = "") -> T:
        write = _Write(work)
        self._waiting.append(write)
        self._writing.submit(self._commit_waiting)
        # A caller that is cancelled while its transaction runs would never learn that it was committed,
        # and the index would not either: the write is seen through to its end.
        result: T = await asyncio.shield(asyncio.wrap_future(write.done))
        return result

    async def rows(self, query: sa.Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[sa.Row[Any]]:
        return await self.read(lambda connection: connection.execute(query, values).all())

    async def recalled(self, query: sa.Select[Any], values: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        version = self._recall.version()
        if version is None:
            return await self.rows(query, values)
        key = key_of(query, values)
        rows = self._recall.get(key, version)
        if rows is None:
            rows = await self.rows(query, values)
            self._recall.put(key, version, rows)
        return rows

    async def columns(self, first: Work[H], query: sa.Select[Any], build: Callable[[H, Columns], T]) -> T:
        def work(connection: sa.Connection) -> T:
            begun = first(connection)
            parts = connection.execution_options(yield_per=PART).execute(query).partitions()
            return build(begun, (tuple(zip(*part, strict=True)) for part in parts))

        return await self.read(work)

    async def read(self, work: Work[T]) -> T:
        def transaction() -> T:
            try:
                with self._reader.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                raise Busy(Stage.DATABASE) from error

        return await asyncio.get_running_loop().run_in_executor(self._reading, transaction)

    # In the writing thread

    def _commit_waiting(self) -> None:
        """Most of a write is waiting for the disk, so those that came meanwhile share the next commit."""
        writes = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
        if len(writes) < 2 or not self._commit_together(writes):
            for write in writes:
                self._commit(write)

    def _commit(self, write: _Write) -> None:
        try:
            with self._writer.begin() as connection:
                result = write.work(connection)
        except DBAPIError as error:
            write.done.set_exception(StoreFailed(str(error.orig)))
        except BaseException as error:
            write.done.set_exception(error)
        else:
            write.done.set_result(result)

    def _commit_together(self, writes: list[_Write]) -> bool:
        """False when the database failed: nothing is written, and each can be tried alone."""
        try:
            with self._writer.begin() as connection:
                results = attempt_each(connection, [write.work for write in writes])
        except SQLAlchemyError:
            return False
        for write, (result, error) in zip(writes, results, strict=True):
            if error is None:
                write.done.set_result(result)
            else:
                write.done.set_exception(error)
        return True


def _size(file: Path) -> int:
    """With what SQLite keeps beside it while it is open."""
    size = 0
    for part in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            size += file.with_name(file.name + part).stat().st_size
    return size


def open_engine(path: Path, connections: int, begin: str) -> sa.Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=sa.QueuePool,
        pool_size=connections,
        max_overflow=0,
        # Transactions begin where we say so, see below; the pool hands a connection to one thread at a time.
        connect_args={"isolation_level": None, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # an acknowledged write survives the power cut too
            "foreign_keys=ON",
            "busy_timeout=10000",
            "cache_size=-8000",
            "secure_delete=ON",  # a deleted face or key is overwritten, not only forgotten
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
