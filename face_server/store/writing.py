"""The steps of a write, inside one transaction that somebody else opened and will commit. Plain synchronous code:
the database decides on which thread it runs. The statements of the hot steps are built once: building one costs more
than running it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import bindparam

from face_server.errors import (
    FaceError,
    FaceExists,
    FaceMissing,
    GroupDeleting,
    GroupFull,
    GroupMissing,
    LibraryFull,
    OtherModel,
    StoreFailed,
    TooManyFaces,
    TooManyGroups,
    UserExists,
    UserMissing,
)
from face_server.store.history import Told
from face_server.store.rows import Change, NewFace, Quota, Write
from face_server.store.schema import ACTIVE, DELETING, apps, changes, faces, groups, users
from face_server.store.sealed_rows import open_face, seal_face
from face_server.store.sealing import PLAIN, Seal, Sealer, app_of

_NEXT_NUMBER = (
    sa.update(apps)
    .where(apps.c.name == bindparam("app"))
    .values(seq=apps.c.seq + 1)
    .returning(apps.c.id, apps.c.seq, apps.c.embedding_id)
)
_NEW_APP = sa.insert(apps).returning(apps.c.id)
_TOUCH_GROUP = (
    sa.update(groups)
    .where(groups.c.app_id == bindparam("app"), groups.c.name == bindparam("group"))
    .values(updated=sa.func.coalesce(bindparam("now", type_=sa.Float), groups.c.updated))
    .returning(groups.c.id, groups.c.state)
)
_NEW_GROUP = sa.insert(groups).returning(groups.c.id)
_TOUCH_USER = (
    sa.update(users)
    .where(users.c.group_id == bindparam("group"), users.c.name == bindparam("user"))
    .values(updated=bindparam("now"), info=sa.func.coalesce(bindparam("given", type_=sa.Text), users.c.info))
    .returning(users.c.id)
)
_NEW_USER = sa.insert(users).returning(users.c.id)
_NEW_FACE = sa.insert(faces).returning(faces.c.id)
_FACES_OF = sa.select(faces).where(faces.c.user_id == bindparam("user"))
_SAME_FACE = sa.select(faces.c.id).where(faces.c.group_id == bindparam("group"), faces.c.token == bindparam("token"))
_COUNT_FACES = sa.select(sa.func.count()).select_from(faces).where(faces.c.user_id == bindparam("user"))
_COUNT_IN_GROUP = sa.select(sa.func.count()).select_from(faces).where(faces.c.group_id == bindparam("group"))
_COUNT_IN_APP = sa.select(sa.func.count()).select_from(faces).where(faces.c.app_id == bindparam("app"))
_COUNT_GROUPS = (
    sa.select(sa.func.count()).select_from(groups).where(groups.c.app_id == bindparam("app"), groups.c.state == ACTIVE)
)
_NEW_CHANGE = sa.insert(changes)

NO_QUOTA = Quota()
OPEN = Sealer()

T = TypeVar("T")


class Writing:
    """One write to one app: it has taken the app's next number, and notes what it changes under it."""

    def __init__(
        self,
        connection: sa.Connection,
        app_id: int,
        seq: int,
        embedding_id: str,
        quota: Quota,
        sealer: Sealer,
    ) -> None:
        self.run = connection.execute
        self._connection = connection
        self._quota = quota
        self._sealer = sealer
        self.used_seal: Seal | None = None
        self.app_id, self.seq = app_id, seq
        self._embedding_id = embedding_id
        self._changes: list[Change] = []

    @classmethod
    def begin(
        cls, connection: sa.Connection, app: str, create: bool, quota: Quota = NO_QUOTA, sealer: Sealer = OPEN
    ) -> Writing:
        row = connection.execute(_NEXT_NUMBER, {"app": app}).first()
        if row is not None:
            return cls(connection, row.id, row.seq, row.embedding_id, quota, sealer)
        if not create:
            raise GroupMissing(f"no app {app!r}")
        born = {"name": app, "seq": 1, "forgotten": 0, "embedding_id": "", "created": time.time()}
        return cls(connection, connection.execute(_NEW_APP, born).scalar_one(), 1, "", quota, sealer)

    @property
    def seal(self) -> Seal:
        if self.used_seal is None:
            self.used_seal = self._sealer.for_writing(self._connection, self.app_id)
        return self.used_seal

    # The feed of changes

    def note(self, changed: Iterable[Change]) -> None:
        self._changes.extend(changed)

    def end(self) -> Write:
        """Append what was noted to the feed."""
        if self._changes:
            rows = [
                {
                    "app_id": self.app_id,
                    "seq": self.seq,
                    "part": part,
                    "kind": change.kind,
                    "group_id": change.group_id,
                    "face_id": change.face_id,
                }
                for part, change in enumerate(self._changes)
            ]
            self.run(_NEW_CHANGE, rows)
        return Write(self.app_id, self.seq, tuple(self._changes))

    # Apps and groups

    def pin_model(self, embedding_id: str) -> None:
        """The first template decides which model all templates of the app are of."""
        if self._embedding_id == embedding_id:
            return
        owned = sa.select(faces.c.id).join(groups, groups.c.id == faces.c.group_id)
        owned = owned.where(groups.c.app_id == self.app_id, groups.c.state == ACTIVE).limit(1)
        if self._embedding_id and self.run(owned).first() is not None:
            raise OtherModel(f"the app's templates are of model {self._embedding_id}, not {embedding_id}")
        self.change_model(embedding_id)

    def change_model(self, embedding_id: str) -> None:
        """Faces whose templates are of another model are not searched from now on."""
        self.run(sa.update(apps).where(apps.c.id == self.app_id).values(embedding_id=embedding_id))
        self._embedding_id = embedding_id

    @property
    def model(self) -> str:
        return self._embedding_id

    def group(self, name: str, changes: bool = True) -> int:
        """The group's row; its time of change is now, unless nothing in it changes."""
        now = time.time() if changes else None
        row = self.run(_TOUCH_GROUP, {"app": self.app_id, "group": name, "now": now}).first()
        if row is None:
            raise GroupMissing(name)
        if row.state == DELETING:
            raise GroupDeleting(name)
        return int(row.id)

    def new_group(self, name: str, meta: Mapping[str, Any] | None = None) -> int:
        self._refuse_more_than(self._quota.groups, _COUNT_GROUPS, {"app": self.app_id}, TooManyGroups)
        values = {"app_id": self.app_id, "name": name, "state": ACTIVE, "meta": json.dumps(dict(meta or {}))}
        return int(self.run(_NEW_GROUP, values | _born()).scalar_one())

    # Users

    def user(self, group_id: int, name: str, info: str | None = None) -> int:
        """The user's row; a given info replaces the stored one, None leaves it."""
        values = {"group": group_id, "user": name, "now": time.time(), "given": info}
        user_id = self.run(_TOUCH_USER, values).scalar()
        if user_id is None:
            raise UserMissing(name)
        return int(user_id)

    def new_user(self, group_id: int, name: str, info: str = "", meta: str = "{}") -> int:
        values = {"group_id": group_id, "name": name, "info": info, "meta": meta}
        return int(self.run(_NEW_USER, values | _born()).scalar_one())

    def name_after(self, user_id: int, face_id: int) -> None:
        """The user is called by the number of its face, unless another one of the group is called so already."""
        home = sa.select(users.c.group_id).where(users.c.id == user_id).scalar_subquery()
        taken = sa.select(users.c.id).where(users.c.group_id == home, users.c.name == str(face_id))
        if self.run(taken).first() is None:
            self.run(sa.update(users).where(users.c.id == user_id).values(name=str(face_id)))

    def copy_user(self, person: sa.Row[Any], group_id: int) -> None:
        there = sa.select(users.c.id).where(users.c.group_id == group_id, users.c.name == person.name)
        if self.run(there).first() is not None:
            raise UserExists(person.name)
        owned = self.run(sa.select(faces).where(faces.c.user_id == person.id).order_by(faces.c.id)).all()
        user_id = self.new_user(group_id, person.name, person.info, person.meta)
        for face in owned:
            self.refuse_duplicate(group_id, face.token)
            self.add_face(group_id, user_id, self.opened(face), face.embedding_id)

    # Faces

    def opened(self, row: sa.Row[Any]) -> NewFace:
        """A row of a face as what it was made of."""
        template, spot = open_face(self.seal, row)
        return NewFace(row.token, template, spot, row.picture, json.loads(row.meta))

    def refuse_foreign(self, *pictures_: str) -> None:
        """A picture that was sealed for an app of this name which is gone could never be opened."""
        if self.seal is not PLAIN and any(key and app_of(key) != self.app_id for key in pictures_):
            raise StoreFailed("the app was deleted and made again meanwhile")

    def _sealed(self, group_id: int, user_id: int, face: NewFace) -> dict[str, bytes]:
        self.refuse_foreign(face.picture)
        return seal_face(self.seal, group_id, user_id, face.token, face.template, face.spot)

    def owner(self, face_id: int, group_id: int | None = None) -> int:
        """The user of a face of this app, or of this group; the face's group changes."""
        query = sa.select(groups.c.name, faces.c.user_id).join(groups, groups.c.id == faces.c.group_id)
        query = query.where(faces.c.id == face_id, faces.c.app_id == self.app_id, groups.c.state == ACTIVE)
        if group_id is not None:
            query = query.where(faces.c.group_id == group_id)
        row = self.run(query).first()
        if row is None:
            raise FaceMissing(str(face_id))
        self.group(row.name)
        return int(row.user_id)

    def refuse_duplicate(self, group_id: int, token: str) -> None:
        face_id = self.run(_SAME_FACE, {"group": group_id, "token": token}).scalar()
        if face_id is not None:
            raise FaceExists(face_id)

    def refuse_same_spot(self, user_id: int, face: NewFace) -> None:
        """The same face of the same picture, whatever token the user's row of it got."""
        for row in self.run(_FACES_OF, {"user": user_id}):
            if open_face(self.seal, row) == (face.template, face.spot):
                raise FaceExists(row.id)

    def _refuse_more_than(
        self, most: int, count: sa.Select[Any], which: dict[str, int], error: type[FaceError]
    ) -> None:
        if most and self.run(count, which).scalar_one() >= most:
            raise error(f"{most} are the most")

    def refuse_too_many(self, user_id: int, most: int) -> None:
        if self.run(_COUNT_FACES, {"user": user_id}).scalar_one() >= most:
            raise TooManyFaces(f"{most} faces are the most for one user")

    def add_face(self, group_id: int, user_id: int, face: NewFace, model: str | None = None) -> int:
        """`model`: of the template, when it is that of a face that is there already."""
        self._refuse_more_than(self._quota.group_faces, _COUNT_IN_GROUP, {"group": group_id}, GroupFull)
        self._refuse_more_than(self._quota.faces, _COUNT_IN_APP, {"app": self.app_id}, LibraryFull)
        values = {
            "app_id": self.app_id,
            "group_id": group_id,
            "user_id": user_id,
            "token": face.token,
            **self._sealed(group_id, user_id, face),
            "embedding_id": self.model if model is None else model,
            "picture": face.picture,
            "meta": json.dumps(dict(face.meta)),
            "created": time.time(),
        }
        face_id = int(self.run(_NEW_FACE, values).scalar_one())
        searched = face.template if values["embedding_id"] == self.model else None
        self.note([Change(self.seq, "add", group_id, face_id, user_id, searched)])
        return face_id

    def replace_face(self, group_id: int, user_id: int, face_id: int, face: NewFace) -> str:
        """Another template and picture under the same number. The key of the picture it had."""
        there = faces.c.id == face_id
        old = self.run(sa.select(faces.c.picture).where(there)).scalar_one()
        named = {"token": face.token, "picture": face.picture, "embedding_id": self.model}
        values = named | self._sealed(group_id, user_id, face)
        self.run(sa.update(faces).where(there).values(**values))
        # Galleries overwrite the vector they have under this number.
        self.note([Change(self.seq, "add", group_id, face_id, user_id, face.template)])
        return str(old)

    def free_token(self, group_id: int, token: str, face_id: int = 0) -> str:
        """The token, or another one when a different face of the group has it: the same picture once more."""
        owner = self.run(_SAME_FACE, {"group": group_id, "token": token}).scalar()
        return token if owner in (None, face_id) else secrets.token_hex(len(token) // 2)


class WriteTo(Protocol):
    """One transaction of an app."""

    def __call__(
        self, app: str, work: Callable[[Writing], T], create: bool = False, told: Told | None = None
    ) -> Awaitable[tuple[Write, T]]: ...


def _born() -> dict[str, float]:
    now = time.time()
    return {"created": now, "updated": now}
