"""What a stricter level would have done: every gate against the pictures of the faces that are enrolled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping

from face_server.admin.jobs import Progress, Result, Work
from face_server.errors import Busy, FaceError, NotLive, QualityRefused
from face_server.faces import gates
from face_server.faces.asks import Ask
from face_server.faces.service import FaceService
from face_server.model import Face, Gates, Level, Token, Want
from face_server.store.rows import FaceRow
from face_server.store.store import Store

COLUMNS = ("gate", "level", "refused", "judged", "not_judged")
PAGE = 200
PATIENCE = 0.5  # seconds before the next try, when the requests have taken all lanes
QUALITY, LIVENESS = "quality", "liveness"
LEVELS = (Level.LOW, Level.NORMAL, Level.HIGH)


class Replaying:
    def __init__(self, service: FaceService, store: Store) -> None:
        self._service, self._store = service, store
        self._want = service.info.capabilities & (Want.QUALITY | Want.LIVENESS)

    def all(self) -> dict[str, Work]:
        return {"gates": self.gates}

    async def gates(self, what: Mapping[str, str], progress: Progress) -> Result:
        """How many faces each level would have refused. A face of which no picture is kept is not judged."""
        asked = self._asked()
        refused: Counter[tuple[str, Level]] = Counter()
        judged = 0
        async for row in self._faces(what["app"], what["group"], progress):
            face = await self._look(what["app"], row) if row.picture else None
            progress.done += 1
            if face is not None:
                judged += 1
                refused.update(name for name, limits in asked.items() if _refuses(face, limits))
        left = progress.done - judged
        return Result(COLUMNS, [(*_words(name), refused[name], judged, left) for name in asked])

    def _asked(self) -> dict[tuple[str, Level], Gates]:
        found = {(QUALITY, level): Gates(quality=level) for level in LEVELS if Want.QUALITY in self._want}
        if Want.LIVENESS in self._want:
            found |= {(LIVENESS, level): Gates(liveness=level) for level in LEVELS}
        return found

    async def _faces(self, app: str, group: str, progress: Progress) -> AsyncIterator[FaceRow]:
        home = await self._service.library.group(app, group)
        progress.total = (await self._store.count_faces([home])).get(home.id, 0)
        rows = await self._store.faces_after(home, 0, PAGE)
        while rows:
            for row in rows:
                yield row
            rows = await self._store.faces_after(home, rows[-1].id, PAGE)

    async def _look(self, app: str, row: FaceRow) -> Face | None:
        while True:
            try:
                (face,) = await self._service.detect(app, Ask(Token(row.token), self._want))
                return face
            except Busy:
                await asyncio.sleep(PATIENCE)
            except FaceError:
                return None


def _words(name: tuple[str, Level]) -> tuple[str, str]:
    return name[0], name[1].value


def _refuses(face: Face, asked: Gates) -> bool:
    try:
        gates.check(face, asked)
    except (QualityRefused, NotLive):
        return True
    return False
