"""kill -9 in the middle of everything: what was acknowledged is there, nothing is half there."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from face_server.store import blobs as pictures
from face_server.store.blobs import Blobs
from face_server.store.index_rows import IndexRows
from face_server.store.rows import FaceRow
from face_server.store.schema import faces, users
from tests.small_library import APP, face, library, open_store, rows_of, token

ROOT = Path(__file__).parents[2]
COUNT = 500


def run_victim(folder: Path, place: Path | str, kill_after: int) -> set[int]:
    """The numbers it has acknowledged."""
    command = [sys.executable, "-m", "tests.integration.store_victim", str(folder), str(COUNT)]
    command += [place] if isinstance(place, str) else []
    acknowledged = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as victim:
        assert victim.stdout is not None
        for line in victim.stdout:
            if not line.endswith(b"\n"):
                break
            acknowledged.add(int(line))
            if len(acknowledged) == kill_after:
                victim.kill()
    assert (victim.returncode == 0) == (kill_after > COUNT)
    return acknowledged


async def replayed(rows: IndexRows, app_id: int) -> set[int]:
    """The faces there should be by the feed alone."""
    feed = await rows.changes(app_id, 0)
    assert feed is not None
    faces: set[int] = set()
    for change in feed.changes:
        (faces.add if change.kind == "add" else faces.discard)(change.face_id)
    return faces


async def assert_whole(folder: Path, rows: list[FaceRow], acknowledged: set[int]) -> None:
    blobs = Blobs(folder / "pictures")
    numbers = {int(row.token, 16): row for row in rows}
    assert acknowledged <= numbers.keys(), "acknowledged and lost"
    for number, row in numbers.items():
        assert (row.group, row.user, row.template) == (f"g{number % 3}", f"u{number // 2}", face(number).template)
        assert await blobs.load(row.picture) == b"picture of %d" % number


@pytest.mark.parametrize(
    ("place", "kill_after"), [("sqlite", 1), ("sqlite", 130), ("sqlite", 420), ("postgres", 130)], indirect=["place"]
)
async def test_kill_9_during_500_concurrent_adds(
    tmp_path: Path, place: Path | str, kill_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await open_store(place)).close()
    acknowledged = await asyncio.to_thread(run_victim, tmp_path, place, kill_after)
    assert len(acknowledged) >= kill_after

    async with library(tmp_path, place) as lib:
        rows = await rows_of(lib.store)
        await assert_whole(tmp_path, rows, acknowledged)
        for row in rows:
            assert await lib.found(int(row.token, 16), row.group)
        app_id, _ = (await lib.store.seq(APP)) or (0, 0)
        assert await replayed(lib.store.index_rows, app_id) == {row.id for row in rows}
        faceless = sa.select(sa.func.count()).where(users.c.id.not_in(sa.select(faces.c.user_id)))
        assert (await lib.store._database.rows(faceless))[0][0] == 0
        # What only a picture was written for is swept up.
        monkeypatch.setattr(pictures, "_YOUNG", -1.0)
        await Blobs(tmp_path / "pictures").sweep(await lib.store.picture_keys(), time.time())
    assert {path.name for path in (tmp_path / "pictures").glob("??/*")} == {row.picture for row in rows}

    if isinstance(place, Path):
        with sqlite3.connect(place / "faces.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

    # And the work can be finished.
    assert await asyncio.to_thread(run_victim, tmp_path, place, COUNT + 1) == set(range(COUNT))
    async with library(tmp_path, place) as lib:
        rows = await rows_of(lib.store)
        await assert_whole(tmp_path, rows, set(range(COUNT)))
        assert len(rows) == COUNT


async def test_deleted_group_stays_deleted_over_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_server.store.removing.AT_ONCE", 10)
    monkeypatch.setattr("face_server.store.upkeep.PART", 20)
    monkeypatch.setattr("face_server.index.registry.WORTH_IT", 1)
    async with library(tmp_path) as lib:
        for number in range(50):
            await lib.enroll(number, group="gone" if number % 2 else "kept")
        assert await lib.found(1, "gone")
        assert await lib.found(2, "kept")
        await lib.registry.save()
        await lib.store.delete_group(APP, "gone")  # the process ends before the index or the purge hear of it
    async with library(tmp_path) as lib:
        assert [group.name for group in await lib.store.list_groups(APP)] == ["kept"]
        assert await lib.found(2, "kept")
        ((app, group_id),) = await lib.store.upkeep.deleting_groups()
        while not (await lib.store.upkeep.purge(app, group_id))[0]:
            assert await lib.found(2, "kept")
        assert await lib.store.face_by_token(APP, token(1)) is None
        assert len(await rows_of(lib.store)) == 25
    assert len(list((tmp_path / "galleries").iterdir())) == 1, "the deleted group's snapshot is gone"
