"""After a change of the pack: faces whose template another model made get one of the installed model, out of the
picture that is kept of them.

A face is searched with its new template or not at all; the database knows which is which, so the work can be cut off
anywhere and goes on where it was. Faces that cannot be done keep what they have: with the earlier pack they are
searched again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

import numpy as np

from face_server.errors import Busy, FaceError, ModelMissing, NoFace, PictureError, Stage
from face_server.index.registry import Registry
from face_server.model import Box, Face, Spot, Task, Want
from face_server.request import background
from face_server.store import spots
from face_server.store.blobs import Blobs
from face_server.store.renewing import Renewed
from face_server.store.rows import FaceRow, GroupRef
from face_server.store.store import Store
from face_server.vision.protocol import Vision

PAGE = 64  # faces of one commit
MOST_FACES = 100  # looked at in a picture, to find the one that was registered
SAME_PLACE = 0.3  # share that two boxes have in common, of what they cover together: detectors frame a face differently
PATIENCE = 0.5  # seconds before the next try, when the server has no room
# Who is busy with everybody's work. Other stages fail of the picture itself, or recover within these tries.
CROWDED = {Stage.QUEUE, Stage.DEADLINE, Stage.RATE, Stage.LOADING, Stage.SHUTDOWN, Stage.LICENCE}
TRIES = 4

log = logging.getLogger(__name__)


class Reason(Enum):
    """Why a face keeps the template it has."""

    NOT_STORED = "not_stored"  # no picture of it was kept
    PICTURE_GONE = "picture_gone"  # it was kept, and cannot be read now
    NO_FACE = "no_face"  # the installed detector finds no face at its place
    FAILED = "failed"  # something that nobody expected, each time it was tried: the log has it


@dataclass(frozen=True, slots=True)
class Left:
    app: str
    group: str
    user: str
    face_id: int
    token: str
    reason: Reason


class Told(Protocol):
    """Hears how far the work is."""

    done: int
    total: int | None


class Reindexing:
    def __init__(self, vision: Vision, store: Store, registry: Registry, blobs: Blobs, together: int) -> None:
        """`together`: pictures that are looked at at once, so that the lanes are never without work."""
        self._vision, self._store, self._registry, self._blobs = vision, store, registry, blobs
        self._room = asyncio.Semaphore(together)

    @property
    def _model(self) -> str:
        return self._vision.info.embedding_id

    async def run(self, apps: Sequence[str], group: str | None, told: Told, left: Callable[[Left], None]) -> int:
        """How many faces got a new template; `left` hears of each that did not. From here on these apps are of the
        installed model."""
        if Want.EMBEDDING not in self._vision.info.capabilities:
            raise ModelMissing("embed")
        homes = [(app, home) for app in apps for home in await self._groups(app, group)]
        told.total = sum((await self._store.count_faces([home for _, home in homes], self._model)).values())
        renewed = 0
        with _in_background():
            for app in dict.fromkeys(app for app, _ in homes):
                await self._change_model(app)
            for app, home in homes:
                async for page in self._pages(home):
                    renewed += await self._page(app, page, left)
                    told.done += len(page)
        return renewed

    async def remaining(self, app: str, group: str | None = None) -> int:
        """Faces that have a template of another model, and are not searched."""
        counts = await self._store.count_faces(await self._groups(app, group), self._model)
        return sum(counts.values())

    async def _groups(self, app: str, group: str | None) -> list[GroupRef]:
        return await (self._store.list_groups(app) if group is None else self._store.groups(app, [group]))

    async def _change_model(self, app: str) -> None:
        """Unless it has no face yet, or is of this model already."""
        groups = await self._store.list_groups(app, 0, 1)
        if groups and groups[0].embedding_id not in ("", self._model):
            await self._registry.applied(await self._store.renewing.change_model(app, self._model))

    async def _pages(self, home: GroupRef) -> AsyncIterator[list[FaceRow]]:
        page = await self._store.faces_after(home, 0, PAGE, self._model)
        while page:
            yield page
            page = await self._store.faces_after(home, page[-1].id, PAGE, self._model)

    async def _page(self, app: str, page: Sequence[FaceRow], left: Callable[[Left], None]) -> int:
        found = await asyncio.gather(*map(self._look, page))
        for row, one in zip(page, found, strict=True):
            if isinstance(one, Reason):
                left(Left(app, row.group, row.user, row.id, row.token, one))
        renewed = [one for one in found if isinstance(one, Renewed)]
        return await self._write(app, renewed) if renewed else 0

    async def _write(self, app: str, renewed: Sequence[Renewed]) -> int:
        while True:
            try:
                write, count = await self._store.renewing.renew(app, self._model, renewed)
            except Busy:
                await asyncio.sleep(PATIENCE)
            else:
                await self._registry.applied(write)
                return count

    async def _look(self, row: FaceRow) -> Renewed | Reason:
        if not row.picture:
            return Reason.NOT_STORED
        async with self._room:
            picture = await self._blobs.load(row.picture)
            if picture is None:
                return Reason.PICTURE_GONE
            return await self._tried(row, picture)

    async def _tried(self, row: FaceRow, picture: bytes) -> Renewed | Reason:
        """One face that cannot be done does not end the work for the others; what fails for all of them does."""
        try:
            return await self._found(row, picture)
        except NoFace:
            return Reason.NO_FACE
        except PictureError:
            return Reason.PICTURE_GONE
        except Busy as busy:
            log.error("face %d was given up: %s", row.id, busy)
            return Reason.FAILED
        except FaceError:
            raise
        except Exception:
            log.exception("face %d cannot get a new template", row.id)
            return Reason.FAILED

    async def _found(self, row: FaceRow, picture: bytes) -> Renewed | Reason:
        """Found anew, as if the picture came today: the template is that of a face that is added now."""
        record = spots.unpack(row.spot)
        place = record.spot_in_stored.box
        # A stored picture shows its face alone or largest, all but always.
        for task in (Task(Want.EMBEDDING), Task(Want.EMBEDDING, MOST_FACES, any_turn=True)):
            face = _at(place, await self._analyze(picture, task))
            if face is not None and face.embedding is not None:
                left, top = record.origin
                box = replace(face.box, left=face.box.left + left, top=face.box.top + top)
                points = face.points + np.array(record.origin, np.float32)
                fresh = replace(record, spot=Spot(box, points, face.probability, record.spot.token))
                return Renewed(row, face.embedding.astype(np.float16).tobytes(), spots.pack(fresh))
        return Reason.NO_FACE

    async def _analyze(self, picture: bytes, task: Task) -> Sequence[Face]:
        tries = 0
        while True:
            try:
                return (await self._vision.analyze(picture, task)).faces
            except Busy as busy:
                tries += busy.stage not in CROWDED
                if tries == TRIES:
                    raise
                await asyncio.sleep(PATIENCE * 2 ** max(0, tries - 1))


@contextmanager
def _in_background() -> Iterator[None]:
    token = background.set(True)
    try:
        yield
    finally:
        background.reset(token)


def _at(place: Box, faces: Sequence[Face]) -> Face | None:
    best = max(faces, key=lambda face: _in_common(face.box, place), default=None)
    return best if best is not None and _in_common(best.box, place) >= SAME_PLACE else None


def _in_common(one: Box, other: Box) -> float:
    across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(0.0, across) * max(0.0, down)
    return shared / max(one.area + other.area - shared, 1e-9)
