"""Who works in a data folder: many servers and commands together, or one command alone."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from face_server.errors import StoreFailed

NAME = "in-use.lock"
SERVING = "serving.lock"
LOCKS = (NAME, SERVING)
_LOCK = 0x66616365_68657265  # of Postgres: who works in the database, wherever its data folder is


@contextmanager
def occupied(folder: Path, alone: bool = False) -> Iterator[None]:
    """The system lets go of it when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("ab") as stream:
        try:
            fcntl.flock(stream, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            who = "a server or an import" if alone else "a command that has to be alone"
            raise StoreFailed(f"{who} is at work in {folder}: stop it, or wait for its end") from None
        yield


async def arrive(connection: Any) -> bool:
    """As long as this connection to Postgres lasts. False: somebody has to be alone."""
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock_shared($1)", _LOCK))


@asynccontextmanager
async def alone_in(place: Path | str) -> AsyncIterator[None]:
    """Nobody else works in this Postgres meanwhile; what is said of a file of SQLite, its folder says."""
    if isinstance(place, Path):
        yield
        return
    import asyncpg

    try:
        connection = await asyncpg.connect(place)
    except (OSError, asyncpg.PostgresError) as error:
        raise StoreFailed(f"the database does not answer: {type(error).__name__}") from None
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
            raise StoreFailed("a server or an import is at work in this Postgres: stop it, or wait for its end")
        yield
    finally:
        await connection.close()


@contextmanager
def first_to_serve(folder: Path) -> Iterator[bool]:
    """False: another server works in this folder already. That is allowed, and worth a line in the log."""
    with (folder / SERVING).open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
