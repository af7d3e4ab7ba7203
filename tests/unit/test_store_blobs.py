"""Pictures of registered faces as files."""

import os
import time
from pathlib import Path

import pytest

from face_server.errors import StoreFailed
from face_server.store.blobs import Blobs
from tests.small_library import full_disk


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def test_saved_loaded_removed(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "pictures")
    keys = [await blobs.save(bytes([n]) * 1000) for n in range(20)]
    assert files(tmp_path) == sorted(keys)
    assert await Blobs(tmp_path / "pictures").load(keys[3]) == b"\3" * 1000
    await blobs.remove(keys[:19])
    await blobs.remove(keys[:19])  # twice does no harm
    assert files(tmp_path) == keys[19:]
    assert await blobs.load(keys[0]) is None


async def test_full_disk_leaves_no_file(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    with full_disk(4096), pytest.raises(StoreFailed):
        await blobs.save(bytes(10_000))
    assert files(tmp_path) == []


async def test_sweep_takes_old_orphans_only(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    used, orphan, fresh = [await blobs.save(b"picture") for _ in range(3)]
    for key in (used, orphan):
        os.utime(tmp_path / key[:2] / key, (time.time() - 3600,) * 2)
    assert await blobs.sweep({used}, time.time()) == 1
    assert files(tmp_path) == sorted([used, fresh])


async def test_sweep_leaves_what_came_while_the_keys_were_read(tmp_path: Path) -> None:
    """However long that takes: the row of such a picture may be newer than the keys."""
    blobs = Blobs(tmp_path)
    key = await blobs.save(b"picture")
    began, saved = time.time() - 200, time.time() - 100
    os.utime(tmp_path / key[:2] / key, (saved, saved))
    assert await blobs.sweep(set(), began) == 0
    assert files(tmp_path) == [key]
