"""What other limits would have done: every gate against the pictures of the faces that are enrolled."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

from face_server.admin.jobs import Progress, Result, Work
from face_server.admin.rescoring import rescored
from face_server.errors import Busy, FaceError, NotLive, QualityRefused
from face_server.faces import gates
from face_server.faces.asks import Ask
from face_server.faces.limits import LEVELS, limits_of
from face_server.faces.service import FaceService
from face_server.model import Face, Gates, Level, Token, Want
from face_server.store.rows import FaceRow, GroupRef
from face_server.store.store import Store
from face_server.store.work import Cells

COLUMNS, THEN = ("gate", "level", "refused", "judged", "not_judged"), "refused_then"
PAGE = 200
PATIENCE = 0.5  # seconds before the next try, when the requests have taken all lanes
QUALITY, LIVENESS = "quality", "liveness"

Name = tuple[str, Level]  # of a gate and its level


class Replaying:
    def __init__(self, service: FaceService, store: Store) -> None:
        self._service, self._store = service, store
        self._want = service.info.capabilities & (Want.QUALITY | Want.LIVENESS)

    def all(self) -> dict[str, Work]:
        return {"gates": self.gates}

    async def gates(self, what: Mapping[str, str], progress: Progress) -> Result:
        """How many faces each level would have refused, with the app's limits and with others that are proposed; a face
        of which no picture is kept is not judged. And what the scores that were set would have done."""
        asked, limits, groups = self._asked(), [self._service.limits.of(what["app"])], await self._groups(what)
        if "own" in what:
            limits.append(limits_of(json.loads(what["own"])))
        refused: Counter[tuple[Name, int]] = Counter()
        judged = 0
        async for row in self._faces(groups, progress):
            face = await self._look(what["app"], row) if row.picture else None
            progress.done += 1
            if face is not None:
                judged += 1
                refused.update(
                    (name, which)
                    for name, level in asked.items()
                    for which, found in enumerate(limits)
                    if _refuses(face, level, found)
                )
        left = progress.done - judged
        then = range(1, len(limits))
        rows: list[Cells] = [
            [*_words(name), refused[name, 0], judged, left, *(refused[name, which] for which in then)] for name in asked
        ]
        rows += await rescored(self._service, self._store, groups, limits)
        return Result((*COLUMNS, *(THEN for _ in then)), rows)

    def _asked(self) -> dict[Name, Gates]:
        found = {(QUALITY, level): Gates(quality=level) for level in LEVELS if Want.QUALITY in self._want}
        if Want.LIVENESS in self._want:
            found |= {(LIVENESS, level): Gates(liveness=level) for level in LEVELS}
        return found

    async def _groups(self, what: Mapping[str, str]) -> list[GroupRef]:
        """One of them, or all of the app."""
        if "group" in what:
            return [await self._service.library.group(what["app"], what["group"])]
        return await self._store.list_groups(what["app"])

    async def _faces(self, groups: Sequence[GroupRef], progress: Progress) -> AsyncIterator[FaceRow]:
        progress.total = sum((await self._store.count_faces(groups)).values())
        for group in groups:
            rows = await self._store.faces_after(group, 0, PAGE)
            while rows:
                for row in rows:
                    yield row
                rows = await self._store.faces_after(group, rows[-1].id, PAGE)

    async def _look(self, app: str, row: FaceRow) -> Face | None:
        while True:
            try:
                (face,) = await self._service.detect(app, Ask(Token(row.token), self._want))
                return face
            except Busy:
                await asyncio.sleep(PATIENCE)
            except FaceError:
                return None


def _words(name: Name) -> tuple[str, str]:
    return name[0], name[1].value


def _refuses(face: Face, asked: Gates, limits: gates.Limits) -> bool:
    try:
        gates.check(face, asked, limits)
    except (QualityRefused, NotLive):
        return True
    return False
