"""What is deleted is to be gone from the database's files as well."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from face_server.store.schema import metadata


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
    import asyncpg

    connection = await asyncpg.connect(place)
    try:
        for table in metadata.sorted_tables:
            await connection.execute(f'VACUUM FULL "{table.name}"')
        await connection.execute("CHECKPOINT")
    except asyncpg.InsufficientPrivilegeError:
        pass  # of the checkpoint: the tables are rewritten
    finally:
        await connection.close()
