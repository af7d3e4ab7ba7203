"""A face's place in its picture as bytes: what a token or a registered face needs to be looked at again."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from face_server.model import Box, FloatArray, Spot

_HEAD = struct.Struct("<15fffHH")  # box, probability, points, origin x and y, then sizes


@dataclass(frozen=True, slots=True)
class Record:
    spot: Spot  # in the coordinates of the picture as it was sent
    origin: tuple[float, float] = (0.0, 0.0)  # where the stored picture's top left corner lies in that picture
    embedding: FloatArray | None = None

    @property
    def spot_in_stored(self) -> Spot:
        """The same face in the coordinates of the picture that is stored."""
        x, y = self.origin
        box = self.spot.box
        moved = Box(box.left - x, box.top - y, box.width, box.height)
        return Spot(moved, self.spot.points - np.array([x, y], np.float32), self.spot.probability, self.spot.token)


def pack(record: Record) -> bytes:
    box, spot = record.spot.box, record.spot
    token = bytes.fromhex(spot.token)
    vector = b"" if record.embedding is None else record.embedding.astype(np.float16).tobytes()
    numbers = (box.left, box.top, box.width, box.height, spot.probability, *spot.points.ravel().tolist())
    return _HEAD.pack(*numbers, *record.origin, len(token), len(vector)) + token + vector


def unpack(data: bytes) -> Record:
    *numbers, x, y, token_size, vector_size = _HEAD.unpack_from(data)
    left, top, width, height, probability = numbers[:5]
    points = np.array(numbers[5:15], np.float32).reshape(5, 2)
    tail = data[_HEAD.size :]
    vector = tail[token_size : token_size + vector_size]
    embedding = np.frombuffer(vector, np.float16).astype(np.float32) if vector_size else None
    spot = Spot(Box(left, top, width, height), points, probability, tail[:token_size].hex())
    return Record(spot, (x, y), embedding)
