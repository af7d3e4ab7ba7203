"""Pages of the library for people who look through it. Each begins where the last one ended, so that the hundredth is
as fast as the first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from face_server.errors import UserMissing
from face_server.store.database import Database
from face_server.store.rows import GroupRef
from face_server.store.schema import ACTIVE, apps, faces, groups, users

_AT_ONCE = 500  # ids in one statement
_LAST = "\U0010ffff"  # sorts behind every other character


@dataclass(frozen=True, slots=True)
class GroupPage:
    name: str
    users: int
    faces: int
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class UserPage:
    id: int
    name: str
    info: str
    faces: int
    face_id: int | None  # the first one
    created: float
    updated: float


class Pages:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def apps(self, after: str, length: int) -> list[tuple[str, int]]:
        """Names with the number of groups."""
        owned = sa.select(sa.func.count()).where(groups.c.app_id == apps.c.id, groups.c.state == ACTIVE)
        query = sa.select(apps.c.name, owned.scalar_subquery().label("owned")).where(apps.c.name > after)
        return [(row.name, row.owned) for row in await self._database.rows(query.order_by(apps.c.name).limit(length))]

    async def groups(self, app: str, prefix: str, after: str, length: int) -> list[GroupPage]:
        people = sa.select(sa.func.count()).where(users.c.group_id == groups.c.id).scalar_subquery()
        owned = sa.select(sa.func.count()).where(faces.c.group_id == groups.c.id).scalar_subquery()
        query = (
            sa.select(groups, people.label("people"), owned.label("owned"))
            .join(apps, apps.c.id == groups.c.app_id)
            .where(apps.c.name == app, groups.c.state == ACTIVE, *_named(groups.c.name, prefix, after))
            .order_by(groups.c.name)
            .limit(length)
        )
        rows = await self._database.rows(query)
        return [GroupPage(row.name, row.people, row.owned, row.created, row.updated) for row in rows]

    async def group_names(self, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
        """App and name of groups by their ids."""
        query = sa.select(groups.c.id, groups.c.name, apps.c.name.label("app")).join(apps, apps.c.id == groups.c.app_id)
        found: dict[int, tuple[str, str]] = {}
        for start in range(0, len(ids), _AT_ONCE):
            rows = await self._database.rows(query.where(groups.c.id.in_(ids[start : start + _AT_ONCE])))
            found |= {row.id: (row.app, row.name) for row in rows}
        return found

    async def users(self, group: GroupRef, after: int, length: int) -> list[UserPage]:
        """In order of registration."""
        query = _people(group).where(users.c.id > after).order_by(users.c.id).limit(length)
        return [_user(row) for row in await self._database.rows(query)]

    async def users_named(self, group: GroupRef, prefix: str, after: str, length: int) -> list[UserPage]:
        """Those whose name begins so, in order of the names."""
        query = _people(group).where(*_named(users.c.name, prefix, after)).order_by(users.c.name).limit(length)
        return [_user(row) for row in await self._database.rows(query)]

    async def user(self, group: GroupRef, name: str) -> UserPage:
        rows = await self._database.rows(_people(group).where(users.c.name == name))
        if not rows:
            raise UserMissing(name)
        return _user(rows[0])

    async def set_info(self, group: GroupRef, user: str, info: str) -> None:
        """What is written about a user. No face changes, so no index has to hear of it."""
        same = sa.and_(users.c.group_id == group.id, users.c.name == user)

        def work(connection: sa.Connection) -> None:
            if not connection.execute(sa.update(users).where(same).values(info=info, updated=time.time())).rowcount:
                raise UserMissing(user)

        await self._database.write(work)


def _people(group: GroupRef) -> sa.Select[Any]:
    owned = sa.select(sa.func.count()).where(faces.c.user_id == users.c.id).scalar_subquery()
    first = sa.select(sa.func.min(faces.c.id)).where(faces.c.user_id == users.c.id).scalar_subquery()
    return sa.select(users, owned.label("owned"), first.label("first")).where(users.c.group_id == group.id)


def _named(column: sa.Column[str], prefix: str, after: str) -> list[sa.ColumnElement[bool]]:
    where: list[sa.ColumnElement[bool]] = [column > after] if after else []
    return [*where, column >= prefix, column < prefix + _LAST] if prefix else where


def _user(row: sa.Row[Any]) -> UserPage:
    return UserPage(row.id, row.name, row.info, row.owned, row.first, row.created, row.updated)
