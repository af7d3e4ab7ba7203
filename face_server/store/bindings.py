"""Faces that are in several groups at once: the rows that have one token are one face."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import sqlalchemy as sa

from face_server.errors import (
    FaceError,
    FaceMissing,
    GroupDeleting,
    GroupExists,
    GroupInUse,
    GroupMissing,
    TitleTaken,
    TooManyFaces,
    TooManyGroups,
    UserMissing,
)
from face_server.store.database import Database
from face_server.store.history import Told
from face_server.store.pictures import PictureRow, end_faces, parts, picture_row
from face_server.store.removing import drop_group, remove_people, remove_user_without_face
from face_server.store.rows import NewFace, Removed, Write
from face_server.store.schema import ACTIVE, apps, faces, groups, jobs, pictures, users
from face_server.store.sealed_rows import open_face
from face_server.store.sealing import Seal, Sealer
from face_server.store.work import OPEN_STATES
from face_server.store.writing import WriteTo, Writing

Refused = list[tuple[str, FaceError]]  # the groups in which something could not be done


class Parting(Enum):
    """What becomes of the faces of a group that is deleted."""

    KEEP = "keep"
    END = "end"  # all of them, wherever else they are bound; pictures stay
    EMPTY = "empty"  # those bound only here end, pictures stay, and so does the group
    ERASE = "erase"  # those bound only here end together with their pictures


@dataclass(frozen=True, slots=True)
class Bound:
    """A face with what is known of it: its picture where it was registered with one, a row of it where it is bound."""

    token: str
    groups: tuple[str, ...]  # in order of creation
    picture: PictureRow | None
    face_id: int = 0
    info: str = ""
    spot: bytes = b""
    stored: str = ""  # key of the picture of that row


class Bindings:
    def __init__(self, database: Database, write: WriteTo, sealer: Sealer) -> None:
        self._database, self._write, self._sealer = database, write, sealer

    # Groups

    async def add_group(self, app: str, group: str, meta: Mapping[str, Any], title: str, most: int) -> Write:
        """`title`: the key in `meta` of what no two groups of the app may have in common, unless it is empty."""

        def work(writing: Writing) -> None:
            try:
                writing.group(group)
            except GroupMissing:
                others = _metas(writing)
                _refuse_title(others, group, title, meta)
                if len(others) >= most:
                    raise TooManyGroups(f"{most} are the most") from None
                writing.new_group(group, meta)
            else:
                raise GroupExists(group)

        write, _ = await self._write(app, work, create=True, told={"group": group})
        return write

    async def change_group(self, app: str, group: str, changes: Mapping[str, Any], title: str) -> Write:
        """What is not named stays."""

        def work(writing: Writing) -> None:
            group_id = writing.group(group)
            known = _metas(writing)
            _refuse_title(known, group, title, changes)
            meta = json.dumps(known[group] | dict(changes))
            writing.run(sa.update(groups).where(groups.c.id == group_id).values(meta=meta))

        write, _ = await self._write(app, work, told={"group": group})
        return write

    async def delete_group(self, app: str, group: str, parting: Parting) -> Removed:
        def work(writing: Writing) -> list[str]:
            group_id = writing.group(group)
            _refuse_in_use(writing, app, group)
            ending = _ending(writing, group_id, parting)
            keys = end_faces(writing, ending, with_pictures=parting is Parting.ERASE)
            if parting is not Parting.EMPTY:
                return [*keys, *drop_group(writing, group_id)]
            for part in parts(_tokens(writing, faces.c.group_id == group_id)):
                here = sa.and_(faces.c.group_id == group_id, faces.c.token.in_(part))
                keys += remove_people(writing, here)
            return keys

        return Removed(*await self._write(app, work, told={"group": group}))

    # Binding

    async def bind(
        self, app: str, token: str, names: Sequence[str], embedding_id: str, template: bytes | None
    ) -> tuple[Write, Refused]:
        """To be in a group already is as good as coming into it. `template`: in place of the stored one."""

        def one(writing: Writing, face: _Source, group: str) -> None:
            group_id = writing.group(group)
            if writing.run(_here(group_id, token)).first() is None:
                writing.pin_model(embedding_id)
                _add(writing, group_id, face)

        def work(writing: Writing) -> Refused:
            face = _source(writing, token, template)
            refused = _each(names, lambda group: one(writing, face, group))
            told.clear()
            told.update(_done(names, refused, face))
            return refused

        told: Told = {}
        return await self._write(app, work, told=told)

    async def unbind(self, app: str, token: str, names: Sequence[str]) -> tuple[Removed, Refused]:
        keys: list[str] = []

        def one(writing: Writing, group: str) -> None:
            group_id = writing.group(group)
            if writing.run(_here(group_id, token)).first() is None:
                raise FaceMissing(token)
            keys.extend(remove_people(writing, sa.and_(faces.c.group_id == group_id, faces.c.token == token)))

        def work(writing: Writing) -> Refused:
            keys.clear()
            face = _source(writing, token, None)
            refused = _each(names, lambda group: one(writing, group))
            told.clear()
            told.update(_done(names, refused, face))
            return refused

        told: Told = {}
        write, refused = await self._write(app, work, told=told)
        return Removed(write, keys), refused

    # Looking

    async def bound(self, app: str, token: str) -> Bound | None:
        found = await self.bound_all(app, [token])
        return found.get(token)

    async def bound_all(self, app: str, tokens: Sequence[str]) -> dict[str, Bound]:
        """As of one instant. Those that are nowhere are left out."""

        def work(connection: sa.Connection) -> dict[str, Bound]:
            rows = connection.execute(_ROWS.where(apps.c.name == app, faces.c.token.in_(tokens))).all()
            query = sa.select(pictures).join(apps, apps.c.id == pictures.c.app_id)
            query = query.where(apps.c.name == app, pictures.c.token.in_(tokens))
            found = connection.execute(query).all()
            of_app = next((row.app_id for row in (*rows, *found)), 0)
            seal = self._sealer.learn(connection, of_app)
            known = {row.token: picture_row(row, seal) for row in found}
            return {
                token: _bound(token, known.get(token), [row for row in rows if row.token == token], seal)
                for token in {*known, *(row.token for row in rows)}
            }

        return await self._database.read(work)

    async def tokens(self, app: str, face_ids: Sequence[int]) -> dict[int, str]:
        query = sa.select(faces.c.id, faces.c.token).join(apps, apps.c.id == faces.c.app_id)
        query = query.where(apps.c.name == app, faces.c.id.in_(face_ids))
        rows = await self._database.rows(query)
        return {row.id: row.token for row in rows}

    async def page(self, app: str, group_id: int, start: int, length: int) -> tuple[int, list[Bound]]:
        """How many faces the group has, and some of them: in the order of their pictures, then those without one."""
        here = faces.c.group_id == group_id
        both = sa.and_(pictures.c.app_id == faces.c.app_id, pictures.c.token == faces.c.token)
        order = sa.select(faces.c.token).outerjoin(pictures, both).where(here)
        order = order.order_by(pictures.c.id.is_(None), pictures.c.id, faces.c.id).offset(start).limit(length)
        count = sa.select(sa.func.count()).select_from(faces).where(here)

        def work(connection: sa.Connection) -> tuple[int, list[str]]:
            return connection.execute(count).scalar_one(), list(connection.execute(order).scalars())

        total, tokens = await self._database.read(work)
        found = await self.bound_all(app, tokens) if tokens else {}
        return total, [found[token] for token in tokens if token in found]


_ROWS = (
    sa.select(faces, groups.c.name.label("group_name"), users.c.info)
    .join(groups, groups.c.id == faces.c.group_id)
    .join(apps, apps.c.id == faces.c.app_id)
    .join(users, users.c.id == faces.c.user_id)
    .where(groups.c.state == ACTIVE)
    .order_by(faces.c.group_id)
)


@dataclass(frozen=True, slots=True)
class _Source:
    """What a face brings along into another group."""

    new: NewFace
    person: str
    info: str
    model: str | None = None  # of the template, unless it is that of this server


def _source(writing: Writing, token: str, template: bytes | None) -> _Source:
    mine = sa.and_(pictures.c.app_id == writing.app_id, pictures.c.token == token)
    picture = writing.run(sa.select(pictures).where(mine)).first() if token else None
    if picture is not None:
        kept = picture_row(picture, writing.seal)
        new = NewFace(token, template or kept.template, kept.spot, kept.original)
        return _Source(new, kept.person, kept.info)
    row = writing.run(
        sa.select(faces, users.c.name.label("person"), users.c.info)
        .join(users, users.c.id == faces.c.user_id)
        .join(groups, groups.c.id == faces.c.group_id)
        .where(faces.c.app_id == writing.app_id, faces.c.token == token, groups.c.state == ACTIVE)
        .order_by(faces.c.id)
    ).first()
    if row is None:
        raise FaceMissing(token)
    return _Source(writing.opened(row), row.person, row.info, row.embedding_id)


def _add(writing: Writing, group_id: int, face: _Source) -> None:
    try:
        user_id = writing.user(group_id, face.person)
    except UserMissing:
        user_id = writing.new_user(group_id, face.person, face.info)
    try:
        writing.add_face(group_id, user_id, face.new, face.model)
    except TooManyFaces:
        remove_user_without_face(writing, user_id)
        raise


def _each(names: Sequence[str], work: Callable[[str], None]) -> Refused:
    refused: Refused = []
    for name in names:
        try:
            work(name)
        except (GroupMissing, GroupDeleting, FaceMissing, TooManyFaces) as error:
            refused.append((name, error))
    return refused


def _done(names: Sequence[str], refused: Refused, face: _Source) -> Told:
    """Of whom something was done, and in which groups."""
    left = {name for name, _ in refused}
    done = [name for name in names if name not in left]
    return {"group": ",".join(done), "user": face.person} if done else {}


def _here(group_id: int, token: str) -> sa.Select[Any]:
    return sa.select(faces.c.id).where(faces.c.group_id == group_id, faces.c.token == token)


def _tokens(writing: Writing, where: sa.ColumnElement[bool]) -> list[str]:
    return list(writing.run(sa.select(faces.c.token).where(where)).scalars())


def _ending(writing: Writing, group_id: int, parting: Parting) -> list[str]:
    here = faces.c.group_id == group_id
    if parting is Parting.KEEP:
        return []
    if parting is Parting.END:
        return _tokens(writing, here)
    elsewhere = faces.alias()
    bound = sa.select(elsewhere.c.id).join(groups, groups.c.id == elsewhere.c.group_id)
    bound = bound.where(elsewhere.c.app_id == faces.c.app_id, elsewhere.c.token == faces.c.token)
    bound = bound.where(elsewhere.c.group_id != group_id, groups.c.state == ACTIVE)
    return _tokens(writing, sa.and_(here, ~bound.correlate(faces).exists()))


def _metas(writing: Writing) -> dict[str, dict[str, Any]]:
    """Of all groups of the app, by name."""
    mine = sa.and_(groups.c.app_id == writing.app_id, groups.c.state == ACTIVE)
    return {row.name: json.loads(row.meta) for row in writing.run(sa.select(groups.c.name, groups.c.meta).where(mine))}


def _refuse_in_use(writing: Writing, app: str, group: str) -> None:
    for what in writing.run(sa.select(jobs.c.what).where(jobs.c.state.in_(OPEN_STATES))).scalars():
        named = json.loads(what)
        if named.get("app") == app and named.get("group") == group:
            raise GroupInUse(group)


def _refuse_title(known: Mapping[str, Mapping[str, Any]], group: str, title: str, meta: Mapping[str, Any]) -> None:
    wanted = meta.get(title)
    if wanted and any(wanted == other.get(title) for name, other in known.items() if name != group):
        raise TitleTaken(wanted)


def _bound(token: str, picture: PictureRow | None, rows: Sequence[sa.Row[Any]], seal: Seal) -> Bound:
    names = tuple(row.group_name for row in rows)
    if not rows:
        return Bound(token, names, picture)
    row = rows[0]
    _, spot = open_face(seal, row)
    return Bound(token, names, picture, row.id, row.info, spot, row.picture)
