"""Groups, users and faces: looking through them, adding, changing. Deleting is a job, so that it can be taken back."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from face_server.admin.failures import Refusal, missing
from face_server.admin.gate import who_asks
from face_server.admin.jobs import Job, Jobs
from face_server.admin.paging import LIMIT, Cursor, Id, Limit, Name, Page, number_after, page, text_after
from face_server.errors import FaceMissing, PictureGone
from face_server.faces.asks import Ask, Mode, Place
from face_server.faces.rules import format_of
from face_server.faces.service import FaceService
from face_server.model import Gates, Level, Picture
from face_server.store.blobs import Blobs
from face_server.store.pages import GroupPage, Pages, UserPage
from face_server.store.rows import FaceRow
from face_server.store.store import Store

Text = Annotated[str, Field(min_length=1, max_length=128)]
Info = Annotated[str, Field(max_length=4096)]
LevelName = Literal["NONE", "LOW", "NORMAL", "HIGH"]
_KINDS = {"jpg": "image/jpeg", "png": "image/png", "bmp": "image/bmp", "gif": "image/gif", "webp": "image/webp"}


class App(BaseModel):
    app: str
    groups: int


class Group(BaseModel):
    group: str
    users: int
    faces: int
    created: float
    updated: float
    deletion: str | None  # the job that will delete it


class User(BaseModel):
    user: str
    info: str
    faces: int
    face_id: int | None  # the first one
    created: float
    updated: float
    deletion: str | None


class UserInGroups(User):
    groups: list[str]  # all that have a user of this name


class Face(BaseModel):
    face_id: int
    token: str
    user: str
    group: str
    picture: bool
    other_model: bool  # its template is of another pack: it is not searched
    created: float
    deletion: str | None


class NewGroup(BaseModel):
    app: Text
    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,48}$")]


class ChangedUser(BaseModel):
    app: Text
    group: Text
    user: Text
    info: Info


class Copy(BaseModel):
    app: Text
    user: Text
    source: Text
    target: Text


class Library:
    def __init__(self, service: FaceService, store: Store, blobs: Blobs, jobs: Jobs) -> None:
        self._service, self._store, self._blobs, self._jobs = service, store, blobs, jobs
        self._pages: Pages = store.pages

    # Looking

    async def apps(self, cursor: Cursor = None, limit: Limit = LIMIT) -> Page[App]:
        """All apps in order of their names."""
        found, after = page(await self._pages.apps(text_after(cursor), limit + 1), limit, lambda one: one[0])
        return Page(items=[App(app=name, groups=groups) for name, groups in found], next=after)

    async def groups(self, app: Name, prefix: str = "", cursor: Cursor = None, limit: Limit = LIMIT) -> Page[Group]:
        """Groups in order of their names."""
        await self._must_know(app)
        rows = await self._pages.groups(app, prefix, text_after(cursor), limit + 1)
        found, after = page(rows, limit, lambda one: one.name)
        return Page(items=[self._group(app, one) for one in found], next=after)

    async def users(
        self, app: Name, group: Name, prefix: str = "", cursor: Cursor = None, limit: Limit = LIMIT
    ) -> Page[User]:
        """In order of registration; with a prefix, those whose name begins so in order of the names."""
        home = await self._service.library.group(app, group)
        if prefix:
            rows = await self._pages.users_named(home, prefix, text_after(cursor), limit + 1)
            found, after = page(rows, limit, lambda one: one.name)
        else:
            rows = await self._pages.users(home, number_after(cursor) or 0, limit + 1)
            found, after = page(rows, limit, lambda one: one.id)
        return Page(items=[self._user(app, group, one) for one in found], next=after)

    async def user(self, app: Name, group: Name, user: Name) -> UserInGroups:
        """One user, and in which groups of the app there is one of this name."""
        found = await self._one(app, group, user)
        groups = [row.group for row in await self._service.library.user(app, None, user)]
        return UserInGroups(**dict(found), groups=groups)

    async def faces(self, app: Name, group: Name, user: Name) -> Page[Face]:
        """All faces of a user."""
        rows = await self._service.library.faces(app, group, user)
        return Page(items=[self._face(app, row) for row in rows], next=None)

    async def picture(self, app: Name, face_id: Id, quiet: bool = False) -> Response:
        """What is kept of the picture of a face. `quiet`: nothing, and no failure, when none is kept."""
        row = await self._row(app, face_id)
        data = await self._blobs.load(row.picture) if row.picture else None
        if data is None:
            if quiet:
                return Response(status_code=204)
            raise PictureGone
        kind = _KINDS.get(format_of(data), "application/octet-stream")
        headers = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
        return Response(data, headers=headers, media_type=kind)

    # Changing

    async def add_group(self, new: NewGroup) -> Group:
        await self._service.library.add_group(new.app, new.group)
        (found,) = [one for one in await self._pages.groups(new.app, new.group, "", 1) if one.name == new.group]
        return self._group(new.app, found)

    async def set_info(self, changed: ChangedUser) -> User:
        """Another text about a user."""
        self._refuse_deleting(changed.app, changed.group, changed.user)
        home = await self._service.library.group(changed.app, changed.group)
        await self._pages.set_info(home, changed.user, changed.info)
        return await self._one(changed.app, changed.group, changed.user)

    async def copy(self, copy: Copy) -> User:
        """A user with its faces into another group."""
        self._refuse_deleting(copy.app, copy.target, copy.user)
        await self._service.library.copy_user(copy.app, copy.user, copy.source, copy.target)
        return await self._one(copy.app, copy.target, copy.user)

    async def add_face(
        self,
        request: Request,
        app: Name,
        group: Name,
        user: Name,
        info: Annotated[str | None, Query(max_length=4096)] = None,
        mode: Literal["append", "replace"] = "append",
        quality: LevelName = "NONE",
        liveness: LevelName = "NONE",
    ) -> Face:
        """The largest face of a picture. Group and user are made on the way; `replace` drops the user's other faces."""
        data = await request.body()
        if not data:
            raise Refusal(400, "bad_parameter", "The body is empty, a picture is expected.")
        self._refuse_deleting(app, group, user)
        ask = Ask(Picture(data), gates=Gates(Level(quality), Level(liveness)), remembered=False)
        seen = await self._service.enroll(app, ask, Place(group, user, info, Mode(mode)))
        rows = await self._service.library.faces(app, group, user)
        return self._face(app, next(row for row in rows if row.token == seen.token))

    # Deleting

    async def delete_group(self, request: Request, app: Name, group: Name) -> Job:
        await self._service.library.group(app, group)
        return await self._jobs.delete("delete_group", {"app": app, "group": group}, who_asks(request))

    async def delete_user(self, request: Request, app: Name, group: Name, user: Name) -> Job:
        await self._one(app, group, user)
        what = {"app": app, "group": group, "user": user}
        return await self._jobs.delete("delete_user", what, who_asks(request))

    async def delete_face(self, request: Request, app: Name, face_id: Id) -> Job:
        row = await self._row(app, face_id)
        what = {"app": app, "group": row.group, "user": row.user, "face_id": str(face_id)}
        return await self._jobs.delete("delete_face", what, who_asks(request))

    # Steps

    def _refuse_deleting(self, app: str, group: str, user: str) -> None:
        self._jobs.refuse_deleting(app, group)
        self._jobs.refuse_deleting(app, group, user)

    async def _must_know(self, app: str) -> None:
        if not await self._service.library.knows(app):
            raise missing("app")

    async def _row(self, app: str, face_id: int) -> FaceRow:
        row = await self._store.face_by_id(app, face_id)
        if row is None:
            raise FaceMissing(str(face_id))
        return row

    async def _one(self, app: str, group: str, user: str) -> User:
        home = await self._service.library.group(app, group)
        return self._user(app, group, await self._pages.user(home, user))

    def _group(self, app: str, row: GroupPage) -> Group:
        deletion = self._jobs.deleting(app, row.name)
        return Group(
            group=row.name,
            users=row.users,
            faces=row.faces,
            created=row.created,
            updated=row.updated,
            deletion=deletion,
        )

    def _user(self, app: str, group: str, row: UserPage) -> User:
        return User(
            user=row.name,
            info=row.info,
            faces=row.faces,
            face_id=row.face_id,
            created=row.created,
            updated=row.updated,
            deletion=self._jobs.deleting(app, group, row.name),
        )

    def _face(self, app: str, row: FaceRow) -> Face:
        return Face(
            face_id=row.id,
            token=row.token,
            user=row.user,
            group=row.group,
            picture=bool(row.picture),
            other_model=row.embedding_id != self._service.info.embedding_id,
            created=row.created,
            deletion=self._jobs.deleting(app, row.group, row.user, str(row.id)),
        )
