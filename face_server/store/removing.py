"""The steps of a write that take something away. Each tells the keys of the pictures that no row points to any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from face_server.store.rows import Change
from face_server.store.schema import DELETING, faces, groups, pictures, users
from face_server.store.writing import Writing

AT_ONCE = 1000  # faces of a deleted group that are cleared before the answer leaves

_ANY_FACE = sa.select(faces.c.id).where(faces.c.user_id == sa.bindparam("user")).limit(1)


def remove_faces(writing: Writing, where: sa.ColumnElement[bool]) -> list[str] | None:
    """Only the faces: their users stay. None when no row matched."""
    gone = _drop_faces(writing, where)
    writing.note(Change(writing.seq, "remove", row.group_id, row.id) for row in gone)
    return _unused_of(writing, gone) if gone else None


def remove_people(writing: Writing, where: sa.ColumnElement[bool]) -> list[str]:
    """Faces, and the users who have no other face."""
    owners = list(writing.run(sa.select(faces.c.user_id).where(where).distinct()).scalars())
    keys = remove_faces(writing, where) or []
    left = sa.select(faces.c.id).where(faces.c.user_id == users.c.id).exists()
    writing.run(sa.delete(users).where(users.c.id.in_(owners), ~left))
    return keys


def remove_user_without_face(writing: Writing, user_id: int) -> None:
    if writing.run(_ANY_FACE, {"user": user_id}).first() is None:
        writing.run(sa.delete(users).where(users.c.id == user_id))


def drop_group(writing: Writing, group_id: int) -> list[str]:
    """Gone for callers. The rows are cleared now, or those of a large group in parts afterwards."""
    writing.run(sa.update(groups).where(groups.c.id == group_id).values(state=DELETING))
    writing.note([Change(writing.seq, "drop", group_id)])
    some = sa.select(faces.c.id).where(faces.c.group_id == group_id).limit(AT_ONCE + 1)
    return _clear_group(writing, group_id) if len(writing.run(some).all()) <= AT_ONCE else []


def clear_part(writing: Writing, group_id: int, most: int) -> tuple[bool, list[str]]:
    """Some rows of a group that is being deleted. True when nothing of it is left."""
    part = sa.select(faces.c.id).where(faces.c.group_id == group_id).limit(most)
    gone = _drop_faces(writing, faces.c.id.in_(part.scalar_subquery()))
    keys = _unused_of(writing, gone)
    if len(gone) == most:
        return False, keys
    people = sa.select(users.c.id).where(users.c.group_id == group_id).limit(most)
    if writing.run(sa.delete(users).where(users.c.id.in_(people.scalar_subquery()))).rowcount == most:
        return False, keys
    return True, keys + _clear_group(writing, group_id)


def unused(writing: Writing, stored: Iterable[str]) -> list[str]:
    """Which of these keys no row names."""
    keys = {key for key in stored if key}
    if not keys:
        return []
    named = (sa.select(column).where(column.in_(keys)) for column in (faces.c.picture, pictures.c.original))
    return sorted(keys - set(writing.run(sa.union(*named)).scalars()))


def _clear_group(writing: Writing, group_id: int) -> list[str]:
    """Every row of a group; galleries drop it by the change that was noted before."""
    gone = _drop_faces(writing, faces.c.group_id == group_id)
    writing.run(sa.delete(users).where(users.c.group_id == group_id))
    writing.run(sa.delete(groups).where(groups.c.id == group_id))
    return _unused_of(writing, gone)


def _drop_faces(writing: Writing, where: sa.ColumnElement[bool]) -> list[Any]:
    return list(writing.run(sa.delete(faces).where(where).returning(faces.c.id, faces.c.group_id, faces.c.picture)))


def _unused_of(writing: Writing, gone: Iterable[Any]) -> list[str]:
    return unused(writing, (row.picture for row in gone))
