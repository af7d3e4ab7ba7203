"""What stays of a registered face: its template, where it lies, and as much of its picture as the operator wants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np

from face_server.engine.lanes import Lanes
from face_server.errors import FaceError, ModelMissing
from face_server.faces.looking import Known, Looking, Sight, spot_of
from face_server.model import Face, FloatArray, Portrait
from face_server.settings import Settings
from face_server.store import spots
from face_server.store.blobs import Blobs
from face_server.store.rows import NewFace
from face_server.store.spots import Record
from face_server.vision import portrait

MARGIN = 3.0  # a stored face is a picture of so many times its box


class Keeping:
    def __init__(self, looking: Looking, blobs: Blobs, lanes: Lanes, settings: Settings) -> None:
        self._looking, self._blobs, self._lanes, self._settings = looking, blobs, lanes, settings

    @property
    def portrait(self) -> float:
        """What to ask for with a face that is to be kept, so that its picture is decoded only once."""
        return MARGIN if self._settings.store_pictures == "face" else 0.0

    @asynccontextmanager
    async def kept(self, app: str, face: Face, sight: Sight) -> AsyncIterator[NewFace]:
        """The row of a face, its picture already durable; a picture whose row is refused goes again."""
        known = await self._known(app, face, sight)
        key = await self._blobs.save(known.picture, app) if known.picture is not None else ""
        template = embedding(face).astype(np.float16).tobytes()
        try:
            yield NewFace(face.token, template, spots.pack(replace(known.record, embedding=None)), key)
        except FaceError as error:
            # Only then: the write of a request that is cancelled is still seen through to its end.
            await self._blobs.remove_refused([key], error)
            raise

    async def _known(self, app: str, face: Face, sight: Sight) -> Known:
        if sight.picture is None:
            known = await self._looking.known(app, face.token)
        else:
            known = Known(Record(spot_of(face)), sight.picture)
        if known.picture is None or self._settings.store_pictures == "none":
            return Known(known.record, None)
        if self._settings.store_pictures == "picture":
            return known
        return await self._cropped(known.record, known.picture, face.portrait)

    async def _cropped(self, record: Record, picture: bytes, crop: Portrait | None) -> Known:
        box, limit = record.spot_in_stored.box, self._settings.max_picture_pixels
        if crop is None:
            crop = await self._lanes.submit(lambda: portrait.cut(picture, box, MARGIN, limit), urgent=True)
        left, top = record.origin
        return Known(replace(record, origin=(left + crop.left, top + crop.top)), crop.jpeg)


def embedding(face: Face) -> FloatArray:
    if face.embedding is None:
        raise ModelMissing("embed")
    return face.embedding
