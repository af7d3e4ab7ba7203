"""One Postgres, and whether it answers. A connection of its own asks all the time, carries the news between servers,
and ends the others when nobody answers any more: a request must not hang on a server that is gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Any, TypeVar
from weakref import WeakSet

import asyncpg

from face_server.errors import Busy, Stage, StoreFailed
from face_server.store import occupied
from face_server.store.database import Heard

CHANNEL = "face_changes"
EVERY = 0.5  # seconds between two signs of life
SILENCE = 1.0  # without an answer
STALL = 0.5  # and so long again: this process may have been busy itself
START = 30.0  # until a database that starts together with us must be there
PAUSE = 0.05

SESSION = {
    "application_name": "face-server",
    "jit": "off",
    "lock_timeout": "2s",
    # A server that vanishes from the network must not keep an app's row.
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}

# Nothing of this mends itself by waiting.
HOPELESS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
UNREACHABLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

T = TypeVar("T")

log = logging.getLogger(__name__)


class Pulse:
    def __init__(self, url: str, heard: Heard, present: bool = False) -> None:
        """`present`: as long as it beats, no command that has to be alone begins."""
        self._url = url
        self._present = present
        self._heard = heard
        self._connections: WeakSet[Any] = WeakSet()
        self._news: dict[int, int] = {}
        self._wake = asyncio.Event()
        self._up = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    @property
    def beats(self) -> bool:
        return self._up.is_set()

    async def connect(self) -> Any:
        connection = await asyncpg.connect(self._url, timeout=SILENCE, server_settings=SESSION)
        self._connections.add(connection)
        return connection

    async def start(self) -> None:
        """Returns when the database answers; raises when it will not."""
        end = time.monotonic() + START
        told = False
        while True:
            try:
                connection = await self.connect()
            except HOPELESS as error:
                raise StoreFailed(f"the database refuses: {error}") from None
            except UNREACHABLE as error:
                if time.monotonic() > end:
                    raise StoreFailed(f"the database does not answer: {_reason(error)}") from None
                if not told:
                    log.warning("waiting for the database: %s", _reason(error))
                told = True
                await asyncio.sleep(0.2)
            else:
                break
        if self._present and not await occupied.arrive(connection):
            connection.terminate()
            raise StoreFailed("a command that has to be alone is at work in this Postgres: wait for its end")
        self._up.set()
        self._watching = asyncio.create_task(self._watch(connection))

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for connection in list(self._connections):
            connection.terminate()

    async def wait(self, until: float) -> None:
        """Until it answers, or the time has come: Busy."""
        if self.beats:
            return
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await self._up.wait()
        except TimeoutError:
            raise Busy(Stage.DATABASE) from None

    async def wait_a_moment(self, until: float) -> None:
        """After a connection broke, maybe before the pulse has noticed."""
        if time.monotonic() + PAUSE > until:
            raise Busy(Stage.DATABASE)
        await asyncio.sleep(PAUSE)
        await self.wait(until)

    def announce(self, app_id: int, seq: int) -> None:
        self._news[app_id] = max(seq, self._news.get(app_id, 0))
        self._wake.set()

    async def _watch(self, connection: Any) -> None:
        while True:
            try:
                await self._follow(connection)
            except Exception as error:  # whatever it is, this task must go on
                reason = _reason(error)
            connection.terminate()
            connection = await self._again(reason)

    async def _again(self, reason: str) -> Any:
        """A new connection. The first that fails tells that the database is gone, not only our connection to it."""
        while True:
            try:
                connection = await self.connect()
                if self._present and not await _answer(occupied.arrive(connection)):
                    connection.terminate()
                    raise ConnectionError("a command that has to be alone is at work")
            except Exception as error:
                self._give_up(_reason(error) or reason)
                await asyncio.sleep(PAUSE)
            else:
                if not self.beats:
                    log.warning("the database answers again")
                    self._up.set()
                return connection

    def _give_up(self, reason: str) -> None:
        if self.beats:
            log.error("the database does not answer: %s", reason)
            self._up.clear()
            for connection in list(self._connections):
                connection.terminate()

    async def _follow(self, connection: Any) -> None:
        connection.add_termination_listener(lambda _: self._wake.set())
        await _answer(connection.add_listener(CHANNEL, self._told))
        while True:
            if not self._news:
                await _within(EVERY, self._wake.wait())
            self._wake.clear()
            news, self._news = self._news, {}
            lines = [f"{app_id} {seq}" for app_id, seq in news.items()]
            await self._speak(connection, lines)

    async def _speak(self, connection: Any, lines: list[str]) -> None:
        statement = "SELECT pg_notify($1, line) FROM unnest($2::text[]) AS line"
        try:
            await _answer(connection.execute(statement, CHANNEL, lines))
        except TimeoutError:
            self._give_up("silence")
            raise

    def _told(self, _connection: Any, _pid: int, _channel: str, line: str) -> None:
        app_id, _, seq = line.partition(" ")
        if app_id.isdecimal() and seq.isdecimal():
            self._heard(int(app_id), int(seq))


async def _within(seconds: float, event: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event
    except TimeoutError:
        return


async def _answer(asked: Awaitable[T]) -> T:
    task = asyncio.ensure_future(asked)
    for seconds in (SILENCE, STALL):
        done, _ = await asyncio.wait((task,), timeout=seconds)
        if done:
            return task.result()
    task.cancel()
    raise TimeoutError


def _reason(error: BaseException) -> str:
    """Never with the address, which has a password in it."""
    return str(error) if isinstance(error, (asyncpg.PostgresError, ConnectionError)) else type(error).__name__
