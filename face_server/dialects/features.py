"""A face's template as a text that clients keep and send back: base64 of a header that names the model, then float32.

A template of one embedder means nothing to another, so the name goes with the numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pybase64

from face_server.dialects.texts import NotBase64, Text, decode_base64
from face_server.model import Feature, FloatArray

MARK = b"FSF1"
HEADER = len(MARK) + 8
UNIT = 0.01  # how far from unit length a template may be


class BadFeature(ValueError):
    """Not base64, numbers that no embedder makes, or the name of another model."""


class WrongLength(ValueError):
    """Not as many numbers as the installed embedder makes."""


class Features:
    """Reads and writes templates of the installed embedder."""

    def __init__(self, embedding_id: str, dimensions: int) -> None:
        self._header = MARK + hashlib.blake2b(embedding_id.encode(), digest_size=HEADER - len(MARK)).digest()
        self._size = HEADER + 4 * dimensions

    def write(self, vector: FloatArray) -> str:
        return pybase64.b64encode_as_string(self._header + vector.astype("<f4").tobytes())

    def read(self, text: str | Text) -> Feature:
        try:
            data = decode_base64(text)
        except NotBase64 as error:
            raise BadFeature(str(error)) from None
        if len(data) != self._size:
            raise WrongLength(f"{len(data)} bytes, not {self._size}")
        if not data.startswith(self._header):
            raise BadFeature("a template of another model, or of none")
        vector = np.frombuffer(data, "<f4", offset=HEADER).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            length = float(np.linalg.norm(vector))
        if not abs(length - 1) <= UNIT:  # true of a NaN as well
            raise BadFeature("not of unit length")
        return Feature(vector / np.float32(length))
