"""Postgres, for several servers on one library.

The writes of one server to one app stand in line and share commits: the app's row orders them anyhow, and most of a
write is waiting for the disk. What fails on a broken connection is tried again for a moment, a commit that was under
way only after it is known that it did not happen.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar, cast

import asyncpg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from face_server import request
from face_server.errors import Busy, Stage, StoreFailed
from face_server.store import migrate
from face_server.store.commits import Marker
from face_server.store.copying import unpack
from face_server.store.database import MOST_TOGETHER, Columns, Heard, Work, attempt_each
from face_server.store.handing import through_a_thread
from face_server.store.pulse import Pulse

PATIENCE = 1.5  # seconds for which a request waits for a database that is gone
POOL_PATIENCE = 1.0  # and for a free connection
ATTEMPTS = 4  # of a write that others came in the way of

H = TypeVar("H")
T = TypeVar("T")

TROUBLE = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)


class Trouble(Enum):
    LOST = "the connection broke, or the server is starting or stopping"
    CROSSED = "another transaction came in the way: the same again may go well"
    BUSY = "no connection, lock or memory in time"
    REFUSED = "the database will not do it"


_STATES = {
    **dict.fromkeys(("57P01", "57P02", "57P03", "25P03"), Trouble.LOST),
    **dict.fromkeys(("23505", "40001", "40P01"), Trouble.CROSSED),
    **dict.fromkeys(("55P03", "57014", "53200", "53300"), Trouble.BUSY),
}


@dataclass(slots=True)
class _Write:
    work: Work[Any]
    until: float
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, result: Any, error: BaseException | None) -> None:
        if self.done.cancelled():
            return
        if error is None:
            self.done.set_result(result)
        else:
            self.done.set_exception(error)


class PostgresDatabase:
    kind = "postgres"

    def __init__(self, url: str, connections: int, heard: Heard, present: bool = False) -> None:
        self._pulse = Pulse(url, heard, present)
        self._engine = create_async_engine(
            "postgresql+asyncpg://",  # where it is and who we are stays with the pulse
            async_creator=self._pulse.connect,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=POOL_PATIENCE,
        )
        self._single = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        # Writers take half of the connections at most: however long they wait for each other, reads go on.
        self._markers: asyncio.LifoQueue[Marker] = asyncio.LifoQueue()
        for _ in range(max(1, connections // 2)):
            self._markers.put_nowait(Marker())
        self._lines: dict[str, deque[_Write]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def reachable(self) -> bool:
        return self._pulse.beats

    async def open(self) -> None:
        await self._pulse.start()
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(migrate.postgres_to_head)
        except TROUBLE as error:
            raise StoreFailed(f"the database cannot be migrated: {_words(error)}") from error

    async def close(self) -> None:
        await asyncio.gather(*self._writing)
        if self.reachable:
            markers = [self._markers.get_nowait() for _ in range(self._markers.qsize())]
            try:
                async with self._single.connect() as connection:
                    await connection.run_sync(Marker.forget, markers)
            except TROUBLE:
                pass  # a few rows stay
        await self._engine.dispose()
        await self._pulse.stop()

    async def size(self) -> int:
        ((found,),) = await self.rows(sa.select(sa.func.pg_database_size(sa.func.current_database())))
        return int(found)

    def announce(self, app_id: int, seq: int) -> None:
        self._pulse.announce(app_id, seq)

    # Reading

    async def rows(self, query: sa.Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[sa.Row[Any]]:
        """One statement is one view by itself: no transaction around it, one message instead of three."""
        return await self._read(self._single, lambda one: one.run_sync(lambda c: c.execute(query, values).all()))

    async def recalled(self, query: sa.Select[Any], values: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        """Asked every time: only the database itself knows whether another server has written."""
        return await self.rows(query, values)

    async def read(self, work: Work[T]) -> T:
        return await self._read(self._snapshot, lambda connection: connection.run_sync(work))

    async def columns(self, first: Work[H], query: sa.Select[Any], build: Callable[[H, Columns], T]) -> T:
        statement = str(query.compile(dialect=self._engine.dialect, compile_kwargs={"literal_binds": True}))
        numbers = [isinstance(column.type, sa.Integer) for column in query.selected_columns]

        async def work(connection: AsyncConnection) -> T:
            begun = await connection.run_sync(first)
            driver = cast(Any, (await connection.get_raw_connection()).driver_connection)

            async def send(take: Callable[[bytes], Awaitable[None]]) -> None:
                await driver.copy_from_query(statement, output=take, format="binary")

            return await through_a_thread(send, lambda chunks: build(begun, unpack(chunks, numbers)))

        return await self._read(self._snapshot, work)

    async def _read(self, engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        until = _patience()
        while True:
            await self._pulse.wait(until)
            try:
                async with engine.connect() as connection:
                    return await work(connection)
            except TROUBLE as error:
                if _kind(error) is not Trouble.LOST:
                    raise Busy(Stage.DATABASE) from error
            await self._pulse.wait_a_moment(until)

    # Writing

    async def write(self, work: Work[T], app: str = "") -> T:
        write = _Write(work, _patience())
        line = self._lines.get(app)
        if line is None:
            self._lines[app] = deque([write])
            task = asyncio.create_task(self._work_off(app))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        else:
            line.append(write)
        # A caller that is cancelled would never learn that its write was committed: it is seen through to its end.
        result: T = await asyncio.shield(write.done)
        return result

    async def _work_off(self, app: str) -> None:
        """The writes of one line, some at a time. Those to no app in particular would cross each other's locks."""
        line = self._lines[app]
        while line:
            marker = await self._markers.get()
            try:
                writes = [line.popleft() for _ in range(min(len(line), MOST_TOGETHER if app else 1))]
                if len(writes) < 2 or not await self._commit_together(writes, marker):
                    for write in writes:
                        await self._commit(write, marker)
            finally:
                self._markers.put_nowait(marker)
        del self._lines[app]

    async def _commit(self, write: _Write, marker: Marker) -> None:
        try:
            write.end(await self._durably(write.work, marker, write.until), None)
        except BaseException as error:
            write.end(None, error)

    async def _commit_together(self, writes: list[_Write], marker: Marker) -> bool:
        """False when the database refused: nothing is written, and each can be tried alone."""
        works = [write.work for write in writes]
        results: Sequence[tuple[Any, BaseException | None]]
        try:
            until = max(write.until for write in writes)
            results = await self._durably(lambda connection: attempt_each(connection, works), marker, until)
        except StoreFailed:
            return False
        except BaseException as error:
            results = [(None, error) for _ in writes]
        for write, (result, refused) in zip(writes, results, strict=True):
            write.end(result, refused)
        return True

    async def _durably(self, work: Work[T], marker: Marker, until: float) -> T:
        attempts = 0
        while True:
            await self._pulse.wait(until)
            attempts += 1
            under_way = False
            try:
                async with self._engine.connect() as connection:
                    await self._prepare(connection, marker)
                    async with connection.begin():
                        result = await connection.run_sync(work)
                        await connection.run_sync(marker.set)
                        under_way = True
                    return result
            except TROUBLE as error:
                kind = _kind(error)
                if kind is Trouble.BUSY:
                    raise Busy(Stage.DATABASE) from error
                if kind is Trouble.REFUSED or (kind is Trouble.CROSSED and attempts == ATTEMPTS):
                    raise StoreFailed(_words(error)) from error
            if kind is Trouble.LOST:
                await self._pulse.wait_a_moment(until)
                if under_way and await self._happened(marker, until):
                    return result

    async def _prepare(self, connection: AsyncConnection, marker: Marker) -> None:
        if not marker.there:
            async with connection.begin():
                await connection.run_sync(marker.put)

    async def _happened(self, marker: Marker, until: float) -> bool:
        """Was the commit done whose answer never came? Nobody may guess: Busy if it cannot be told in time."""
        while True:
            await self._pulse.wait(until)
            try:
                async with self._engine.begin() as connection:
                    return await connection.run_sync(marker.is_there)
            except TROUBLE as error:
                if _kind(error) is not Trouble.LOST:
                    raise Busy(Stage.DATABASE) from error
            await self._pulse.wait_a_moment(until)


def _patience() -> float:
    """Until when it is worth trying: nobody waits longer for an answer."""
    now = time.monotonic()
    asking = request.current.get()
    return min(now + PATIENCE, asking.deadline if asking is not None else now + PATIENCE)


def _kind(error: BaseException) -> Trouble:
    if isinstance(error, sa.exc.TimeoutError):
        return Trouble.BUSY
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None) or ""
    if state in _STATES:
        return _STATES[state]
    broken = state.startswith("08") or (isinstance(error, DBAPIError) and error.connection_invalidated)
    if broken or (not state and isinstance(cause, (OSError, asyncpg.InterfaceError))):
        return Trouble.LOST
    if isinstance(getattr(cause, "__cause__", None), asyncpg.InvalidCachedStatementError):
        return Trouble.CROSSED
    return Trouble.REFUSED


def _words(error: BaseException) -> str:
    return str(error.orig) if isinstance(error, DBAPIError) else str(error)
