"""One connection to Redis for several commands in one step, without what a general client does around each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.client import Redis
from redis.exceptions import RedisError

from face_server.bus import names

Command = tuple[bytes | str | int, ...]
STEP_SECONDS = 1.5  # Redis answers within it, or it is gone


class AsyncPipe:
    """Raises RedisError or OSError; the next step connects again."""

    def __init__(self, url: str) -> None:
        self._client = names.connect_async(url, socket_timeout=None)  # one deadline for the whole step instead
        self._pool: Any = self._client.connection_pool
        self._connection: Any = None

    async def close(self) -> None:
        await self._let_go()
        await self._client.aclose()

    async def __call__(self, *commands: Command) -> list[Any]:
        try:
            async with asyncio.timeout(STEP_SECONDS):
                if self._connection is None:
                    self._connection = await self._pool.get_connection()
                connection = self._connection
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                return [await connection.read_response() for _ in commands]
        except BaseException:
            await self._let_go()
            raise

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)


class Pipe:
    """The same for a thread, beside the client's own connections."""

    def __init__(self, client: Redis) -> None:
        self._pool: Any = client.connection_pool
        self._connection: Any = None

    def __call__(self, commands: Sequence[Command]) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = self._pool.get_connection()
            self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
            return [self._connection.read_response() for _ in commands]
        except (RedisError, OSError):
            self.let_go()
            raise

    def let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)
