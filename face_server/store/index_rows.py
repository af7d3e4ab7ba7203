"""What an index asks: the faces of a group as of one instant, and what has changed since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from face_server.errors import GroupMissing
from face_server.store.database import Columns, Database
from face_server.store.rows import Change, Feed, GroupRef
from face_server.store.schema import ACTIVE, apps, changes, faces, groups
from face_server.store.sealed_rows import open_template
from face_server.store.sealing import PLAIN, Seal, Sealer

PART = 1000  # values of one statement

T = TypeVar("T")
# From the app's last write, the number of faces, and these in parts of three columns: ids, user ids, templates.
Build = Callable[[int, int, Columns], T]


class IndexRows:
    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def group_ids(self) -> set[int]:
        return {row.id for row in await self._database.rows(sa.select(groups.c.id).where(groups.c.state == ACTIVE))}

    async def still_there(self, ids: Sequence[int]) -> set[int]:
        """Which of these groups have not been deleted."""
        found: set[int] = set()
        for start in range(0, len(ids), PART):
            query = sa.select(groups.c.id).where(groups.c.state == ACTIVE, groups.c.id.in_(ids[start : start + PART]))
            found.update(row.id for row in await self._database.rows(query))
        return found

    async def gallery(self, group: GroupRef, build: Build[T], model: str | None = None) -> T:
        """All faces of a group as of one instant, in parts, so that they are never in memory as rows. `model`: only
        those whose templates it has made."""
        here = _here(group.id, model)
        seq = sa.select(apps.c.seq).join(groups, groups.c.app_id == apps.c.id)
        seq = seq.where(groups.c.id == group.id, groups.c.state == ACTIVE)
        rows = sa.select(faces.c.id, faces.c.user_id, faces.c.template).where(here)
        if self._sealer.active:
            rows = rows.add_columns(faces.c.token)
            self._sealer.homes[group.id] = group.app_id

        def first(connection: sa.Connection) -> tuple[int, int, Seal]:
            now = connection.execute(seq).scalar()
            if now is None:
                raise GroupMissing(group.name)
            return now, connection.execute(_count(here)).scalar_one(), self._sealer.learn(connection, group.app_id)

        def opened(begun: tuple[int, int, Seal], parts: Columns) -> T:
            now, count, seal = begun
            return build(now, count, parts if seal is PLAIN else _opened(parts, group.id, seal))

        return await self._database.columns(first, rows.order_by(faces.c.id), opened)

    async def changes(
        self, app_id: int, after: int, group_id: int | None = None, model: str | None = None
    ) -> Feed | None:
        """The feed of an app or one of its groups after a number. None when it does not reach back so far. `model`:
        faces whose templates another one has made are as good as removed."""
        app = sa.select(apps.c.seq, apps.c.forgotten).where(apps.c.id == app_id)
        query = (
            sa.select(changes, faces.c.user_id, faces.c.template, faces.c.token)
            .outerjoin(faces, sa.and_(faces.c.id == changes.c.face_id, changes.c.kind == "add", *_only_of(model)))
            .where(changes.c.app_id == app_id, changes.c.seq > after)
            .order_by(changes.c.seq, changes.c.part)
        )
        if group_id is not None:
            query = query.where(changes.c.group_id == group_id)

        def work(connection: sa.Connection) -> Feed | None:
            now = connection.execute(app).first()
            if now is None or not now.forgotten <= after <= now.seq:
                return None
            seal = self._sealer.learn(connection, app_id)
            found = tuple(_change(row, seal) for row in connection.execute(query))
            if group_id is None:
                return Feed(now.seq, found)
            return Feed(now.seq, found, connection.execute(_count(_here(group_id, model))).scalar_one())

        return await self._database.read(work)


def _here(group_id: int, model: str | None) -> sa.ColumnElement[bool]:
    return sa.and_(faces.c.group_id == group_id, *_only_of(model))


def _only_of(model: str | None) -> list[sa.ColumnElement[bool]]:
    return [] if model is None else [faces.c.embedding_id == model]


def _count(where: sa.ColumnElement[bool]) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(faces).where(where)


def _change(row: sa.Row[Any], seal: Seal) -> Change:
    template = row.template
    if template is not None:
        template = open_template(seal, template, row.group_id, row.user_id, row.token)
    return Change(row.seq, row.kind, row.group_id, row.face_id, row.user_id or 0, template)


def _opened(parts: Columns, group_id: int, seal: Seal) -> Columns:
    """Of rows that are sealed, and have their token as well."""
    for ids, users, templates, tokens in parts:
        texts = (token if isinstance(token, str) else token.decode() for token in tokens)
        rows = zip(templates, users, texts, strict=True)
        yield ids, users, [open_template(seal, data, group_id, user, token) for data, user, token in rows]
