"""FaceService: what a face server does, without HTTP and without any vendor's code.

The order of checks is the same everywhere: what needs no picture (groups, users), then the picture, then the face in
it, then its quality and liveness, then the library. Only what the question needs is computed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, TypeVar

import numpy as np

from face_server.engine.lanes import Lanes
from face_server.errors import FaceError, GroupMissing, ModelMissing, NoFace
from face_server.faces import gates
from face_server.faces.access import Access
from face_server.faces.album import Album
from face_server.faces.asks import Ask, Comparison, Found, Mode, Place, Query, VideoVerdict
from face_server.faces.bulk import Bulk
from face_server.faces.distinct import Distinct
from face_server.faces.keeping import Keeping, embedding
from face_server.faces.library import Library
from face_server.faces.limits import AppLimits
from face_server.faces.looking import Looking, Sight
from face_server.faces.people import People
from face_server.faces.reindexing import Reindexing
from face_server.faces.scoring import Scorer
from face_server.faces.tools import Tools
from face_server.index.gallery import Hit
from face_server.index.registry import Registry, Scan
from face_server.model import Analysis, Face, Gates, Match, Task, Want
from face_server.settings import Settings
from face_server.store.blobs import Blobs
from face_server.store.store import Store
from face_server.store.tokens import Tokens
from face_server.vision import portrait
from face_server.vision.protocol import Vision, VisionInfo

T = TypeVar("T")
PICTURES_OF_A_VIDEO = 4
PORTRAIT_OF_A_VIDEO = 2.0  # times the box


@dataclass(slots=True)
class _Search:
    """A search that begins where the picture is analysed: most pictures show the one face that is sought."""

    scan: Scan
    face: Face | None = None
    hits: list[list[Hit]] = field(default_factory=list)

    def ahead(self, seen: Analysis) -> None:
        if len(seen.faces) == 1 and seen.faces[0].embedding is not None:
            self.face, self.hits = seen.faces[0], self.scan(seen.faces[0].embedding[np.newaxis])


class FaceService:
    def __init__(
        self,
        vision: Vision,
        registry: Registry,
        store: Store,
        tokens: Tokens,
        blobs: Blobs,
        lanes: Lanes,
        settings: Settings,
        access: Access,
        limits: AppLimits,
    ) -> None:
        self.access, self.limits = access, limits
        self._vision, self._registry, self._store, self._blobs, self._lanes = vision, registry, store, blobs, lanes
        self._looking = Looking(vision, store, tokens, blobs, settings)
        self._keeping = Keeping(self._looking, blobs, lanes, settings)
        self._settings = settings
        self._scorer = Scorer(vision.info.calibration) if vision.info.calibration else None
        tools = Tools(self._looking, self._keeping, store, registry, blobs, limits, vision.info, settings)
        self._refuse_other_model = tools.refuse_other_model
        self.library, self.people = Library(tools), People(tools)
        self.distinct, self.bulk = Distinct(tools), Bulk(tools)
        self.album = Album(tools, lanes, self._scorer)
        self.reindexing = Reindexing(vision, store, registry, blobs, together=2 * lanes.count)

    @property
    def info(self) -> VisionInfo:
        """What the installed models can do, and how templates are made."""
        return self._vision.info

    # Faces of a picture

    async def detect(self, app: str, ask: Ask) -> tuple[Face, ...]:
        """The faces that pass the gates; when none does, the first one's failure."""
        sight = await self._looking.look(app, ask, ask.want | self._wanted(ask.gates))
        passed, failures = _sorted_out(sight.faces, ask.gates, self.limits.of(app))
        if not passed:
            raise failures[0]
        self._looking.remember(app, sight, passed)
        return passed

    async def cut_out(self, app: str, ask: Ask, beyond: float) -> list[tuple[Face, bytes]]:
        """The faces with a JPEG of each: its box and that share of its sides more to every side."""
        sight = await self._looking.look(app, ask, ask.want)
        picture, boxes = sight.picture, [face.box for face in sight.faces]
        if picture is None:
            raise TypeError("faces are cut out of pictures only")
        limit = self._settings.max_picture_pixels
        jpegs = await self._paid(lambda: portrait.cut_all(picture, boxes, beyond, limit))
        self._looking.remember(app, sight, sight.faces)
        return list(zip(sight.faces, jpegs, strict=True))

    async def clean(self, ask: Ask) -> bytes:
        """The picture as a JPEG of the same size, without the mesh of a watermarked identity photo."""
        cleaned = await self._vision.clean(await self._looking.picture(ask))
        ask.rules.check_size(cleaned.width, cleaned.height)
        return cleaned.jpeg

    async def liveness(self, app: str, asks: Sequence[Ask]) -> list[Face]:
        """The largest face of each picture, with its liveness."""
        self._must_have(Want.LIVENESS, "liveness")
        return await together([self._one(app, ask, Want.LIVENESS) for ask in asks])

    async def compare(self, app: str, first: Ask, second: Ask) -> Comparison:
        one, other = await together([self._checked(app, ask, Want.EMBEDDING) for ask in (first, second)])
        cosines = np.stack([embedding(face) for face in other]) @ embedding(one[0])
        return Comparison(one[0], other, tuple(self._scores(cosines.tolist())))

    # Searching

    async def search(self, app: str, ask: Ask, query: Query) -> Found:
        search = await self._begin(app, query)
        face = await self._one(app, replace(ask, then=search.ahead), Want.EMBEDDING)
        return (await self._find(search, (face,), query))[0]

    async def search_many(self, app: str, ask: Ask, query: Query) -> list[Found]:
        """Every face of the picture. Those that fail a gate are left out."""
        search = await self._begin(app, query)
        sight = await self._looking.look(app, ask, ask.want | Want.EMBEDDING | self._wanted(ask.gates))
        passed, _ = _sorted_out(sight.faces, ask.gates, self.limits.of(app))
        if not passed:
            return []
        self._looking.remember(app, sight, passed)
        return await self._find(search, passed, query)

    async def _begin(self, app: str, query: Query) -> _Search:
        groups = await self._store.groups(app, query.groups)
        self._refuse_other_model(groups)
        users = None if query.user is None else await self._store.user_ids(groups, query.user)
        return _Search(await self._registry.scan(groups, query.most, users))

    async def _find(self, search: _Search, faces: Sequence[Face], query: Query) -> list[Found]:
        hits = await self._hits(search, faces)
        good = [self._good(found, query.threshold) for found in hits]
        ids = sorted({hit.user_id for found in good for hit, _ in found})
        people = await self._store.users_by_id(ids) if ids else {}
        found = []
        for face, candidates in zip(faces, good, strict=True):
            matches = [
                Match(person.group, person.name, person.info, score, hit.face_id, "")
                for hit, score in candidates
                if (person := people.get(hit.user_id)) is not None
            ]
            matches.sort(key=lambda match: (-match.score, match.group, match.user))
            found.append(Found(face, tuple(matches[: query.most])))
        return found

    async def _hits(self, search: _Search, faces: Sequence[Face]) -> list[list[Hit]]:
        if len(faces) == 1 and faces[0] is search.face:
            return search.hits
        vectors = np.stack([embedding(face) for face in faces])
        return await self._paid(lambda: search.scan(vectors))

    def _good(self, hits: Sequence[Hit], threshold: float) -> list[tuple[Hit, float]]:
        scores = self._scores([hit.cosine for hit in hits])
        return [(hit, score) for hit, score in zip(hits, scores, strict=True) if score >= threshold]

    # Registering

    async def enroll(self, app: str, ask: Ask, place: Place) -> Face:
        await self._check_place(app, place)
        want = ask.want | Want.EMBEDDING | self._wanted(ask.gates)
        sight = await self._looking.look(app, replace(ask, portrait=self._keeping.portrait), want)
        face = sight.faces[0]
        gates.check(face, ask.gates, self.limits.of(app))
        await self._register(app, face, sight, place)
        self._looking.remember_registered(app, sight, face)
        return face

    async def _check_place(self, app: str, place: Place) -> None:
        """What can be refused before anything is computed."""
        try:
            groups = await self._store.groups(app, [place.group])
        except GroupMissing:
            if place.mode in (Mode.UPDATE, Mode.UPDATE_OR_CREATE):
                raise
            return
        self._refuse_other_model(groups)
        if place.mode is Mode.UPDATE:
            await self._store.user_ids(groups, place.user)

    async def _register(self, app: str, face: Face, sight: Sight, place: Place) -> None:
        model, most = self._vision.info.embedding_id, self._settings.faces_per_user
        async with self._keeping.kept(app, face, sight) as new:
            if place.describe is not None:
                new = replace(new, meta=dict(place.describe(face)))
            done = await self._store.enroll(
                app, place.group, place.user, new, model, place.info, place.mode, most, shared=place.shared
            )
        await self._registry.applied(done.write)
        await self._blobs.remove(done.dropped_pictures)

    # Video

    async def video(self, data: bytes) -> VideoVerdict:
        """Liveness of a short video: the median of its moments, so that one lucky frame decides nothing."""
        self._must_have(Want.LIVENESS, "liveness")
        pictures = await self._lanes.submit(lambda: _pictures_of(data), size=len(data))
        task = Task(Want.LIVENESS | Want.QUALITY | Want.POSE)
        seen = await together([self._vision.analyze(picture, task) for picture in pictures])
        faces = [(one.faces[0], picture) for one, picture in zip(seen, pictures, strict=True) if one.faces]
        if not faces:
            raise NoFace
        score = median(face.liveness or 0.0 for face, _ in faces)
        best = sorted({face.token: (face, picture) for face, picture in faces}.values(), key=_badness)
        cut = [self._portrait(face, picture) for face, picture in best[:PICTURES_OF_A_VIDEO]]
        return VideoVerdict(score, tuple(await together(cut)))

    async def _portrait(self, face: Face, picture: bytes) -> tuple[Face, bytes]:
        limit = self._settings.max_picture_pixels
        cut = await self._paid(lambda: portrait.cut(picture, face.box, PORTRAIT_OF_A_VIDEO, limit))
        return face, cut.jpeg

    # Steps

    async def _checked(self, app: str, ask: Ask, want: Want) -> tuple[Face, ...]:
        """The faces of a probe, the first of which passes the gates."""
        sight = await self._looking.look(app, ask, ask.want | want | self._wanted(ask.gates))
        gates.check(sight.faces[0], ask.gates, self.limits.of(app))
        self._looking.remember(app, sight, sight.faces)
        return sight.faces

    async def _one(self, app: str, ask: Ask, want: Want) -> Face:
        return (await self._checked(app, ask, want))[0]

    async def _paid(self, work: Callable[[], T]) -> T:
        """The end of a request whose inference is done: not to be refused now."""
        return await self._lanes.submit(work, urgent=True)

    def _wanted(self, asked: Gates) -> Want:
        want = gates.wanted(asked)
        if Want.LIVENESS in want:
            self._must_have(Want.LIVENESS, "liveness")
        return want

    def _must_have(self, want: Want, role: str) -> None:
        if want not in self._vision.info.capabilities:
            raise ModelMissing(role)

    def _scores(self, cosines: list[float]) -> list[float]:
        if self._scorer is None:
            raise ModelMissing("embed")
        return self._scorer.scores(cosines)


def _sorted_out(faces: Sequence[Face], asked: Gates, limits: gates.Limits) -> tuple[tuple[Face, ...], list[FaceError]]:
    passed, failures = [], []
    for face in faces:
        try:
            gates.check(face, asked, limits)
            passed.append(face)
        except FaceError as failure:
            failures.append(failure)
    return tuple(passed), failures


def _badness(seen: tuple[Face, bytes]) -> float:
    face = seen[0]
    blur = face.quality.blur if face.quality else 0.0
    turned = max(abs(face.pose.yaw), abs(face.pose.pitch)) / 90 if face.pose else 0.0
    return blur + turned


async def together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All at once; of several failures the first in order is raised, whichever came first in time."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _pictures_of(video: bytes) -> list[bytes]:
    # FFmpeg takes a sixth of a second to load, and most servers never see a video.
    from face_server.vision.video import pictures

    return pictures(video)
