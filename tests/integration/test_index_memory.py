"""The memory of galleries is bounded: who was not searched for the longest time leaves, and comes back when needed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_server.index.codes import CodesForLarge
from face_server.index.registry import Registry
from face_server.index.snapshots import Snapshots
from tests.small_library import APP, DIMENSIONS, MODEL, Library, face, open_store, scan, until, vector

GROUPS = ("a", "b", "c", "d")
FACES = 30
ROOM = 12_000  # bytes: two galleries of so many faces, not three


def registry(lib: Library, folder: Path, memory: int = ROOM) -> Registry:
    return Registry(lib.store.index_rows, scan, DIMENSIONS, Snapshots(folder / "galleries", MODEL, DIMENSIONS), memory)


@pytest.fixture
async def lib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Library]:
    monkeypatch.setattr("face_server.index.registry.WORTH_IT", 1)
    store = await open_store(tmp_path)
    library = Library(store, None)  # type: ignore[arg-type]
    library.registry = registry(library, tmp_path)
    for first, group in enumerate(GROUPS):
        for number in range(100 * first, 100 * first + FACES):
            await store.enroll(APP, group, f"u{number}", face(number), MODEL)
    yield library
    await library.registry.close()
    await store.close()


async def loaded(lib: Library) -> set[str]:
    ids = {gallery.group_id for gallery in lib.registry.galleries}
    return {ref.name for ref in await lib.store.groups(APP, GROUPS) if ref.id in ids}


async def test_the_coldest_leaves_and_everybody_is_found(lib: Library) -> None:
    for group in ("a", "b", "a", "c", "d", "c", "a", "b", "d"):
        assert await lib.found(100 * GROUPS.index(group) + 7, group)
        assert lib.registry.memory <= ROOM
    assert await loaded(lib) == {"b", "d"}
    assert lib.registry.evictions == 5


async def test_what_was_written_meanwhile_is_there_when_it_comes_back(lib: Library, tmp_path: Path) -> None:
    assert await lib.found(7, "a")
    assert await lib.found(107, "b")
    assert await lib.found(207, "c")
    assert "a" not in await loaded(lib)
    assert (tmp_path / "galleries" / f"{(await lib.store.groups(APP, ['a']))[0].id}.gallery").exists()
    await lib.enroll(50, "a")
    await lib.registry.applied((await lib.store.delete_user(APP, "a", "u7")).write)
    assert (await lib.found(50, "a"), await lib.found(7, "a"), await lib.found(8, "a")) == (True, False, True)


async def test_damaged_snapshot_of_one_that_left_costs_nothing(lib: Library, tmp_path: Path) -> None:
    for group in GROUPS:
        assert await lib.found(100 * GROUPS.index(group) + 1, group)
    for path in (tmp_path / "galleries").iterdir():
        path.write_bytes(b"noise")
    for group in GROUPS:
        assert await lib.found(100 * GROUPS.index(group) + 1, group)


async def test_one_that_is_searched_stays(lib: Library) -> None:
    held = await lib.registry.scan(await lib.store.groups(APP, ["a"]), 1)
    for group in ("b", "c", "d"):
        assert await lib.found(100 * GROUPS.index(group), group)
    assert "a" in await loaded(lib)
    await lib.enroll(60, "a")
    assert held(vector(60)[None])[0][0].cosine > 0.999, "it still follows what is written"
    del held
    assert await lib.found(100, "b")
    assert await lib.found(200, "c")
    assert "a" not in await loaded(lib)


async def test_a_search_over_more_groups_than_fit_is_answered(lib: Library) -> None:
    assert await lib.found(305, *GROUPS)
    assert await loaded(lib) == set(GROUPS)
    await lib.registry.make_room()
    assert len(await loaded(lib)) == 2


async def test_one_gallery_too_large_for_all_the_room_is_searched_all_the_same(lib: Library, tmp_path: Path) -> None:
    lib.registry = registry(lib, tmp_path, memory=1)
    assert await lib.found(1, "a")
    assert await lib.found(101, "b")


async def test_growing_galleries_make_room_as_well(lib: Library) -> None:
    assert await lib.found(1, "a")
    assert await lib.found(101, "b")
    for number in range(500, 600):
        await lib.enroll(number, "b")
    await lib.registry.drop_gone()
    assert await loaded(lib) == set(), "the room does not hold even one of this size"
    assert await lib.found(555, "b")


async def test_writers_and_searches_while_galleries_come_and_go(lib: Library) -> None:
    async def client(group: str, first: int) -> None:
        for number in range(first, first + 20):
            await lib.enroll(number, group)
            assert await lib.found(number, group)
            await lib.registry.applied((await lib.store.delete_user(APP, group, f"u{number}")).write)
            assert not await lib.found(number, group)

    await asyncio.gather(*(client(group, 1000 * n + 1000) for n, group in enumerate(GROUPS)))
    assert lib.registry.evictions > 0


async def test_large_gallery_gets_its_codes_by_itself_and_keeps_them_in_its_snapshot(
    lib: Library, tmp_path: Path
) -> None:
    def large() -> Registry:
        shelf = Snapshots(tmp_path / "galleries", MODEL, DIMENSIONS, CodesForLarge(FACES + 5))
        return Registry(lib.store.index_rows, scan, DIMENSIONS, shelf)

    lib.registry = large()
    assert await lib.found(3, "a")
    gallery: Any = lib.registry.galleries[0]
    assert not gallery.untidy
    for number in range(600, 610):
        await lib.enroll(number, "a")
    await until(lambda: gallery.shortlist is not None)
    assert await lib.found(605, "a")
    await lib.registry.close()
    lib.registry = large()
    await lib.enroll(700, "a")
    assert await lib.found(700, "a")
    again: Any = lib.registry.galleries[0]
    assert again.shortlist is not None
    assert FACES + 10 in again.shortlist.waiting(), "the newest has no code yet"
    assert all([await lib.found(number, "a") for number in (0, 29, 600, 609)])
    assert np.array_equal(np.sort(again.copy()[1][:-1]), np.sort(gallery.copy()[1]))
