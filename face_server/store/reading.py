"""What can be asked of the library. Nothing here changes a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from face_server.errors import GroupDeleting, GroupMissing, UserMissing
from face_server.store.database import Database
from face_server.store.rows import FaceRow, GroupCount, GroupRef, UserRow
from face_server.store.schema import ACTIVE, DELETING, apps, faces, groups, pictures, users
from face_server.store.sealed_rows import open_face
from face_server.store.sealing import Seal, Sealer

MOST_ROWS = 2**31 - 1  # in a page, and before it

_FACE = (
    sa.select(faces, groups.c.name.label("group_name"), users.c.name.label("user_name"))
    .join(groups, groups.c.id == faces.c.group_id)
    .join(users, users.c.id == faces.c.user_id)
    .where(groups.c.state == ACTIVE)
)
_USER = (
    sa.select(users, groups.c.name.label("group_name"))
    .join(groups, groups.c.id == users.c.group_id)
    .where(groups.c.state == ACTIVE)
)
_USERS_BY_ID = _USER.where(users.c.id.in_(sa.bindparam("ids", expanding=True)))
_GROUP = sa.select(groups, apps.c.seq, apps.c.embedding_id).join(apps, apps.c.id == groups.c.app_id)
_NAMED_GROUPS = _GROUP.where(
    apps.c.name == sa.bindparam("app"), groups.c.name.in_(sa.bindparam("names", expanding=True))
)


class Reading:
    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self.sealer = sealer

    async def _all(self, query: sa.Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[sa.Row[Any]]:
        return await self._database.rows(query, values)

    async def _value(self, query: sa.Select[Any]) -> Any:
        return (await self._all(query))[0][0]

    # Apps and groups

    async def apps(self) -> list[str]:
        return [row.name for row in await self._all(sa.select(apps.c.name).order_by(apps.c.id))]

    async def app_ids(self) -> set[int]:
        return {row.id for row in await self._all(sa.select(apps.c.id))}

    async def seq(self, app: str) -> tuple[int, int] | None:
        """Id of the app and the number of its last write."""
        rows = await self._all(sa.select(apps.c.id, apps.c.seq).where(apps.c.name == app))
        return (rows[0].id, rows[0].seq) if rows else None

    async def groups(self, app: str, names: Sequence[str]) -> list[GroupRef]:
        """The named groups, in that order; all of them must be there."""
        rows = await self._database.recalled(_NAMED_GROUPS, {"app": app, "names": list(names)})
        found = {row.name: row for row in rows}
        for name in names:
            if name not in found:
                raise GroupMissing(name)
            if found[name].state == DELETING:
                raise GroupDeleting(name)
        return [_group(found[name]) for name in names]

    async def list_groups(self, app: str, start: int = 0, length: int | None = None) -> list[GroupRef]:
        query = _GROUP.where(apps.c.name == app, groups.c.state == ACTIVE).order_by(groups.c.id)
        return [_group(row) for row in await self._all(_page(query, start, length))]

    async def count_groups(self, app: str) -> int:
        query = sa.select(sa.func.count()).select_from(groups).join(apps, apps.c.id == groups.c.app_id)
        return int(await self._value(query.where(apps.c.name == app, groups.c.state == ACTIVE)))

    async def count(self, group: GroupRef) -> GroupCount:
        people = sa.select(sa.func.count()).select_from(users).where(users.c.group_id == group.id)
        owned = sa.select(sa.func.count()).select_from(faces).where(faces.c.group_id == group.id)
        both = sa.select(people.scalar_subquery().label("users"), owned.scalar_subquery().label("faces"))
        (row,) = await self._all(both)
        return GroupCount(row.users, row.faces, group.created, group.updated)

    async def count_faces(self, groups_: Sequence[GroupRef], but_of: str | None = None) -> dict[int, int]:
        """How many faces each of these groups has, by the group's id. `but_of`: only those of other models."""
        ids = sorted(group.id for group in groups_)
        if not ids:
            return {}
        # Pages are in the order of ids, and a list of them may be longer than a statement can be.
        query = sa.select(faces.c.group_id, sa.func.count().label("number")).group_by(faces.c.group_id)
        query = query.where(faces.c.group_id.between(ids[0], ids[-1]), *_but_of(but_of))
        rows = await self._all(query)
        found = {row.group_id: row.number for row in rows}
        return {group_id: found.get(group_id, 0) for group_id in ids}

    # Users

    async def user_ids(self, groups_: Sequence[GroupRef], user: str) -> list[int]:
        """The user's rows in these groups; none at all is an error."""
        query = sa.select(users.c.id).where(users.c.group_id.in_([g.id for g in groups_]), users.c.name == user)
        rows = await self._all(query)
        if not rows:
            raise UserMissing(user)
        return [row.id for row in rows]

    async def users_by_id(self, ids: Sequence[int]) -> dict[int, UserRow]:
        if not ids:
            return {}
        rows = await self._database.recalled(_USERS_BY_ID, {"ids": list(ids)})
        return {row.id: _user(row) for row in rows}

    async def get_user(self, app: str, group: str | None, user: str) -> list[UserRow]:
        """The user in one group, or in every group of the app."""
        query = _USER.join(apps, apps.c.id == groups.c.app_id).where(apps.c.name == app, users.c.name == user)
        if group is not None:
            (ref,) = await self.groups(app, [group])
            query = query.where(users.c.group_id == ref.id)
        rows = await self._all(query.order_by(users.c.id))
        if not rows:
            raise UserMissing(user)
        return [_user(row) for row in rows]

    async def list_users(self, app: str, group: str, start: int = 0, length: int | None = None) -> list[UserRow]:
        (ref,) = await self.groups(app, [group])
        query = _USER.where(users.c.group_id == ref.id).order_by(users.c.id)
        return [_user(row) for row in await self._all(_page(query, start, length))]

    # Faces

    async def list_faces(self, app: str, group: str, user: str) -> list[FaceRow]:
        (person,) = await self.get_user(app, group, user)
        query = _FACE.where(faces.c.user_id == person.id).order_by(faces.c.id)
        return await self._faces(query)

    async def faces_after(self, group: GroupRef, face_id: int, length: int, but_of: str | None = None) -> list[FaceRow]:
        """So many faces of the group behind one of them, in order of their numbers: for who reads them all.
        `but_of`: only those of other models."""
        query = _FACE.where(faces.c.group_id == group.id, faces.c.id > face_id, *_but_of(but_of)).order_by(faces.c.id)
        return await self._faces(query.limit(length))

    async def tokens(self, group: GroupRef) -> set[str]:
        return {row.token for row in await self._all(sa.select(faces.c.token).where(faces.c.group_id == group.id))}

    async def face_by_token(self, app: str, token: str) -> FaceRow | None:
        return await self._one_face(app, faces.c.token == token)

    async def face_by_id(self, app: str, face_id: int) -> FaceRow | None:
        return await self._one_face(app, faces.c.id == face_id)

    async def _one_face(self, app: str, which: sa.ColumnElement[bool]) -> FaceRow | None:
        query = _FACE.join(apps, apps.c.id == faces.c.app_id).where(apps.c.name == app, which)
        rows = await self._faces(query.order_by(faces.c.id).limit(1))
        return rows[0] if rows else None

    async def _faces(self, query: sa.Select[Any]) -> list[FaceRow]:
        rows = await self._all(query)
        seals = {app_id: await self.seal(app_id) for app_id in {row.app_id for row in rows}}
        return [_face(row, seals[row.app_id]) for row in rows]

    async def seal(self, app_id: int) -> Seal:
        """What opens the faces of an app."""
        known = self.sealer.known(app_id)
        if known is not None:
            return known
        return await self._database.read(lambda connection: self.sealer.learn(connection, app_id))

    async def picture_keys(self) -> set[str]:
        """Of everything that is stored in files."""
        columns = (faces.c.picture, pictures.c.original, pictures.c.cut)
        query = sa.union(*(sa.select(column) for column in columns))
        return await self._database.read(lambda connection: set(connection.execute(query).scalars()))


def _but_of(embedding_id: str | None) -> list[sa.ColumnElement[bool]]:
    return [] if embedding_id is None else [faces.c.embedding_id != embedding_id]


def _page(query: sa.Select[Any], start: int, length: int | None) -> sa.Select[Any]:
    if not start and length is None:
        return query
    return query.offset(min(start, MOST_ROWS)).limit(None if length is None else min(length, MOST_ROWS))


def _group(row: sa.Row[Any]) -> GroupRef:
    return GroupRef(row.id, row.app_id, row.name, row.seq, row.embedding_id, _meta(row), row.created, row.updated)


def _user(row: sa.Row[Any]) -> UserRow:
    return UserRow(row.id, row.group_name, row.name, row.info, _meta(row), row.created, row.updated)


def _meta(row: sa.Row[Any]) -> dict[str, Any]:
    return {} if row.meta == "{}" else json.loads(row.meta)


def _face(row: sa.Row[Any], seal: Seal) -> FaceRow:
    template, spot = open_face(seal, row)
    return FaceRow(
        row.id,
        row.token,
        row.group_name,
        row.user_name,
        template,
        spot,
        row.picture,
        _meta(row),
        row.created,
        row.embedding_id,
    )
