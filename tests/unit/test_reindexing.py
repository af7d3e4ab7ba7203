"""One face that cannot get a new template does not end the work for the others; what fails for all of them does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from face_server.admin.jobs import Progress
from face_server.errors import BadPicture, Busy, ModelMissing, NoFace, PictureTooSmall, Stage
from face_server.faces import reindexing
from face_server.faces.reindexing import Left, Reason, Reindexing
from face_server.model import Analysis, Box, Face, Spot, Task, Want
from face_server.store import spots
from face_server.store.blobs import Blobs
from face_server.store.rows import NewFace
from face_server.store.spots import Record
from face_server.vision.protocol import Then, VisionInfo
from tests.small_library import APP, DIMENSIONS, MODEL, library, registry, token, vector

NEW = "model-b"
BOX = Box(10, 10, 50, 50)
POINTS = np.zeros((5, 2), np.float32)


class Moody:
    """Answers as the picture says: these are names of what happens, one for each time it is looked at."""

    info = VisionInfo("pack", Want.EMBEDDING, NEW, DIMENSIONS, ())
    ready = True

    def __init__(self) -> None:
        self.looked: Counter[bytes] = Counter()

    async def analyze(self, picture: bytes, task: Task, then: Then | None = None) -> Analysis:
        words = picture.decode().split()
        word = words[min(self.looked[picture], len(words) - 1)]
        self.looked[picture] += 1
        errors = {
            "bad": BadPicture("x"),
            "small": PictureTooSmall("x"),
            "empty": NoFace(),
            "crowded": Busy(Stage.QUEUE),
            "dies": Busy(Stage.DETECT),
            "surprise": RuntimeError("nobody expected it"),
            "missing": ModelMissing("embed"),
        }
        if word in errors:
            raise errors[word]
        return Analysis(100, 100, (Face(BOX, 1.0, POINTS, token(1), embedding=vector(99)),))


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindexing, "PATIENCE", 0.001)


async def run(folder: Path, *pictures: str, spot: bytes | None = None) -> tuple[int, dict[str, Reason], Moody]:
    """How many got a new template, why others did not, and who looked."""
    vision, left = Moody(), list[Left]()
    place = spots.pack(Record(Spot(BOX, POINTS, 1.0, token(1)))) if spot is None else spot
    async with library(folder) as lib:
        blobs = Blobs(folder / "pictures")
        for number, words in enumerate(pictures):
            key = await blobs.save(words.encode())
            row = NewFace(token(number), vector(number).astype(np.float16).tobytes(), place, key)
            await lib.store.enroll(APP, "g", words, row, MODEL)
        index = registry(lib.store, folder, NEW)
        work = Reindexing(vision, lib.store, index, blobs, together=2)  # type: ignore[arg-type]
        renewed = await work.run([APP], None, Progress(), left.append)
        await index.close()
    return renewed, {one.user: one.reason for one in left}, vision


async def test_those_that_cannot_be_done_are_told(tmp_path: Path) -> None:
    renewed, left, vision = await run(
        tmp_path, "fine", "bad", "small", "empty", "surprise", "dies", "crowded " * 9 + "fine", "dies dies fine"
    )
    assert renewed == 3
    assert left == {
        "bad": Reason.PICTURE_GONE,
        "small": Reason.PICTURE_GONE,
        "empty": Reason.NO_FACE,
        "surprise": Reason.FAILED,
        "dies": Reason.FAILED,
    }
    assert vision.looked[b"dies"] == reindexing.TRIES, "workers may die of it"


async def test_a_row_that_cannot_be_read_is_one_face(tmp_path: Path) -> None:
    renewed, left, _ = await run(tmp_path, "fine", spot=b"spot")
    assert (renewed, left) == (0, {"fine": Reason.FAILED})


async def test_what_fails_for_all_ends_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing):
        await run(tmp_path, "fine", "missing")
