"""The limits that were set for an app, as rows. What they mean is known elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from face_server.store.access import AppMissing
from face_server.store.database import Database
from face_server.store.schema import app_limits, apps, deployment

Limits = dict[str, float]  # of one app, by name

_VERSION = sa.select(deployment.c.access)
_ALL = sa.select(apps.c.name.label("app"), app_limits.c.name, app_limits.c.value).join(
    apps, apps.c.id == app_limits.c.app_id
)


class LimitRows:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[int, dict[str, Limits]]:
        """The version and the limits of every app that has some, as of one instant."""

        def work(connection: sa.Connection) -> tuple[int, dict[str, Limits]]:
            version = int(connection.execute(_VERSION).scalar_one())
            found: dict[str, Limits] = {}
            for row in connection.execute(_ALL):
                found.setdefault(row.app, {})[row.name] = float(row.value)
            return version, found

        return await self._database.read(work)

    async def of(self, app: str) -> Limits:
        """As they are in the database now."""
        return await self._database.read(lambda connection: _read(connection, _app_id(connection, app)))

    async def change(self, app: str, change: Callable[[Limits], Mapping[str, float]]) -> Limits:
        """`change` makes the new ones of those that stand. What it raises leaves these as they are."""

        def work(connection: sa.Connection) -> Limits:
            # Who comes first in this row goes first: what one of two sets the other one reads.
            connection.execute(sa.update(deployment).values(access=deployment.c.access + 1))
            app_id = _app_id(connection, app)
            limits = dict(change(_read(connection, app_id)))
            connection.execute(sa.delete(app_limits).where(app_limits.c.app_id == app_id))
            if limits:
                rows = [{"app_id": app_id, "name": name, "value": value} for name, value in limits.items()]
                connection.execute(sa.insert(app_limits), rows)
            return limits

        return await self._database.write(work)


def _app_id(connection: sa.Connection, app: str) -> int:
    found = connection.execute(sa.select(apps.c.id).where(apps.c.name == app)).scalar()
    if found is None:
        raise AppMissing(app)
    return int(found)


def _read(connection: sa.Connection, app_id: int) -> Limits:
    query = sa.select(app_limits.c.name, app_limits.c.value).where(app_limits.c.app_id == app_id)
    return {row.name: float(row.value) for row in connection.execute(query)}
