"""What goes on beside the requests goes on for the others when it fails for one."""

import asyncio
import time
from pathlib import Path

import pytest

from face_server import housekeeping
from face_server.errors import StoreFailed
from face_server.store.blobs import Blobs
from tests.small_library import APP, MODEL, face, library


async def test_a_group_that_cannot_be_cleared_does_not_hold_up_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("face_server.store.removing.AT_ONCE", 0)
    monkeypatch.setattr(housekeeping, "CLEAR_EVERY", 0.05)
    async with library(tmp_path) as kept:
        for name in ("stuck", "free"):
            await kept.store.enroll(APP, name, "u", face(1), MODEL)
        stuck = (await kept.store.groups(APP, ["stuck"]))[0].id
        purge = kept.store.upkeep.purge

        async def sometimes(app: str, group: int) -> tuple[bool, list[str]]:
            if group == stuck:
                raise StoreFailed("not this one")
            return await purge(app, group)

        monkeypatch.setattr(kept.store.upkeep, "purge", sometimes)
        for name in ("stuck", "free"):
            await kept.store.delete_group(APP, name)
        left: list[tuple[str, int]] = []
        async with housekeeping.kept_in_order(kept.store, kept.registry, Blobs(tmp_path / "pictures")):
            end = time.monotonic() + 10
            while left != [(APP, stuck)] and time.monotonic() < end:
                await asyncio.sleep(0.02)
                left = await kept.store.upkeep.deleting_groups()
        assert left == [(APP, stuck)]
