"""What an interface is, and the eight that look at pictures or features and keep nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pybase64

from face_server.dialects import wire
from face_server.dialects.cloudwalk import tables
from face_server.dialects.cloudwalk.codes import BAD_FEATURE, WRONG_LENGTH, Codes, embedding
from face_server.dialects.features import BadFeature, Features, WrongLength
from face_server.dialects.params import Refusal, Table, Values
from face_server.dialects.texts import Text
from face_server.errors import ModelMissing, Stage
from face_server.faces.asks import EVERY_FACE, Ask
from face_server.faces.rules import PictureRules
from face_server.faces.service import FaceService
from face_server.model import Face, Feature, Probe, Want
from face_server.settings import Settings

RULES = PictureRules(frozenset({"jpg", "png", "bmp"}), least=24, longest=6000, shorter=4000, least_face=30)
BEYOND = 0.2  # a face that is cut out has so much of its sides more to every side

Answer = dict[str, Any]
Run = Callable[[str, Values], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Interface:
    path: str
    table: Table
    run: Run
    codes: Codes = field(default_factory=dict)  # its own codes for what can fail in it

    @property
    def pictures(self) -> bool:
        return any(name.startswith("img") for name in self.table.names)


class Tools:
    def __init__(self, service: FaceService, settings: Settings) -> None:
        self._service = service
        self._features = Features(service.info.embedding_id, service.info.dimensions)
        self._zone = ZoneInfo(settings.time_zone)

    def all(self) -> list[Interface]:
        comparing = embedding(8517)
        return [
            Interface("/face/tool/detect", tables.DETECT, self.detect),
            Interface("/face/tool/attribute", tables.PICTURE, self.attribute),
            Interface("/face/tool/keypt", tables.PICTURE, self.keypt, {Stage.ATTRIBUTES: 8512}),
            Interface("/face/tool/compare", tables.TWO_PICTURES, self.compare, comparing),
            Interface("/face/tool/compare/ext1", tables.TWO_PICTURES, self.compare_all, comparing),
            Interface("/face/tool/removeWater", tables.PICTURE, self.remove_water, {Stage.ATTRIBUTES: 8454}),
            Interface("/face/tool/feature", tables.PICTURE, self.feature, embedding(8513)),
            Interface("/face/tool/similarityByFeature", tables.TWO_FEATURES, self.similarity, comparing),
        ]

    async def detect(self, app: str, sent: Values) -> Answer:
        if not sent["mode"]:
            faces = await self._service.detect(app, every(sent["probe"]))
            return {"faces": [{**place(face), "img": "null"} for face in faces]}
        found = await self._service.cut_out(app, every(sent["probe"]), BEYOND)
        return {"faces": [{**place(face), "img": base64(jpeg)} for face, jpeg in found]}

    async def attribute(self, app: str, sent: Values) -> Answer:
        faces = await self._service.detect(app, every(sent["probe"], Want.AGE | Want.GENDER))
        return {"faces": [{**place(face), **_age_and_gender(face)} for face in faces]}

    async def keypt(self, app: str, sent: Values) -> Answer:
        faces = await self._service.detect(app, every(sent["probe"], Want.LANDMARKS))
        return {"faces": [{**place(face), "keypt": _points(face)} for face in faces]}

    async def compare(self, app: str, sent: Values) -> Answer:
        found = await self._service.compare(app, largest(sent["probeA"]), largest(sent["probeB"]))
        return {"score": score(found.score)}

    async def compare_all(self, app: str, sent: Values) -> Answer:
        found = await self._service.compare(app, largest(sent["probeA"]), every(sent["probeB"]))
        pairs = zip(found.others, found.scores, strict=True)
        faces = sorted(({**place(face), "score": score(one)} for face, one in pairs), key=best_first)
        return {"score": faces[0]["score"], "faces": faces}

    async def remove_water(self, app: str, sent: Values) -> Answer:
        jpeg = await self._service.clean(Ask(sent["probe"], rules=RULES))
        now = datetime.now(self._zone)
        logged = f"user_{now:%Y_%m_%d_%H_%M_%S}_{now.microsecond // 1000:04}_1"
        return {
            "img": base64(jpeg),
            "path": "/face/tool/removeWater",
            "imageLog": logged,
            "seq": str(wire.log_id()),
        }

    async def feature(self, app: str, sent: Values) -> Answer:
        (face,) = await self._service.detect(app, largest(sent["probe"], Want.EMBEDDING))
        if face.embedding is None:
            raise ModelMissing("embed")
        return {"feature": self._features.write(face.embedding)}

    async def similarity(self, app: str, sent: Values) -> Answer:
        first, second = (Ask(self._read(sent[name])) for name in ("featureA", "featureB"))
        return {"score": score((await self._service.compare(app, first, second)).score)}

    def _read(self, text: str | Text) -> Feature:
        try:
            return self._features.read(text)
        except WrongLength:
            raise Refusal(WRONG_LENGTH) from None
        except BadFeature:
            raise Refusal(BAD_FEATURE) from None


# The manual allows a turned face exactly where one face of a picture counts.


def largest(probe: Probe, want: Want = Want.NONE) -> Ask:
    return Ask(probe, want, any_turn=True, rules=RULES, remembered=False)


def every(probe: Probe, want: Want = Want.NONE) -> Ask:
    return Ask(probe, want, max_faces=EVERY_FACE, rules=RULES, remembered=False)


def place(face: Face) -> Answer:
    box = face.box
    return {"x": round(box.left), "y": round(box.top), "width": round(box.width), "height": round(box.height)}


def score(hundred: float) -> float:
    """0..100 -> 0..1."""
    return wire.double(hundred / 100)


def best_first(face: Mapping[str, Any]) -> float:
    return -float(face["score"])


def base64(data: bytes) -> str:
    return pybase64.b64encode_as_string(data)


def _age_and_gender(face: Face) -> Answer:
    age, gender = face.attributes.age, face.attributes.gender
    if age is None or gender is None:
        raise ModelMissing("age_gender")
    return {"age": str(max(0, round(age))), "gender": "1" if gender.type == "male" else "-1"}


def _points(face: Face) -> list[Answer]:
    if face.landmarks is None or face.landmarks.p68 is None:
        raise ModelMissing("landmarks")
    return [{"x": round(x), "y": round(y)} for x, y in face.landmarks.p68.tolist()]
