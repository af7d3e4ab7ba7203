"""What is deleted is to be gone from the database's files as well."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from face_server.errors import StoreFailed
from face_server.store.schema import app_keys, deployment, metadata


def settle(path: Path) -> bool:
    """Empty the log of SQLite, in which overwritten pages still lie. False: somebody reads just now."""
    with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
        return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)


async def rewrite(place: Path | str) -> None:
    """All tables anew, without the room of deleted rows. Nobody else is at work."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place, isolation_level=None)) as connection:
            connection.execute("VACUUM")
        settle(place)
        return
    await _write_anew(place, [table.name for table in metadata.sorted_tables])


async def scrub_keys(place: Path | str) -> None:
    """Former copies of wrapped keys, also beside running servers: SQLite has overwritten them but for its log, and in
    Postgres the tables are so small that writing them anew takes no time."""
    if isinstance(place, Path):
        await asyncio.to_thread(settle, place)
    else:
        await _write_anew(place, [app_keys.name, deployment.name])


async def _write_anew(place: str, tables: Sequence[str]) -> None:
    import asyncpg

    try:
        connection = await asyncpg.connect(place)
    except (OSError, asyncpg.PostgresError) as error:
        raise StoreFailed(f"what was deleted still lies in Postgres's files: {error}") from error
    try:
        for table in tables:
            await connection.execute(f'VACUUM FULL "{table}"')
        await connection.execute("CHECKPOINT")
    except asyncpg.InsufficientPrivilegeError:
        pass  # of the checkpoint: the tables are rewritten
    finally:
        await connection.close()
