"""Try, compare and search: everything that can be seen in a picture. Nothing here changes anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import Query
from pydantic import Base64Bytes, BaseModel
from starlette.requests import Request

from face_server.admin import shapes
from face_server.admin.failures import Refusal
from face_server.admin.paging import Name
from face_server.errors import ModelMissing
from face_server.faces.asks import Ask, Found
from face_server.faces.asks import Query as Sought
from face_server.faces.gates import CONTRACT, Limits
from face_server.faces.keeping import embedding
from face_server.faces.scoring import Scorer
from face_server.faces.service import FaceService, together
from face_server.model import Analysis, Face, Feature, FloatArray, Match, Task, Want
from face_server.request import current
from face_server.settings import Settings

MOST_GROUPS = 100
HIDDEN = Want.EMBEDDING | Want.PARSING  # not shown, or only when asked for

Analyze = Callable[[bytes, Task], Awaitable[Analysis]]
MaxFaces = Annotated[int, Query(ge=1, le=1000)]


class Timed(BaseModel):
    log_id: int
    stages: dict[str, float]  # milliseconds
    milliseconds: float


class Seen(BaseModel):
    width: int
    height: int
    faces: list[shapes.Face]


class Look(Timed, Seen):
    pass


class Pictures(BaseModel):
    first: Base64Bytes
    second: Base64Bytes


class Compared(Timed):
    first: Seen
    second: Seen
    scores: list[list[float]]  # of each face of the first against each of the second
    cosines: list[list[float]]


class Candidate(BaseModel):
    group: str
    user: str
    info: str
    score: float
    face_id: int


class Candidates(BaseModel):
    face: shapes.Face
    candidates: list[Candidate]


class Searched(Timed):
    width: int
    height: int
    faces: list[Candidates]


class Looking:
    def __init__(self, service: FaceService, analyze: Analyze, settings: Settings) -> None:
        self._service, self._analyze = service, analyze
        shown = service.info.capabilities & ~HIDDEN
        self._want = shown if settings.race else shown & ~Want.RACE
        self._scorer = Scorer(service.info.calibration) if service.info.calibration else None

    async def look(
        self, request: Request, max_faces: MaxFaces = 100, parsing: bool = False, any_turn: bool = False
    ) -> Look:
        """Every face of a picture with every attribute, and which gate would refuse it."""
        clock = _Clock()
        want = self._want | (Want.PARSING & self._service.info.capabilities) if parsing else self._want
        seen = await self._analyze(_picture(await request.body()), Task(want, max_faces, any_turn=any_turn))
        return Look(**dict(await _shown(seen)), **clock.read())

    async def compare(self, pictures: Pictures, max_faces: MaxFaces = 20) -> Compared:
        """Every face of one picture against every face of another."""
        clock = _Clock()
        scorer, task = self._must_score(), Task(self._want | Want.EMBEDDING, max_faces)
        both = [_picture(data) for data in (pictures.first, pictures.second)]
        first, second = await asyncio.gather(*(self._analyze(picture, task) for picture in both))
        for name, seen in (("first", first), ("second", second)):
            if not seen.faces:
                raise Refusal(422, "no_face", f"The {name} picture shows no face.", name)
        cosines = _vectors(first) @ _vectors(second).T
        return Compared(
            first=await _shown(first),
            second=await _shown(second),
            scores=[scorer.scores(row) for row in cosines.tolist()],
            cosines=np.round(cosines.astype(np.float64), 6).tolist(),
            **clock.read(),
        )

    async def search(
        self,
        request: Request,
        app: Name,
        group: Annotated[list[str] | None, Query(max_length=MOST_GROUPS)] = None,
        max_faces: MaxFaces = 20,
        candidates: Annotated[int, Query(ge=1, le=100)] = 20,
        threshold: Annotated[float, Query(ge=0, le=100)] = 0,
    ) -> Searched:
        """Whom every face of a picture looks like. Without a group: in all of the app."""
        clock = _Clock()
        self._must_score()
        groups = group or await self._service.library.groups(app, 0, MOST_GROUPS)
        for name in groups:
            await self._service.library.group(app, name)
        task = Task(self._want | Want.EMBEDDING, max_faces)
        seen = await self._analyze(_picture(await request.body()), task)
        sought = Sought(groups, threshold=threshold, most=candidates)
        found = await together([self._find(app, face, sought) for face in seen.faces]) if groups else []
        shown = await _shown(seen, self._service.limits.of(app))
        listed: Sequence[Found | None] = found or [None] * len(shown.faces)
        faces = [
            Candidates(face=face, candidates=[_candidate(match) for match in (one.matches if one else ())])
            for face, one in zip(shown.faces, listed, strict=True)
        ]
        return Searched(width=seen.width, height=seen.height, faces=faces, **clock.read())

    async def _find(self, app: str, face: Face, sought: Sought) -> Found:
        return await self._service.search(app, Ask(Feature(embedding(face)), remembered=False), sought)

    def _must_score(self) -> Scorer:
        if self._scorer is None:
            raise ModelMissing("embed")
        return self._scorer


class _Clock:
    """Stages and time of the request."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def read(self) -> dict[str, Any]:
        context = current.get()
        stages = {name: round(spent, 2) for name, spent in context.stages.items()} if context else {}
        spent = round((time.perf_counter() - self._begun) * 1000, 2)
        return {"log_id": context.log_id if context else 0, "stages": stages, "milliseconds": spent}


def _picture(data: bytes) -> bytes:
    if not data:
        raise Refusal(400, "bad_parameter", "The body is empty, a picture is expected.")
    return data


async def _shown(seen: Analysis, limits: Limits = CONTRACT) -> Seen:
    faces = await asyncio.to_thread(lambda: [shapes.face(one, limits) for one in seen.faces])
    return Seen(width=seen.width, height=seen.height, faces=faces)


def _vectors(seen: Analysis) -> FloatArray:
    return np.stack([embedding(face) for face in seen.faces])


def _candidate(match: Match) -> Candidate:
    return Candidate(group=match.group, user=match.user, info=match.info, score=match.score, face_id=match.face_id)
