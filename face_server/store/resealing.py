"""Sealing what lies there: a library that was not sealed so far, or an app with a new key. What was interrupted is
finished by doing it again. Nobody else is at work."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from face_server.store.blobs import Blobs
from face_server.store.database import Database
from face_server.store.keyring import mark, proof_of
from face_server.store.schema import app_keys, apps, faces, pictures
from face_server.store.sealed_rows import COLUMNS, face_place, picture_place
from face_server.store.sealing import PLAIN, KeyMissing, Seal, Sealer, app_of, number_of

PART = 500  # rows in one transaction

_FILES = ((faces, "picture"), (pictures, "original"), (pictures, "cut"))

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class _Home:
    """Of the files of one app."""

    app_id: int
    seal_: Seal

    async def home(self, app: str) -> int:
        return self.app_id

    async def seal(self, app_id: int) -> Seal:
        return self.seal_


class Resealing:
    def __init__(self, database: Database, sealer: Sealer, folder: Path, progress: Progress) -> None:
        self._database, self._sealer = database, sealer
        self._folder = folder
        self._progress = progress

    async def everything(self) -> None:
        """All apps. Those whose faces are sealed already keep their keys."""
        proof = await self._database.read(proof_of)
        if proof:
            self._sealer.proves(proof)
        await self._database.write(lambda connection: mark(connection, self._sealer, finished=False))
        for app_id, name in await self._apps():
            await self._app(app_id, name)
        self._drop_short_cuts()
        await self._database.write(lambda connection: mark(connection, self._sealer, finished=True))

    async def one(self, app: str) -> None:
        """A new key for an app; the old one is destroyed."""
        proof = await self._database.read(proof_of)
        if not proof or not self._sealer.proves(proof):
            raise KeyMissing("not all of the library is sealed: run `face-server seal` first")
        ids = [app_id for app_id, name in await self._apps() if name == app]
        if not ids:
            raise ValueError(f"no app {app!r}")
        newest = sa.select(sa.func.max(app_keys.c.number)).where(app_keys.c.app_id == ids[0])

        def work(connection: sa.Connection) -> None:
            number = connection.execute(newest).scalar() or 0
            self._sealer.new(connection, ids[0], number + 1)

        await self._database.write(work)
        await self._app(ids[0], app)
        self._drop_short_cuts()

    async def _apps(self) -> list[tuple[int, str]]:
        rows = await self._database.rows(sa.select(apps.c.id, apps.c.name).order_by(apps.c.id))
        return [(row.id, row.name) for row in rows]

    async def _app(self, app_id: int, name: str) -> None:
        seal = await self._database.write(lambda connection: self._sealer.for_writing(connection, app_id))
        for table in (faces, pictures):
            last = 0
            while last >= 0:
                after = last
                last, done = await self._database.write(
                    lambda connection, after=after, table=table: _rows(connection, table, app_id, after, seal)  # type: ignore[misc]
                )
                self._progress(name, done)
        for key in await self._files(app_id):
            await self._file(app_id, key, seal)
            self._progress(name, 1)
        old = sa.and_(app_keys.c.app_id == app_id, app_keys.c.number < seal.newest)
        await self._database.write(lambda connection: connection.execute(sa.delete(app_keys).where(old)))

    async def _files(self, app_id: int) -> list[str]:
        named = (sa.select(table.c[column]).where(table.c.app_id == app_id) for table, column in _FILES)
        query = sa.union(*named)
        return [key for key in await self._database.read(lambda c: c.execute(query).scalars().all()) if key]

    async def _file(self, app_id: int, key: str, seal: Seal) -> None:
        """Under another name, because a row that names it must never find it half done."""
        source = Blobs(self._folder / "pictures")
        data = await source.load(key)
        if data is None or number_of(data) == seal.newest:
            return
        if app_of(key):
            data = seal.open(data, key)
        fresh = await Blobs(self._folder / "pictures", _Home(app_id, seal)).save(data)

        def work(connection: sa.Connection) -> None:
            for table, column in _FILES:
                mine = sa.and_(table.c.app_id == app_id, table.c[column] == key)
                connection.execute(sa.update(table).where(mine).values({column: fresh}))

        await self._database.write(work)
        await source.remove([key])

    def _drop_short_cuts(self) -> None:
        """What is made again from the rows, or is only good for minutes."""
        for name in ("galleries", "tokens"):
            shutil.rmtree(self._folder / name, ignore_errors=True)


def _rows(connection: sa.Connection, table: sa.Table, app_id: int, after: int, seal: Seal) -> tuple[int, int]:
    """One part; the last row of it, or -1 at the end, and how many were changed."""
    query = sa.select(table).where(table.c.app_id == app_id, table.c.id > after).order_by(table.c.id).limit(PART)
    rows = connection.execute(query).all()
    changed = 0
    for row in rows:
        values = dict(_resealed(row, table, seal))
        if values:
            connection.execute(sa.update(table).where(table.c.id == row.id).values(values))
            changed += 1
    return (rows[-1].id if rows else -1), changed


def _resealed(row: Any, table: sa.Table, seal: Seal) -> Iterator[tuple[str, bytes]]:
    for column in COLUMNS:
        data = bytes(row._mapping[column])
        number = number_of(data)
        if not data or number == seal.newest:
            continue
        if table is faces:
            place = face_place(row.group_id, row.user_id, row.token, column)
        else:
            place = picture_place(row.name, column)
        opener = PLAIN if number is None else seal
        yield column, seal.seal(opener.open(data, place), place)
