"""The database as of one instant, in one file; its pictures' keys and its counts as of the same."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from face_server.backup import manifest
from face_server.errors import StoreFailed
from face_server.store import migrate
from face_server.store.schema import metadata

KEYS = (
    "SELECT picture FROM faces WHERE picture <> '' UNION SELECT original FROM pictures WHERE original <> ''"
    " UNION SELECT cut FROM pictures WHERE cut <> ''"
)
COUNTS = " UNION ALL ".join(f"SELECT '{table.name}', count(*) FROM {table.name}" for table in metadata.sorted_tables)
SEALED = "SELECT length(sealed) > 0 FROM deployment"


@dataclass(frozen=True, slots=True)
class Instant:
    keys: set[str]
    rows: dict[str, int]
    sealed: bool


def take(place: Path | str, folder: Path) -> Instant:
    """Write the database's file into the folder. Who writes to the library meanwhile is not held up."""
    if isinstance(place, Path):
        return _sqlite(place, folder / manifest.SQLITE)
    return asyncio.run(_postgres(place, folder / manifest.POSTGRES))


def _sqlite(path: Path, target: Path) -> Instant:
    if not path.exists():
        raise StoreFailed(f"there is no library in {path}")
    _same_schema(migrate.current(path))
    target.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(path, timeout=30)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)  # in one step: as of one commit
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        return read_sqlite(target)
    except sqlite3.Error as error:
        raise StoreFailed(f"the database could not be copied: {error}") from error


def read_sqlite(path: Path) -> Instant:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        if (said := connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise StoreFailed(f"{path} is damaged: {said}")
        keys = {key for (key,) in connection.execute(KEYS)}
        return Instant(keys, dict(connection.execute(COUNTS)), bool(connection.execute(SEALED).fetchone()[0]))


async def _postgres(url: str, target: Path) -> Instant:
    import asyncpg

    program("pg_dump")
    connection: Any = await asyncpg.connect(url, timeout=10)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            _same_schema(await connection.fetchval("SELECT version_num FROM alembic_version"))
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            await asyncio.to_thread(
                run_program, "pg_dump", url, "--format=custom", f"--snapshot={snapshot}", f"--file={target}"
            )
            return await _read_postgres(connection)
    except asyncpg.PostgresError as error:
        raise StoreFailed(f"the database could not be read: {error}") from error
    finally:
        await connection.close()


async def _read_postgres(connection: Any) -> Instant:
    keys = {row[0] for row in await connection.fetch(KEYS)}
    rows = {row[0]: row[1] for row in await connection.fetch(COUNTS)}
    return Instant(keys, rows, bool(await connection.fetchval(SEALED)))


async def counts_of_postgres(url: str) -> dict[str, int]:
    import asyncpg

    connection: Any = await asyncpg.connect(url, timeout=10)
    try:
        return (await _read_postgres(connection)).rows
    finally:
        await connection.close()


async def is_empty(url: str) -> bool:
    import asyncpg

    connection: Any = await asyncpg.connect(url, timeout=10)
    try:
        there = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
        return not await connection.fetchval(there)
    finally:
        await connection.close()


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise StoreFailed(f"{name} is not installed: backups of Postgres are made with its own programs")
    return found


def run_program(name: str, url: str, *arguments: str) -> None:
    """The password goes by the environment: command lines can be read by others."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    shown = urlunsplit(parts._replace(netloc=user + host))
    password = {"PGPASSWORD": unquote(parts.password)} if parts.password else {}
    command = [program(name), f"--dbname={shown}", "--no-owner", "--no-privileges", *arguments]
    done = subprocess.run(command, env=os.environ | password, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StoreFailed(f"{name} failed: {done.stderr.strip()[-500:]}")


def _same_schema(found: str | None) -> None:
    if found != migrate.head():
        raise StoreFailed(f"the schema is {found}, not {migrate.head()}: run `face-server db migrate` first")
