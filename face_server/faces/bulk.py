"""Registering by the thousand, for commands that bring a whole library. What is there already is left as it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from face_server.errors import FaceError, FaceExists, ModelMissing, OtherModel
from face_server.faces import gates
from face_server.faces.asks import Ask, Place
from face_server.faces.tools import Tools
from face_server.model import Gates, Want
from face_server.store.rows import Enrolled, NewFace

TOGETHER = 16  # writes that wait for each other, so that they share a commit
WAIT = 0.05  # seconds, at most


class Tide:
    """Lets those pass together who come within a moment."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self) -> None:
        loop = asyncio.get_running_loop()
        own = loop.create_future()
        self._waiting.append(own)
        if len(self._waiting) >= TOGETHER:
            self._pass()
        elif self._timer is None:
            self._timer = loop.call_later(WAIT, self._pass)
        await own

    def _pass(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for one in waiting:
            if not one.done():
                one.set_result(None)


@dataclass(frozen=True, slots=True)
class Brought:
    token: str
    again: bool  # the user had this face before


class Bulk:
    def __init__(self, tools: Tools) -> None:
        self._looking, self._keeping, self._limits = tools.looking, tools.keeping, tools.limits
        self._store, self._registry, self._blobs = tools.store, tools.registry, tools.blobs
        self.embedding_id, self._capabilities = tools.info.embedding_id, tools.info.capabilities
        self._faces_per_user = tools.settings.faces_per_user
        self._tide = Tide()

    async def check(self, app: str, asked: Gates) -> None:
        """What would refuse every single picture, told before the first one."""
        wanted = Want.EMBEDDING | gates.wanted(asked)
        for want, role in ((Want.EMBEDDING, "embed"), (Want.LIVENESS, "liveness")):
            if want in wanted and want not in self._capabilities:
                raise ModelMissing(role)
        for group in await self._store.list_groups(app, 0, 1):
            if group.embedding_id not in ("", self.embedding_id):
                raise OtherModel(f"the templates of app {app!r} are of model {group.embedding_id}")

    async def add(self, app: str, ask: Ask, place: Place, token: str = "") -> Brought:
        """`token`: what the face was called where it comes from."""
        want = ask.want | Want.EMBEDDING | gates.wanted(ask.gates)
        sight = await self._looking.look(app, replace(ask, portrait=self._keeping.portrait), want)
        face = replace(sight.faces[0], token=token) if token else sight.faces[0]
        gates.check(face, ask.gates, self._limits.of(app))
        try:
            async with self._keeping.kept(app, face, sight) as new:
                meta = dict(place.describe(face)) if place.describe is not None else {}
                done = await self._enroll(app, replace(new, meta=meta), place)
        except FaceExists as error:
            await self._must_be_of(app, place.user, error)
            return Brought(face.token, again=True)
        await self._enrolled(done)
        return Brought(face.token, again=False)

    async def restore(self, app: str, face: NewFace, picture: bytes | None, place: Place) -> Brought:
        """A face with the template and the picture that were kept of it elsewhere."""
        key = await self._blobs.save(picture, app) if picture is not None else ""
        try:
            done = await self._enroll(app, replace(face, picture=key), place)
        except FaceError as error:
            await self._blobs.remove_refused([key], error)
            if not isinstance(error, FaceExists):
                raise
            await self._must_be_of(app, place.user, error)
            return Brought(face.token, again=True)
        await self._enrolled(done)
        return Brought(face.token, again=False)

    async def _enroll(self, app: str, face: NewFace, place: Place) -> Enrolled:
        await self._tide()
        return await self._store.enroll(
            app,
            place.group,
            place.user,
            face,
            self.embedding_id,
            place.info,
            place.mode,
            self._faces_per_user,
            shared=place.shared,
        )

    async def _enrolled(self, done: Enrolled) -> None:
        await self._registry.applied(done.write)
        await self._blobs.remove(done.dropped_pictures)

    async def _must_be_of(self, app: str, user: str, error: FaceExists) -> None:
        row = await self._store.face_by_id(app, error.face_id)
        if row is None or row.user != user:
            raise error
