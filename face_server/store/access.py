"""Apps and their credentials as rows. Secrets come in already hashed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from face_server.store.database import Database
from face_server.store.rows import Change, Write
from face_server.store.schema import ACTIVE, DELETING, apps, credentials, deployment, faces, groups, metadata, pictures
from face_server.store.writing import Writing

_VERSION = sa.select(deployment.c.access)


class AppMissing(Exception):
    """No app of this name."""


class AppHasCredential(Exception):
    """The app has a credential already."""


@dataclass(frozen=True, slots=True)
class Credential:
    id: int
    app: str
    key: str
    digest: bytes
    created: float
    expires: float  # 0: never
    used: float  # 0: never

    def valid(self, now: float) -> bool:
        return not self.expires or now < self.expires


@dataclass(frozen=True, slots=True)
class AppCount:
    app: str
    created: float
    groups: int
    faces: int


class AccessRows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def deployment_key(self) -> bytes:
        ((key,),) = await self._database.rows(sa.select(deployment.c.key))
        return bytes(key)

    async def version(self) -> int:
        """Another number after every change of apps, their credentials and their limits."""
        ((version,),) = await self._database.recalled(_VERSION, {})
        return int(version)

    async def all(self) -> tuple[int, list[str], list[Credential]]:
        """Everything, as of one instant: version, names of the apps, credentials."""
        query = sa.select(credentials, apps.c.name.label("app")).join(apps, apps.c.id == credentials.c.app_id)

        def work(connection: sa.Connection) -> tuple[int, list[str], list[Credential]]:
            version = connection.execute(_VERSION).scalar_one()
            names = connection.execute(sa.select(apps.c.name).order_by(apps.c.id)).scalars().all()
            rows = connection.execute(query.order_by(credentials.c.id))
            return version, list(names), [_credential(row) for row in rows]

        return await self._database.read(work)

    async def counts(self) -> list[AppCount]:
        owned = sa.select(sa.func.count()).where(groups.c.app_id == apps.c.id, groups.c.state == ACTIVE)
        known = sa.select(sa.func.count()).where(faces.c.app_id == apps.c.id)
        query = sa.select(
            apps.c.name, apps.c.created, owned.scalar_subquery().label("groups"), known.scalar_subquery().label("faces")
        )
        rows = await self._database.rows(query.order_by(apps.c.name))
        return [AppCount(row.name, row.created, row.groups, row.faces) for row in rows]

    async def create(self, app: str, key: str, digest: bytes) -> None:
        """The app, if it is not there yet, with its first credential."""

        def work(connection: sa.Connection) -> None:
            app_id = Writing.begin(connection, app, create=True).app_id
            if _valid_ids(connection, app_id):
                raise AppHasCredential(app)
            _add(connection, app_id, key, digest)

        await self._database.write(work)

    async def rotate(self, app: str, key: str, digest: bytes, expires: float) -> None:
        """One more credential; those before it work until `expires` at the longest."""

        def work(connection: sa.Connection) -> None:
            app_id = _app_id(connection, app)
            ending = credentials.c.id.in_(_valid_ids(connection, app_id))
            later = sa.or_(credentials.c.expires == 0, credentials.c.expires > expires)
            connection.execute(sa.update(credentials).where(ending, later).values(expires=expires))
            past = sa.and_(credentials.c.app_id == app_id, credentials.c.expires.between(1, time.time()))
            connection.execute(sa.delete(credentials).where(past))
            _add(connection, app_id, key, digest)

        await self._database.write(work)

    async def remove(self, key: str) -> bool:
        """False when there is no such credential."""

        def work(connection: sa.Connection) -> bool:
            found = connection.execute(sa.delete(credentials).where(credentials.c.key == key)).rowcount
            if found:
                _changed(connection)
            return bool(found)

        return await self._database.write(work)

    async def note_use(self, times: Mapping[int, float]) -> None:
        """The last use of credentials, by their id. One that is gone meanwhile stays gone."""
        used = sa.update(credentials).where(credentials.c.id == sa.bindparam("which"))
        used = used.values(used=sa.bindparam("at", type_=sa.Float))
        rows = [{"which": which, "at": at} for which, at in times.items()]
        await self._database.write(lambda connection: connection.execute(used, rows))

    async def retention(self, app: str) -> int:
        """Days after which a face ends; 0: it stays for ever."""
        rows = await self._database.rows(sa.select(apps.c.retention_days).where(apps.c.name == app))
        if not rows:
            raise AppMissing(app)
        return int(rows[0].retention_days)

    async def retentions(self) -> dict[str, int]:
        """Of the apps whose faces end."""
        query = sa.select(apps.c.name, apps.c.retention_days).where(apps.c.retention_days > 0)
        return {row.name: row.retention_days for row in await self._database.rows(query)}

    async def set_retention(self, app: str, days: int) -> None:
        change = sa.update(apps).where(apps.c.name == app).values(retention_days=days)
        if not await self._database.write(lambda connection: connection.execute(change).rowcount):
            raise AppMissing(app)

    # Deleting an app: first nobody may come in any more, then its groups are cleared in parts, then the rest goes

    async def close_app(self, app: str) -> list[int]:
        """Its credentials go, its groups are gone for callers. The ids of groups that are to be purged."""

        def work(connection: sa.Connection) -> tuple[Write, list[int]]:
            _app_id(connection, app)
            writing = Writing.begin(connection, app, create=False)
            connection.execute(sa.delete(credentials).where(credentials.c.app_id == writing.app_id))
            _changed(connection)
            mine = groups.c.app_id == writing.app_id
            ids = list(connection.execute(sa.select(groups.c.id).where(mine)).scalars())
            connection.execute(sa.update(groups).where(mine).values(state=DELETING))
            writing.note(Change(writing.seq, "drop", group_id) for group_id in ids)
            return writing.end(), ids

        write, ids = await self._database.write(work)
        self._database.announce(write.app_id, write.seq)
        return ids

    async def drop_app(self, app: str) -> list[str] | None:
        """The app and all rows that belong to it; the pictures to remove. None while there is a group."""

        def work(connection: sa.Connection) -> list[str] | None:
            app_id = _app_id(connection, app)
            if connection.execute(sa.select(groups.c.id).where(groups.c.app_id == app_id).limit(1)).first():
                return None
            kept = connection.execute(sa.select(pictures.c.original, pictures.c.cut).where(pictures.c.app_id == app_id))
            keys = [key for row in kept for key in row if key]
            for table in reversed(metadata.sorted_tables):
                for column in _columns_of_apps(table):
                    connection.execute(sa.delete(table).where(column == app_id))
            connection.execute(sa.delete(apps).where(apps.c.id == app_id))
            _changed(connection)
            return keys

        return await self._database.write(work)


def _columns_of_apps(table: sa.Table) -> Iterable[sa.Column[Any]]:
    return [column for column in table.c if any(key.references(apps) for key in column.foreign_keys)]


def _app_id(connection: sa.Connection, app: str) -> int:
    row = connection.execute(sa.select(apps.c.id).where(apps.c.name == app)).first()
    if row is None:
        raise AppMissing(app)
    return int(row.id)


def _valid_ids(connection: sa.Connection, app_id: int) -> list[int]:
    query = sa.select(credentials.c.id, credentials.c.expires).where(credentials.c.app_id == app_id)
    now = time.time()
    return [row.id for row in connection.execute(query) if not row.expires or row.expires > now]


def _add(connection: sa.Connection, app_id: int, key: str, digest: bytes) -> None:
    values = {"app_id": app_id, "key": key, "digest": digest, "created": time.time(), "expires": 0.0, "used": 0.0}
    connection.execute(sa.insert(credentials).values(values))
    _changed(connection)


def _changed(connection: sa.Connection) -> None:
    connection.execute(sa.update(deployment).values(access=deployment.c.access + 1))


def _credential(row: sa.Row[Any]) -> Credential:
    return Credential(row.id, row.app, row.key, bytes(row.digest), row.created, row.expires, row.used)
