"""What is done to the rows beside the requests: clearing deleted groups, ending old faces, forgetting old changes."""

from __future__ import annotations

import sqlalchemy as sa

from face_server.store.database import Database
from face_server.store.pictures import end_faces
from face_server.store.removing import clear_part, remove_people, unused
from face_server.store.rows import Removed
from face_server.store.schema import DELETING, apps, changes, faces, groups, pictures
from face_server.store.writing import WriteTo, Writing

PART = 500  # rows of one transaction, so that other writers get their turn

KEPT_CHANGES = 100_000  # of each app


class Upkeep:
    def __init__(self, database: Database, write: WriteTo) -> None:
        self._database, self._write = database, write

    async def deleting_groups(self) -> list[tuple[str, int]]:
        """App and id of every group whose rows are still to be cleared."""
        query = sa.select(apps.c.name, groups.c.id).join(apps, apps.c.id == groups.c.app_id)
        return [(row.name, row.id) for row in await self._database.rows(query.where(groups.c.state == DELETING))]

    async def purge(self, app: str, group_id: int) -> tuple[bool, list[str]]:
        """Clear one part of a deleted group. True when nothing of it is left; and the pictures to remove."""
        _, result = await self._write(app, lambda writing: clear_part(writing, group_id, PART))
        return result

    async def expired(self, app: str, before: float) -> bool:
        """Is there a face that was registered before a time?"""
        for table in (faces, pictures):
            query = sa.select(table.c.id).join(apps, apps.c.id == table.c.app_id).where(apps.c.name == app)
            if await self._database.rows(query.where(table.c.created < before).limit(1)):
                return True
        return False

    async def expire(self, app: str, before: float) -> tuple[int, Removed]:
        """End some of the faces that were registered before a time. How many; none: nothing so old is left."""

        def work(writing: Writing) -> tuple[int, list[str]]:
            count, keys = _expire_pictures(writing, before)
            more, gone = _expire_faces(writing, before)
            return count + more, keys + gone

        write, (count, keys) = await self._write(app, work)
        return count, Removed(write, keys)

    async def forget_changes(self, keep: int = KEPT_CHANGES) -> None:
        """Drop the old part of every app's feed: who is further behind than this starts again from the rows."""
        newest = sa.update(apps).where(apps.c.seq - apps.c.forgotten > keep).values(forgotten=apps.c.seq - keep)
        limit = sa.select(apps.c.forgotten).where(apps.c.id == changes.c.app_id).scalar_subquery()

        def work(connection: sa.Connection) -> None:
            connection.execute(newest)
            connection.execute(sa.delete(changes).where(changes.c.seq <= limit))

        await self._database.write(work)


def _expire_pictures(writing: Writing, before: float) -> tuple[int, list[str]]:
    """With their faces, wherever these are bound."""
    old = sa.and_(pictures.c.app_id == writing.app_id, pictures.c.created < before)
    rows = writing.run(sa.select(pictures).where(old).limit(PART)).all()
    keys = end_faces(writing, [row.token for row in rows if row.token])
    writing.run(sa.delete(pictures).where(pictures.c.id.in_([row.id for row in rows])))
    return len(rows), keys + unused(writing, (row.original for row in rows))


def _expire_faces(writing: Writing, before: float) -> tuple[int, list[str]]:
    some = sa.select(faces.c.id).where(faces.c.app_id == writing.app_id, faces.c.created < before).limit(PART)
    ids = list(writing.run(some).scalars())
    return len(ids), remove_people(writing, faces.c.id.in_(ids))
