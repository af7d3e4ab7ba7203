"""A whole library from SQLite to an empty Postgres: all of it, counted and compared, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from face_server.errors import StoreFailed
from face_server.store import migrate, sqlite
from face_server.store.postgres import PostgresDatabase
from face_server.store.schema import metadata

PART = 1000  # rows
MADE_BY_MIGRATIONS = ("deployment",)  # what these have of their own gives way to what comes

Progress = Callable[[str, int], None]  # so many more rows of a table are copied, or compared


@dataclass(slots=True)
class Sum:
    """Of a table: its rows, and a checksum in which their order does not count."""

    rows: int = 0
    total: int = 0

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            digest = hashlib.blake2b(msgspec.msgpack.encode(tuple(row)), digest_size=16).digest()
            self.rows += 1
            self.total = (self.total + int.from_bytes(digest)) % 2**128

    @property
    def checksum(self) -> str:
        return f"{self.total:032x}"


class Source:
    """A library in SQLite. While it is read nobody writes to it."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Source]:
        if not path.exists():
            raise StoreFailed(f"there is no library in {path}")
        if migrate.current(path) != migrate.head():
            raise StoreFailed(f"{path} has an older schema: run `face-server db migrate` first")
        engine = sqlite.open_engine(path, connections=1, begin="BEGIN IMMEDIATE")
        try:
            with engine.connect() as connection:
                yield cls(connection)
        finally:
            engine.dispose()

    @property
    def size(self) -> int:
        """All its rows."""
        counts = (sa.select(sa.func.count()).select_from(table) for table in metadata.sorted_tables)
        return sum(self._connection.execute(count).scalar_one() for count in counts)

    def parts(self, table: sa.Table) -> Iterator[Sequence[sa.Row[Any]]]:
        yield from self._connection.execution_options(yield_per=PART).execute(sa.select(table)).partitions()

    def last_ids(self) -> dict[str, int]:
        """The highest number each table has ever given: none is given twice."""
        rows = self._connection.execute(sa.text("SELECT name, seq FROM sqlite_sequence"))
        return {row.name: row.seq for row in rows}


async def move(source: Source, url: str, progress: Progress) -> dict[str, Sum]:
    """Every table with its sum, the same here and there."""
    await _migrated(url)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await _refuse_unless_empty(connection)
            sums = {table.name: await _copy(source, connection, table, progress) for table in metadata.sorted_tables}
            await _continue_numbers(connection, source.last_ids())
            for table in metadata.sorted_tables:
                there = await _sum(connection, table, progress)
                if there != sums[table.name]:
                    raise StoreFailed(f"{table.name} is not the same there: nothing was copied")
        return sums
    except (asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError) as error:
        raise StoreFailed(f"nothing was copied: {error}") from error
    finally:
        connection.terminate()


async def _migrated(url: str) -> None:
    database = PostgresDatabase(url, 2, lambda *_: None)
    await database.open()
    await database.close()


async def _refuse_unless_empty(connection: Any) -> None:
    await connection.execute("LOCK TABLE apps IN EXCLUSIVE MODE")  # nobody begins to write meanwhile
    for table in metadata.sorted_tables:
        if table.name in MADE_BY_MIGRATIONS:
            await connection.execute(f'DELETE FROM "{table.name}"')
        elif await connection.fetchval(f'SELECT EXISTS (SELECT 1 FROM "{table.name}")'):
            raise StoreFailed(f"the target is not empty: there are rows in {table.name}")


async def _copy(source: Source, connection: Any, table: sa.Table, progress: Progress) -> Sum:
    done = Sum()
    names = [column.name for column in table.columns]
    for part in source.parts(table):
        await connection.copy_records_to_table(table.name, records=[tuple(row) for row in part], columns=names)
        done.add(part)
        progress(table.name, len(part))
    return done


async def _continue_numbers(connection: Any, last_ids: dict[str, int]) -> None:
    for table in metadata.sorted_tables:
        if "id" not in table.columns:
            continue
        sequence = await connection.fetchval("SELECT pg_get_serial_sequence($1, 'id')", f'"{table.name}"')
        if sequence is not None:
            there = await connection.fetchval(f'SELECT coalesce(max(id), 0) FROM "{table.name}"')
            last = max(there, last_ids.get(table.name, 0))
            await connection.execute("SELECT setval($1::regclass, $2, $3)", sequence, max(last, 1), last > 0)


async def _sum(connection: Any, table: sa.Table, progress: Progress) -> Sum:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    cursor = await connection.cursor(f'SELECT {names} FROM "{table.name}"')
    found = Sum()
    while part := await cursor.fetch(PART):
        found.add(part)
        progress(table.name, len(part))
    return found
