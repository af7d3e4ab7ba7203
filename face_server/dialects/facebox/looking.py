"""The two interfaces that look at pictures and keep nothing."""

from __future__ import annotations

import asyncio

from face_server.dialects import wire
from face_server.dialects.facebox import codes, groups, render, tables, tokens
from face_server.dialects.facebox.endpoint import Answer, Call, Interface
from face_server.dialects.facebox.library import FORMATS, MOST_BYTES
from face_server.dialects.features import Features
from face_server.dialects.params import Refusal
from face_server.errors import NoFace, PictureError
from face_server.faces.album import Bound
from face_server.faces.asks import Ask
from face_server.faces.keeping import embedding
from face_server.faces.rules import PictureRules
from face_server.faces.service import FaceService, together
from face_server.model import Face, Feature, Picture, Want

RULES = PictureRules(FORMATS, MOST_BYTES, longest=4096, shorter=2160)


class Recognition:
    def __init__(self, service: FaceService) -> None:
        self._service, self._album = service, service.album
        self._features = Features(service.info.embedding_id, service.info.dimensions)

    def all(self) -> list[Interface]:
        return [
            Interface("face_compare", "POST", "/api/face/compare", tables.COMPARE, self.compare),
            Interface("face_search", "POST", "/api/face/search", tables.SEARCH, self.search),
        ]

    async def compare(self, call: Call) -> Answer:
        one, other = await together([self._face(call, name) for name in ("image1", "image2")])
        felt = (Ask(Feature(embedding(face))) for face in (one, other))
        score = (await self._service.compare(call.app, *felt)).score
        detections = {f"detectionResult{n}": render.detection(face) for n, face in enumerate((one, other), 1)}
        return {"compareScore": wire.double(score), **detections}

    async def search(self, call: Call) -> Answer:
        sent, ask, limits = call.sent, _ask(call, "image"), self._service.limits.of(call.app)
        try:
            face, found = await self._album.search(
                call.app, ask, sent["group"], lambda group: groups.threshold(group.meta, limits), sent["topN"]
            )
        except PictureError as error:
            raise _named(error, "image") from None
        detection = render.detection(face)
        if face.quality is not None:
            detection["quality"] = wire.double(face.quality.overall)
        if sent["featureUpload"]:
            detection["feature"] = self._features.write(embedding(face))
        results = await asyncio.gather(*(self._result(one, score) for one, score in found))
        tops = {f"top{n}": results[n - 1] if n <= len(results) else {} for n in range(1, tables.MOST_RESULTS + 1)}
        return {"detectionResult": detection, **tops}

    async def _face(self, call: Call, name: str) -> Face:
        try:
            (face,) = await self._service.detect(call.app, _ask(call, name, Want.EMBEDDING))
        except PictureError as error:
            raise _named(error, name) from None
        return face

    async def _result(self, face: Bound, score: float) -> Answer:
        entry = render.face_entry(face)
        return {
            "group": render.groups(face),
            "searchScore": score,
            "faceToken": tokens.spelled(face.token),
            "description": entry["description"],
            "imageUrl": render.picture(await self._album.portrait(face)),
        }


def _ask(call: Call, name: str, want: Want = Want.NONE) -> Ask:
    want |= Want.QUALITY | Want.POSE
    if call.sent["livenessEnabled"]:
        want |= Want.LIVENESS
    return Ask(Picture(call.sent[name]), want, rules=RULES, remembered=False)


def _named(error: PictureError, name: str) -> Exception:
    """What is wrong with a picture is a wrong parameter, except that nobody is to be seen on it."""
    return error if isinstance(error, NoFace) else Refusal(codes.WRONG, name)
