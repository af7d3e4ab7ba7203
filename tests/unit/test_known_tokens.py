"""Where a face token is looked up: the cache, the registered faces, and only then once more what may be on its way."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from face_server.errors import TokenUnknown
from face_server.faces.looking import Looking
from face_server.model import Box, Spot, Want
from face_server.settings import Settings
from face_server.store import spots
from face_server.store.blobs import Blobs
from face_server.store.rows import NewFace
from face_server.store.spots import Record
from face_server.vision.protocol import VisionInfo
from tests.small_library import APP, DIMENSIONS, MODEL, library, token, vector


class Late:
    """A cache to which every token comes too late for the first look."""

    def __init__(self, *late: str) -> None:
        self.late, self.waited = late, list[str]()

    def put(self, app: str, picture: bytes, faces: Iterable[tuple[str, bytes]]) -> None: ...

    async def get(self, app: str, token: str) -> tuple[bytes, bytes] | None:
        return None

    async def get_later(self, app: str, token: str, asked: float) -> tuple[bytes, bytes] | None:
        assert time.monotonic() - asked < 30, "the time of the first look"
        self.waited.append(token)
        return (b"picture", record(token)) if token in self.late else None


class Eyes:
    info = VisionInfo("pack", Want.EMBEDDING, MODEL, DIMENSIONS, ())


def record(face_token: str) -> bytes:
    return spots.pack(Record(Spot(Box(1, 2, 3, 4), np.zeros((5, 2), np.float32), 1.0, face_token)))


async def test_only_who_is_nowhere_is_waited_for(tmp_path: Path) -> None:
    async with library(tmp_path) as lib:
        template = vector(1).astype(np.float16).tobytes()
        await lib.store.enroll(APP, "g", "u", NewFace(token(1), template, record(token(1)), ""), MODEL)
        tokens, blobs = Late(token(2)), Blobs(tmp_path / "pictures")
        looking = Looking(Eyes(), lib.store, tokens, blobs, Settings(data_dir=tmp_path))  # type: ignore[arg-type]
        registered = await looking.known(APP, token(1))
        assert (registered.record.spot.token, tokens.waited) == (token(1), [])
        assert (await looking.known(APP, token(2))).picture == b"picture"
        with pytest.raises(TokenUnknown):
            await looking.known(APP, token(3))
        assert tokens.waited == [token(2), token(3)]
