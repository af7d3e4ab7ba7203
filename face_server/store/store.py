"""The library: apps, groups, users, faces. One transaction per method; what went wrong is an error of the core."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from face_server.errors import FaceMissing, GroupExists, GroupMissing, StoreFailed, TargetGroupMissing, UserMissing
from face_server.model import DEFAULT_APP
from face_server.store.access import AccessRows
from face_server.store.bindings import Bindings
from face_server.store.choice import database_at
from face_server.store.database import Heard
from face_server.store.history import NEW_LINE, Asker, Audit, Told
from face_server.store.index_rows import IndexRows
from face_server.store.keyring import Keyring
from face_server.store.limits import LimitRows
from face_server.store.pages import Pages
from face_server.store.pictures import Pictures
from face_server.store.reading import Reading
from face_server.store.removing import drop_group, remove_faces, remove_user_without_face, unused
from face_server.store.renewing import Renewing
from face_server.store.rows import Enrolled, Mode, NewFace, Quota, Removed, Write
from face_server.store.schema import ACTIVE, apps, faces, groups, users
from face_server.store.sealing import Seal, Sealer
from face_server.store.upkeep import Upkeep
from face_server.store.work import JobRows, Operators
from face_server.store.writing import NO_QUOTA, Writing

CONNECTIONS = 10

T = TypeVar("T")


class Store(Reading):
    """Writes. What only reads is in `Reading`."""

    creates_apps = True  # on the way, with their first group

    def __init__(
        self,
        place: Path | str,
        quota: Quota = NO_QUOTA,
        connections: int = CONNECTIONS,
        sealer: Sealer | None = None,
        present: bool = False,
    ) -> None:
        """In a file of SQLite, or at the address of a Postgres with so many connections at most. Without a sealer it
        cannot be asked for faces, if they are sealed. `present`: no command that has to be alone begins meanwhile."""
        self.place = place
        self._homes: dict[str, int] = {}
        self._followers: list[Heard] = []
        super().__init__(database_at(place, connections, self._heard, present), sealer or Sealer())
        self.access, self.limits = AccessRows(self._database), LimitRows(self._database)
        self.pages = Pages(self._database)
        self.pictures = Pictures(self._database, self._write, self.sealer)
        self.bindings = Bindings(self._database, self._write, self.sealer)
        self.renewing, self.upkeep = Renewing(self._write), Upkeep(self._database, self._write)
        self.index_rows = IndexRows(self._database, self.sealer)
        self.operators, self.audit = Operators(self._database), Audit(self._database)
        self.jobs = JobRows(self._database)
        self._quota = quota

    async def open(self) -> None:
        await self._database.open()
        await Keyring(self._database, self.sealer).open()
        born = sa.insert(apps).values(name=DEFAULT_APP, seq=0, forgotten=0, embedding_id="", created=time.time())

        def work(connection: sa.Connection) -> None:
            if connection.execute(sa.select(apps.c.id).where(apps.c.name == DEFAULT_APP)).first() is None:
                connection.execute(born)

        if DEFAULT_APP not in await self.apps():
            await self._database.write(work)

    async def close(self) -> None:
        await self._database.close()

    @property
    def reachable(self) -> bool:
        return self._database.reachable

    @property
    def kind(self) -> str:
        return self._database.kind

    async def size(self) -> int:
        """Bytes of the whole database."""
        return await self._database.size()

    def follow(self, heard: Heard) -> None:
        """Be told, if possible, when another server has written."""
        self._followers.append(heard)

    def _heard(self, app_id: int, seq: int) -> None:
        for heard in self._followers:
            heard(app_id, seq)

    async def _write(
        self, app: str, work: Callable[[Writing], T], create: bool = False, told: Told | None = None
    ) -> tuple[Write, T]:
        """`told`: for the audit log, what is changed; the work may say so as well."""
        asker = None if told is None else Asker.current()

        def transaction(connection: sa.Connection) -> tuple[Write, T, Seal | None]:
            writing = Writing.begin(connection, app, create and self.creates_apps, self._quota, self.sealer)
            result = work(writing)
            write = writing.end()
            if asker and told:
                writing.run(NEW_LINE, [asker.line(app, told, write.changes)])
            return write, result, writing.used_seal

        try:
            write, result, seal = await self._database.write(transaction, app)
        except StoreFailed:
            self._homes.pop(app, None)
            raise
        self.sealer.remember(write.app_id, seal)
        self._database.announce(write.app_id, write.seq)
        return write, result

    async def home(self, app: str) -> int:
        """The id of an app whose seal is known from now on: both are made if they are not there. Should the app have
        been deleted and made again meanwhile, the write that names what was sealed for it is refused."""
        known = self._homes.get(app)
        if known is None or self.sealer.known(known) is None:
            write, _ = await self._write(app, lambda writing: writing.seal, create=True)
            self._homes[app] = write.app_id
            return write.app_id
        return known

    # Groups

    async def add_group(self, app: str, group: str, meta: Mapping[str, Any] | None = None) -> Write:
        def work(writing: Writing) -> None:
            try:
                writing.group(group)
            except GroupMissing:
                writing.new_group(group, meta)
            else:
                raise GroupExists(group)

        write, _ = await self._write(app, work, create=True, told={"group": group})
        return write

    async def delete_group(self, app: str, group: str) -> Removed:
        """At once for callers. A large group's rows are cleared by `upkeep` afterwards."""

        def work(writing: Writing) -> list[str]:
            return drop_group(writing, writing.group(group))

        return Removed(*await self._write(app, work, told={"group": group}))

    # Faces

    async def enroll(
        self,
        app: str,
        group: str,
        user: str,
        face: NewFace,
        embedding_id: str,
        info: str | None = None,
        mode: Mode = Mode.APPEND,
        faces_per_user: int = 0,
        group_meta: Mapping[str, Any] | None = None,
        shared: bool = False,
    ) -> Enrolled:
        """Register a face. A given info replaces the stored one, None leaves it. `shared`: another user of the
        group may have the same picture."""
        creates = mode in (Mode.APPEND, Mode.REPLACE)

        def work(writing: Writing) -> tuple[int, int, list[str]]:
            group_id, user_id = _home(writing, group, user, info, mode, group_meta)
            writing.pin_model(embedding_id)
            dropped = [] if mode is Mode.APPEND else remove_faces(writing, faces.c.user_id == user_id) or []
            own = face
            if shared:
                writing.refuse_same_spot(user_id, face)
                own = replace(face, token=writing.free_token(group_id, face.token))
            else:
                writing.refuse_duplicate(group_id, face.token)
            if faces_per_user:
                writing.refuse_too_many(user_id, faces_per_user)
            return group_id, writing.add_face(group_id, user_id, own), dropped

        told = {"group": group, "user": user}
        write, (group_id, face_id, dropped) = await self._write(app, work, create=creates, told=told)
        return Enrolled(write, group_id, face_id, tuple(key for key in dropped if key != face.picture))

    async def add_person(
        self, app: str, group: str, face: NewFace, embedding_id: str, info: str, twice: bool
    ) -> Enrolled:
        """A face as a user of its own, called by the face's number. The group must be there. `twice`: the same picture
        may come again."""

        def work(writing: Writing) -> tuple[int, int]:
            group_id = writing.group(group)
            writing.pin_model(embedding_id)
            if not twice:
                writing.refuse_duplicate(group_id, face.token)
            user_id = writing.new_user(group_id, secrets.token_hex(16), info)
            own = replace(face, token=writing.free_token(group_id, face.token))
            face_id = writing.add_face(group_id, user_id, own)
            writing.name_after(user_id, face_id)
            told["face_id"] = str(face_id)
            return group_id, face_id

        told = {"group": group}
        write, (group_id, face_id) = await self._write(app, work, told=told)
        return Enrolled(write, group_id, face_id)

    async def change_face(
        self, app: str, group: str, face_id: int, face: NewFace | None, embedding_id: str, info: str | None
    ) -> Removed:
        """Another picture of a face, another info of its user, or both; its number stays."""

        def work(writing: Writing) -> list[str]:
            group_id = writing.group(group)
            user_id = writing.owner(face_id, group_id)
            if info is not None:
                writing.run(sa.update(users).where(users.c.id == user_id).values(info=info, updated=time.time()))
            if face is None:
                return []
            writing.pin_model(embedding_id)
            own = replace(face, token=writing.free_token(group_id, face.token, face_id))
            return unused(writing, [writing.replace_face(group_id, user_id, face_id, own)])

        return Removed(*await self._write(app, work, told={"group": group, "face_id": str(face_id)}))

    async def delete_face(self, app: str, group: str, user: str, token: str) -> Removed:
        """The last face takes its user with it."""

        def work(writing: Writing) -> list[str]:
            user_id = writing.user(writing.group(group), user)
            keys = remove_faces(writing, sa.and_(faces.c.user_id == user_id, faces.c.token == token))
            if keys is None:
                raise FaceMissing(token)
            remove_user_without_face(writing, user_id)
            return keys

        return Removed(*await self._write(app, work, told={"group": group, "user": user}))

    async def delete_face_by_id(self, app: str, face_id: int, group: str | None = None) -> Removed:
        """Wherever it is, or only from this group. The last face takes its user with it."""

        def work(writing: Writing) -> list[str]:
            user_id = writing.owner(face_id, None if group is None else writing.group(group))
            keys = remove_faces(writing, faces.c.id == face_id)
            remove_user_without_face(writing, user_id)
            return keys or []

        told = {"face_id": str(face_id)} | ({"group": group} if group is not None else {})
        return Removed(*await self._write(app, work, told=told))

    # Users

    async def delete_user(self, app: str, group: str | None, user: str) -> Removed:
        """From one group, or from all of them."""

        def work(writing: Writing) -> list[str]:
            query = sa.select(users.c.id, groups.c.name).join(groups, groups.c.id == users.c.group_id)
            query = query.where(groups.c.app_id == writing.app_id, groups.c.state == ACTIVE, users.c.name == user)
            if group is not None:
                query = query.where(users.c.group_id == writing.group(group))
            rows = writing.run(query).all()
            if not rows:
                raise UserMissing(user)
            ids = [row.id for row in rows]
            keys = remove_faces(writing, faces.c.user_id.in_(ids))
            writing.run(sa.delete(users).where(users.c.id.in_(ids)))
            for row in rows:
                writing.group(row.name)
            told["group"] = ",".join(row.name for row in rows)
            return keys or []

        told = {"user": user}
        return Removed(*await self._write(app, work, told=told))

    async def copy_user(self, app: str, user: str, source: str, target: str) -> Write:
        """The user with its info and faces; the tokens stay the same."""

        def work(writing: Writing) -> None:
            source_id = writing.group(source, changes=False)
            person = writing.run(sa.select(users).where(users.c.group_id == source_id, users.c.name == user)).first()
            if person is None:
                raise UserMissing(user)
            try:
                target_id = writing.group(target)
            except GroupMissing as error:
                raise TargetGroupMissing(target) from error
            writing.copy_user(person, target_id)

        write, _ = await self._write(app, work, told={"user": user, "source": source, "target": target})
        return write


def _home(
    writing: Writing, group: str, user: str, info: str | None, mode: Mode, group_meta: Mapping[str, Any] | None
) -> tuple[int, int]:
    """Group and user of a new face, made on the way where the mode allows it."""
    try:
        group_id = writing.group(group)
    except GroupMissing:
        if mode in (Mode.UPDATE, Mode.UPDATE_OR_CREATE):
            raise
        group_id = writing.new_group(group, group_meta)
    try:
        return group_id, writing.user(group_id, user, info)
    except UserMissing:
        if mode is Mode.UPDATE:
            raise
        return group_id, writing.new_user(group_id, user, info or "")
