"""Pictures that are there for their own sake: each has a name, and a face that can end before the picture does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from face_server.errors import FaceExists, FaceMissing, GroupDeleting, GroupMissing, PictureMissing, TooManyGroups
from face_server.store.database import Database
from face_server.store.history import Told
from face_server.store.removing import remove_people, unused
from face_server.store.rows import Removed, Write
from face_server.store.schema import albums, apps, faces, pictures
from face_server.store.sealed_rows import open_picture, seal_picture
from face_server.store.sealing import Seal, Sealer
from face_server.store.writing import WriteTo, Writing

PART = 500  # rows of one statement

_BEGUN = sa.select(albums.c.app_id).join(apps, apps.c.id == albums.c.app_id).where(apps.c.name == sa.bindparam("app"))


@dataclass(frozen=True, slots=True)
class NewPicture:
    name: str
    original: str  # keys of files that are already durable
    cut: str
    token: str
    person: str
    info: str
    spot: bytes
    template: bytes
    embedding_id: str
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PictureRow:
    id: int
    name: str
    original: str
    cut: str
    token: str  # empty: it has no face
    person: str
    info: str
    spot: bytes
    template: bytes
    embedding_id: str
    meta: dict[str, Any]


class Pictures:
    def __init__(self, database: Database, write: WriteTo, sealer: Sealer) -> None:
        self._database, self._write, self._sealer = database, write, sealer

    async def begin(self, app: str, group: str) -> Write | None:
        """The app's first group, made once and only once."""

        def work(writing: Writing) -> None:
            mine = albums.c.app_id == writing.app_id
            if writing.run(sa.select(albums.c.app_id).where(mine)).first() is not None:
                return
            writing.run(sa.insert(albums).values(app_id=writing.app_id))
            try:
                writing.group(group, changes=False)
            except GroupDeleting:
                pass
            except GroupMissing:
                _if_there_is_room(writing, group)

        if await self._database.recalled(_BEGUN, {"app": app}):
            return None
        write, _ = await self._write(app, work, create=True, told={"group": group})
        return write

    async def add(self, app: str, new: NewPicture) -> tuple[int, Removed]:
        """A picture whose face has ended takes the new one and keeps its number."""
        values: dict[str, Any] = {
            "original": new.original,
            "cut": new.cut,
            "token": new.token,
            "person": new.person,
            "info": new.info,
            "embedding_id": new.embedding_id,
            "meta": json.dumps(dict(new.meta)),
            "created": time.time(),
        }

        def work(writing: Writing) -> tuple[int, list[str]]:
            writing.refuse_foreign(new.original, new.cut)
            values.update(seal_picture(writing.seal, new.name, new.template, new.spot))
            same = sa.and_(pictures.c.app_id == writing.app_id, pictures.c.name == new.name)
            old = writing.run(sa.select(pictures.c.id, pictures.c.token, pictures.c.original).where(same)).first()
            if old is None:
                born = sa.insert(pictures).values(app_id=writing.app_id, name=new.name, **values)
                number = int(writing.run(born.returning(pictures.c.id)).scalar_one())
                told["picture"] = str(number)
                return number, []
            if old.token:
                raise FaceExists(old.id)
            writing.run(sa.update(pictures).where(same).values(**values))
            told["picture"] = str(old.id)
            return old.id, unused(writing, [old.original])

        told: Told = {}
        write, (number, gone) = await self._write(app, work, create=True, told=told)
        return number, Removed(write, gone)

    async def named(self, app: str, name: str) -> PictureRow | None:
        rows = await self._rows(_of(app).where(pictures.c.name == name))
        return rows[0] if rows else None

    async def page(self, app: str, start: int, length: int) -> tuple[int, list[PictureRow]]:
        """How many there are, and some of them in the order of their numbers."""
        (total,) = await self._database.rows(
            sa.select(sa.func.count().label("number")).select_from(_of(app).subquery())
        )
        rows = await self._rows(_of(app).order_by(pictures.c.id).offset(start).limit(length))
        return total.number, rows

    async def end_face(self, app: str, token: str) -> Removed:
        """The face everywhere; its picture stays."""

        def work(writing: Writing) -> list[str]:
            for table, kind in ((pictures, "picture"), (faces, "face_id")):
                mine = sa.and_(table.c.app_id == writing.app_id, table.c.token == token)
                number = writing.run(sa.select(table.c.id).where(mine).limit(1)).scalar() if token else None
                if number is not None:
                    told[kind] = str(number)
                    return end_faces(writing, [token])
            raise FaceMissing(token)

        told: Told = {}
        return Removed(*await self._write(app, work, told=told))

    async def remove(self, app: str, name: str) -> Removed:
        """The picture with its face."""

        def work(writing: Writing) -> list[str]:
            same = sa.and_(pictures.c.app_id == writing.app_id, pictures.c.name == name)
            row = writing.run(sa.select(pictures.c.id, pictures.c.token, pictures.c.original).where(same)).first()
            if row is None:
                raise PictureMissing(name)
            told["picture"] = str(row.id)
            ended = end_faces(writing, [row.token]) if row.token else []
            writing.run(sa.delete(pictures).where(same))
            return [*ended, *unused(writing, [row.original])]

        told: Told = {}
        return Removed(*await self._write(app, work, told=told))

    async def clear_part(self, app: str) -> tuple[bool, Removed]:
        """Some of all pictures and faces of an app. False when nothing is left."""

        def work(writing: Writing) -> tuple[bool, list[str]]:
            mine = pictures.c.app_id == writing.app_id
            rows = writing.run(sa.select(pictures.c.id, pictures.c.original, pictures.c.cut).where(mine).limit(PART))
            some = rows.all()
            writing.run(sa.delete(pictures).where(pictures.c.id.in_([row.id for row in some])))
            owned = sa.select(faces.c.id).where(faces.c.app_id == writing.app_id).limit(PART)
            ids = list(writing.run(owned).scalars())
            gone = remove_people(writing, faces.c.id.in_(ids))
            keys = [key for row in some for key in (row.original, row.cut)]
            return bool(some or ids), [*gone, *unused(writing, keys)]

        write, (more, keys) = await self._write(app, work)
        return more, Removed(write, keys)

    async def _rows(self, query: sa.Select[Any]) -> list[PictureRow]:
        def work(connection: sa.Connection) -> list[PictureRow]:
            rows = connection.execute(query).all()
            return [picture_row(row, self._sealer.learn(connection, row.app_id)) for row in rows]

        return await self._database.read(work)


