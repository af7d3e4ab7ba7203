"""From a probe to the faces it shows: a picture is analysed, a token stands for its one face, a feature for itself."""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from face_server.errors import (
    Busy,
    FeatureGone,
    ModelMissing,
    NoFace,
    OtherModel,
    PictureGone,
    PictureTooLarge,
    TokenUnknown,
)
from face_server.faces.asks import Ask
from face_server.faces.fetch import Fetcher
from face_server.model import Address, Box, Face, Feature, FloatArray, Landmarks, Picture, Spot, Task, Token, Want
from face_server.request import current
from face_server.settings import Settings
from face_server.store import spots
from face_server.store.blobs import Blobs
from face_server.store.spots import Record
from face_server.store.store import Store
from face_server.store.tokens import Tokens
from face_server.vision.protocol import Vision

STRICT_LONG, STRICT_SHORT = 1920, 1080


@dataclass(frozen=True, slots=True)
class Sight:
    """What a probe shows; the picture when it is not known yet by its faces' tokens."""

    faces: tuple[Face, ...]
    picture: bytes | None = None
    remembered: bool = True  # whether the tokens are to be known from now on


@dataclass(frozen=True, slots=True)
class Known:
    """What is kept of a face that a token names. The picture may be a part of the one that was sent."""

    record: Record
    picture: bytes | None


class Looking:
    def __init__(self, vision: Vision, store: Store, tokens: Tokens, blobs: Blobs, settings: Settings) -> None:
        self._vision, self._store, self._tokens, self._blobs = vision, store, tokens, blobs
        self._fetch = Fetcher(settings)
        self._strict = settings.strict_picture_size
        # Behind a template that is remembered: the next start may be with another model.
        self._mark = hashlib.blake2b(vision.info.embedding_id.encode(), digest_size=8).digest()

    async def look(self, app: str, ask: Ask, want: Want) -> Sight:
        """At least one face, or an error. `want` goes beyond what the caller asked for."""
        if Want.EMBEDDING in want and Want.EMBEDDING not in self._vision.info.capabilities:
            raise ModelMissing("embed")
        if (request := current.get()) is not None:
            request.app = app
        match ask.probe:
            case Picture() | Address():
                return await self._look_at(await self.picture(ask), ask, want)
            case Token(token):
                return Sight((await self._recall(app, token, ask, want),))
            case Feature(vector):
                return Sight((self._felt(vector),))

    async def picture(self, ask: Ask) -> bytes:
        """The bytes of a picture that was sent, or is fetched."""
        match ask.probe:
            case Picture(data):
                pass
            case Address(url):
                data = await self._fetch(url)
            case _:
                raise TypeError("neither a picture nor its address")
        ask.rules.check_format(data)
        return data

    async def _look_at(self, data: bytes, ask: Ask, want: Want) -> Sight:
        task = Task(want, ask.max_faces, any_turn=ask.any_turn, dewater=ask.dewater, portrait=ask.portrait)
        seen = await self._vision.analyze(data, task, ask.then)
        long, short = max(seen.width, seen.height), min(seen.width, seen.height)
        if self._strict and (long > STRICT_LONG or short > STRICT_SHORT):
            raise PictureTooLarge(f"{seen.width}x{seen.height}")
        ask.rules.check_size(seen.width, seen.height)
        faces = ask.rules.large_enough(seen.faces)
        if not faces:
            raise NoFace
        if ask.judge is not None:
            ask.judge(replace(seen, faces=faces))
        return Sight(faces, data, ask.remembered)

    async def _recall(self, app: str, token: str, ask: Ask, want: Want) -> Face:
        known = await self.known(app, token)
        spot, embedding = known.record.spot, known.record.embedding
        face = Face(spot.box, spot.probability, spot.points, token)
        unknown = want if embedding is None else want & ~Want.EMBEDDING
        if unknown:
            face = await self._look_again(known, Task(unknown, spot=known.record.spot_in_stored, dewater=ask.dewater))
        return replace(face, token=token, embedding=face.embedding if embedding is None else embedding)

    async def _look_again(self, known: Known, task: Task) -> Face:
        if known.picture is None:
            raise PictureGone
        seen = await self._vision.analyze(known.picture, task)
        if not seen.faces:
            raise PictureGone
        return _moved(seen.faces[0], *known.record.origin)

    async def known(self, app: str, token: str) -> Known:
        """From the cache of recent tokens, or from a registered face."""
        asked = time.monotonic()
        if (cached := await self._tokens.get(app, token)) is not None:
            return self._cached(*cached)
        row = await self._store.face_by_token(app, token)
        if row is None:
            if (cached := await self._tokens.get_later(app, token, asked)) is not None:
                return self._cached(*cached)
            raise TokenUnknown(token)
        picture = await self._blobs.load(row.picture) if row.picture else None
        record = self._read(row.spot)
        if row.embedding_id != self._vision.info.embedding_id:  # what is asked of it is looked up in its picture
            if picture is None:
                raise OtherModel(f"the face's template is of model {row.embedding_id}")
            return Known(record, picture)
        if record.embedding is None:
            record = replace(record, embedding=np.frombuffer(row.template, np.float16).astype(np.float32))
        return Known(record, picture)

    def _cached(self, picture: bytes, data: bytes) -> Known:
        record = self._read(data)
        return Known(record if data.endswith(self._mark) else replace(record, embedding=None), picture)

    def _read(self, data: bytes) -> Record:
        try:
            return spots.unpack(data)
        except (ValueError, struct.error) as error:
            raise FeatureGone(str(error)) from None

    def _felt(self, vector: FloatArray) -> Face:
        if vector.shape != (self._vision.info.dimensions,):
            raise OtherModel(f"a feature of {vector.size} numbers")
        return Face(Box(0, 0, 0, 0), 1.0, np.zeros((5, 2), np.float32), "", embedding=vector)

    def remember(self, app: str, sight: Sight, faces: Sequence[Face]) -> None:
        """From now on the tokens of these faces can be sent instead of the picture."""
        if sight.picture is not None and sight.remembered:
            records = [
                (face.token, spots.pack(Record(spot_of(face), embedding=face.embedding)) + self._mark) for face in faces
            ]
            self._tokens.put(app, sight.picture, records)

    def remember_registered(self, app: str, sight: Sight, face: Face) -> None:
        """Its row has the token as well: what is done is not refused because the cache is full."""
        with suppress(Busy):
            self.remember(app, sight, (face,))


def spot_of(face: Face) -> Spot:
    return Spot(face.box, face.points, face.probability, face.token)


def _moved(face: Face, x: float, y: float) -> Face:
    """The face in the coordinates of the picture of which only a part was looked at."""
    if not x and not y:
        return face
    by = np.array([x, y], np.float32)
    marks = face.landmarks
    if marks is not None:
        layouts = (marks.p68, marks.p72, marks.p106)
        marks = Landmarks(marks.p4 + by, *(None if points is None else points + by for points in layouts))
    box = replace(face.box, left=face.box.left + x, top=face.box.top + y)
    return replace(face, box=box, points=face.points + by, landmarks=marks)
