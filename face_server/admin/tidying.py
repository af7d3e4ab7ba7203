"""Looking through a group for faces that need a second look: the same person twice, and faces with the wrong person.

Every face is compared with every other, in blocks: ten thousand faces take a second, a hundred thousand some minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from face_server.admin.jobs import Progress, Result, Work
from face_server.errors import ModelMissing
from face_server.faces.scoring import Scorer
from face_server.faces.service import FaceService
from face_server.store.store import Store
from face_server.store.work import Cells

CELLS = 1 << 24  # cosines at once: 64 MB
NAMES = 500  # users in one question
MOST_ROWS = 10_000  # of a result
DUPLICATES = ("user", "face_id", "other_user", "other_face_id", "score")
DOUBTFUL = ("user", "face_id", "own_score", "other_user", "other_face_id", "other_score")

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
T = TypeVar("T", bound=tuple[float, ...])


@dataclass(frozen=True, slots=True)
class Group:
    """All faces of a group as of one instant."""

    vectors: Floats
    faces: Ids
    users: Ids


class Tidying:
    def __init__(self, service: FaceService, store: Store) -> None:
        self._service, self._store = service, store

    def all(self) -> dict[str, Work]:
        return {"duplicates": self.duplicates, "doubtful": self.doubtful}

    async def duplicates(self, what: Mapping[str, str], progress: Progress) -> Result:
        """Pairs of faces of different users at least so alike, the most alike first."""
        scorer, group = self._scorer(), await self._group(what)
        least = scorer.cosine(float(what["score"]))

        def look(first: int, cosines: Floats) -> list[tuple[float, int, int]]:
            alike = cosines >= least
            alike &= np.arange(len(group.faces))[None] > np.arange(first, first + len(cosines))[:, None]
            alike &= group.users[None] != group.users[first : first + len(cosines), None]
            rows, others = np.nonzero(alike)
            values = cosines[rows, others]
            best = np.argsort(-values)[:MOST_ROWS]
            return list(zip(values[best].tolist(), (rows[best] + first).tolist(), others[best].tolist(), strict=True))

        found = await self._blocks(group, look, progress)
        names = await self._names(group, [row for _, *pair in found for row in pair])
        cells = [
            (names[one], int(group.faces[one]), names[other], int(group.faces[other]), _score(scorer, cosine))
            for cosine, one, other in found
        ]
        return Result(DUPLICATES, cells)

    async def doubtful(self, what: Mapping[str, str], progress: Progress) -> Result:
        """Faces nearer to another user's face than to any other one of their own user, the clearest first. A user's
        only face has nothing to be compared with and is left out."""
        scorer, group = self._scorer(), await self._group(what)

        def look(first: int, cosines: Floats) -> list[tuple[float, int, float, float, int]]:
            here = np.arange(len(cosines))
            cosines[here, here + first] = -np.inf
            own = group.users[None] == group.users[first : first + len(cosines), None]
            mine = np.where(own, cosines, -np.inf).max(axis=1)
            theirs = np.where(own, -np.inf, cosines)
            nearest = theirs.argmax(axis=1)
            other = theirs[here, nearest]
            wrong = np.flatnonzero((other > mine) & np.isfinite(mine))
            columns = (other[wrong] - mine[wrong], wrong + first, mine[wrong], other[wrong], nearest[wrong])
            return list(zip(*(column.tolist() for column in columns), strict=True))

        found = await self._blocks(group, look, progress)
        names = await self._names(group, [row for _, one, _, _, other in found for row in (one, other)])
        faces = group.faces.tolist()
        cells: list[Cells] = [
            (names[one], faces[one], _score(scorer, mine), names[other], faces[other], _score(scorer, theirs))
            for _, one, mine, theirs, other in found
        ]
        return Result(DOUBTFUL, cells)

    async def _blocks(self, group: Group, look: Callable[[int, Floats], list[T]], progress: Progress) -> list[T]:
        """What is found in all blocks, the clearest first. Each runs by itself in a thread, so that requests and a
        cancellation get their turn between two."""
        count = progress.total = len(group.faces)
        step = max(1, CELLS // max(1, count))
        found: list[T] = []
        for first in range(0, count, step):
            more = await asyncio.to_thread(_compared, group, first, step, look)
            found = sorted([*found, *more], reverse=True)[:MOST_ROWS]
            progress.done = min(first + step, count)
        return found

    async def _group(self, what: Mapping[str, str]) -> Group:
        home = await self._service.library.group(what["app"], what["group"])
        return await self._store.index_rows.gallery(home, read, self._service.info.embedding_id)

    async def _names(self, group: Group, rows: Iterable[int]) -> dict[int, str]:
        wanted = sorted(set(rows))
        ids = sorted({int(group.users[row]) for row in wanted})
        people: dict[int, str] = {}
        for start in range(0, len(ids), NAMES):
            found = await self._store.users_by_id(ids[start : start + NAMES])
            people |= {user_id: user.name for user_id, user in found.items()}
        return {row: people.get(int(group.users[row]), "") for row in wanted}

    def _scorer(self) -> Scorer:
        if not self._service.info.calibration:
            raise ModelMissing("embed")
        return Scorer(self._service.info.calibration)


def _compared(group: Group, first: int, rows: int, look: Callable[[int, Floats], list[T]]) -> list[T]:
    return look(first, group.vectors[first : first + rows] @ group.vectors.T)


def read(_: int, count: int, parts: Iterable[tuple[Sequence[Any], ...]]) -> Group:
    faces, users, templates = [], [], []
    for face_ids, user_ids, vectors in parts:
        faces.append(np.array(face_ids, np.int64))
        users.append(np.array(user_ids, np.int64))
        half = np.frombuffer(b"".join(vectors), np.float16).reshape(len(face_ids), -1)
        templates.append(half.astype(np.float32))
    if not faces:
        return Group(np.empty((0, 0), np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
    return Group(np.concatenate(templates), np.concatenate(faces), np.concatenate(users))


def _score(scorer: Scorer, cosine: float) -> float:
    return round(scorer.score(cosine), 2)