def end_faces(writing: Writing, tokens: Sequence[str], with_pictures: bool = False) -> list[str]:
    """Faces wherever they are bound, and of their pictures what belongs to the face, or all. The keys of files that
    nothing points to any more."""
    keys: list[str] = []
    for part in parts(tokens):
        gone = remove_people(writing, sa.and_(faces.c.app_id == writing.app_id, faces.c.token.in_(part)))
        mine = sa.and_(pictures.c.app_id == writing.app_id, pictures.c.token.in_(part))
        rows = writing.run(sa.select(pictures.c.original, pictures.c.cut).where(mine)).all()
        if with_pictures:
            writing.run(sa.delete(pictures).where(mine))
            keys += unused(writing, (row.original for row in rows))
        else:
            writing.run(sa.update(pictures).where(mine).values(token="", person="", cut="", spot=b"", template=b""))
        keys += [*gone, *(row.cut for row in rows if row.cut)]
    return keys


def parts(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    return (tokens[start : start + PART] for start in range(0, len(tokens), PART))


def picture_row(row: sa.Row[Any], seal: Seal) -> PictureRow:
    template, spot = open_picture(seal, row)
    return PictureRow(
        row.id,
        row.name,
        row.original,
        row.cut,
        row.token,
        row.person,
        row.info,
        spot,
        template,
        row.embedding_id,
        json.loads(row.meta),
    )


def _of(app: str) -> sa.Select[Any]:
    return sa.select(pictures).join(apps, apps.c.id == pictures.c.app_id).where(apps.c.name == app)


def _if_there_is_room(writing: Writing, group: str) -> None:
    try:
        writing.new_group(group)
    except TooManyGroups:
        return
