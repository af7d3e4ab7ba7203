"""A picture goes again only when it is certain that no row names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from face_server.errors import Busy, FaceExists, Stage
from face_server.faces.album import NewEntry
from face_server.faces.asks import Ask, Place
from face_server.faces.service import FaceService
from face_server.store.rows import NewFace
from face_server.store.store import Store
from tests.unit.test_service import Eyes, eyes, face, service, vector

__all__ = ["eyes", "service"]

PLACE = Place("g", "u", "")


def nobody_can_tell(store: Store) -> None:
    """From now on commits are done whose answers never come."""
    write = store._database.write

    async def lost(*work: Any, **more: Any) -> None:
        await write(*work, **more)
        raise Busy(Stage.DATABASE)

    store._database.write = lost  # type: ignore[assignment, method-assign]


async def enroll(service: FaceService, eyes: Eyes) -> None:
    await service.enroll("app", Ask(eyes.show("one", face(1))), PLACE)


async def add_bulk(service: FaceService, eyes: Eyes) -> None:
    await service.bulk.add("app", Ask(eyes.show("one", face(1))), PLACE)


async def restore(service: FaceService, eyes: Eyes) -> None:
    row = NewFace("ab", vector(1).astype("float16").tobytes(), b"", "", {})
    await service.bulk.restore("app", row, b"picture", PLACE)


async def add_to_album(service: FaceService, eyes: Eyes) -> None:
    await service.album.add("app", Ask(eyes.show("one", face(1))), NewEntry("name", "ab", "u", "", {}))


async def missing(service: FaceService) -> list[str]:
    """Pictures that a row names and that are not there."""
    keys = await service._store.picture_keys() - {""}
    assert keys
    return [key for key in keys if await service._blobs.load(key) is None]


@pytest.mark.parametrize("add", [enroll, add_bulk, restore, add_to_album])
async def test_a_picture_stays_when_nobody_knows_whether_its_row_was_written(
    service: FaceService, eyes: Eyes, add: Any
) -> None:
    nobody_can_tell(service._store)
    with pytest.raises(Busy):
        await add(service, eyes)
    assert await missing(service) == []


@pytest.mark.parametrize("add", [add_bulk, restore])
async def test_a_picture_stays_when_only_the_index_could_not_follow(service: FaceService, eyes: Eyes, add: Any) -> None:
    async def fail(write: object) -> None:
        raise Busy(Stage.DATABASE)

    service._registry.applied = fail  # type: ignore[method-assign]
    with pytest.raises(Busy):
        await add(service, eyes)
    assert await missing(service) == []


async def test_a_picture_whose_row_is_refused_goes(service: FaceService, eyes: Eyes, tmp_path: Path) -> None:
    await enroll(service, eyes)
    before = _files(tmp_path)
    with pytest.raises(FaceExists):
        await enroll(service, eyes)
    assert _files(tmp_path) == before != []


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "pictures").rglob("*") if path.is_file()]
