"""Galleries in step with the database: at once, through the feed, over snapshots, whatever happens to these."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from face_server.errors import GroupMissing, OtherModel
from face_server.index.registry import Registry
from face_server.store.rows import Mode
from face_server.store.schema import faces
from tests.small_library import APP, Library, face, full_disk, library, open_store, registry, rows_of, vector


@pytest.fixture
async def lib(tmp_path: Path, place: Path | str) -> AsyncIterator[Library]:
    async with library(tmp_path, place) as opened:
        yield opened


async def test_face_is_found_by_the_next_search_and_never_after_its_removal(lib: Library) -> None:
    for number in range(60):
        await lib.enroll(number, user=f"u{number % 7}")
        assert await lib.found(number)
    for number in range(0, 60, 3):
        removed = await lib.store.delete_face(APP, "g", f"u{number % 7}", face(number).token)
        await lib.registry.applied(removed.write)
    for number in range(60):
        assert await lib.found(number) == bool(number % 3)


async def test_each_user_once_with_the_best_face(lib: Library) -> None:
    for number in range(100):
        await lib.enroll(number, user=f"u{number % 10}")
    hits = await lib.search(42, limit=10)
    people = await lib.store.users_by_id([hit.user_id for hit in hits])
    assert sorted(person.name for person in people.values()) == [f"u{n}" for n in range(10)]
    assert people[hits[0].user_id].name == "u2"
    best = {n % 10: max(float(vector(m) @ vector(42)) for m in range(n % 10, 100, 10)) for n in range(10)}
    assert [hit.cosine for hit in hits] == pytest.approx(sorted(best.values(), reverse=True), abs=1e-5)


async def test_search_within_a_user_and_over_groups(lib: Library) -> None:
    for number, group, user in ((1, "g", "ann"), (2, "g", "bob"), (3, "h", "ann"), (4, "i", "cid")):
        await lib.enroll(number, group, user)
    refs = await lib.store.groups(APP, ["g", "h"])
    ann = await lib.store.user_ids(refs, "ann")
    assert len(ann) == 2
    assert [hit.user_id for hit in await lib.search(2, "g", "h", users=ann, limit=5)] in (ann, ann[::-1])
    assert {hit.group_id for hit in await lib.search(3, "g", "h", limit=5)} == {ref.id for ref in refs}
    assert await lib.found(4, "g", "i", "h")
    assert not await lib.found(4, "g", "h")


async def test_empty_group_finds_nobody(lib: Library) -> None:
    await lib.store.add_group(APP, "g")
    assert await lib.search(1, limit=3) == []


async def test_replaced_face_is_no_longer_found(lib: Library) -> None:
    await lib.enroll(1, user="u")
    assert await lib.found(1)
    await lib.enroll(2, user="u", mode=Mode.REPLACE)
    assert (await lib.found(1), await lib.found(2)) == (False, True)


async def test_group_made_anew_begins_empty(lib: Library) -> None:
    await lib.enroll(1)
    assert await lib.found(1)
    await lib.registry.applied((await lib.store.delete_group(APP, "g")).write)
    assert lib.registry.galleries == []
    await lib.enroll(2)
    assert (await lib.found(1), await lib.found(2)) == (False, True)


async def test_group_deleted_while_its_gallery_loads_leaves_no_gallery(lib: Library) -> None:
    await lib.enroll(1)
    refs = await lib.store.groups(APP, ["g"])
    await lib.store.delete_group(APP, "g")
    with pytest.raises(GroupMissing):
        await lib.registry.search(refs, vector(1)[None], 1)
    assert lib.registry.galleries == []


async def test_other_model_is_refused(lib: Library, tmp_path: Path) -> None:
    await lib.enroll(1)
    other = registry(lib.store, tmp_path, embedding_id="model-b")
    with pytest.raises(OtherModel):
        await other.search(await lib.store.groups(APP, ["g"]), vector(1)[None], 1)


async def test_two_registries_stay_in_step_through_the_feed(lib: Library, tmp_path: Path, place: Path | str) -> None:
    """As two processes do: what one writes, the other finds by the very next search."""
    store = await open_store(place)
    far = Library(store, registry(store, tmp_path / "far"))
    await lib.enroll(0)
    assert await lib.found(0)
    assert await far.found(0)
    writers = (lib, far)
    for number in range(1, 200):
        here, there = writers[number % 2], writers[(number + 1) % 2]
        await here.enroll(number)
        assert await there.found(number)
        if number % 5 == 0:
            removed = await here.store.delete_user(APP, None, f"u{number - 1}")
            await here.registry.applied(removed.write)
            assert not await there.found(number - 1)
    await store.close()


async def test_registry_far_behind_a_forgotten_feed_begins_anew(lib: Library, tmp_path: Path) -> None:
    far = registry(lib.store, tmp_path / "far")
    await lib.enroll(0)
    assert await Library(lib.store, far).found(0)
    for number in range(1, 30):
        await lib.enroll(number)
    await lib.registry.applied((await lib.store.delete_user(APP, "g", "u0")).write)
    await lib.store.upkeep.forget_changes(keep=5)
    assert await Library(lib.store, far).found(29)
    assert not await Library(lib.store, far).found(0)


async def test_many_writers_and_searches_at_once(lib: Library) -> None:
    async def client(first: int) -> None:
        for number in range(first, first + 25):
            await lib.enroll(number, user=f"u{number % 11}")
            assert await lib.found(number)
            if number % 4 == 0:
                removed = await lib.store.delete_face(APP, "g", f"u{number % 11}", face(number).token)
                await lib.registry.applied(removed.write)
                assert not await lib.found(number)

    await asyncio.gather(*(client(100 * n) for n in range(12)))
    (gallery,) = lib.registry.galleries
    rows = await rows_of(lib.store)
    _, face_ids, user_ids = gallery.copy()
    assert sorted(face_ids.tolist()) == [row.id for row in rows]
    people = await lib.store.users_by_id(sorted(set(user_ids.tolist())))
    owner = {
        face_id: people[user_id].name for face_id, user_id in zip(face_ids.tolist(), user_ids.tolist(), strict=True)
    }
    assert owner == {row.id: row.user for row in rows}


async def test_writes_go_on_while_a_gallery_loads(lib: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        await lib.enroll(number, group="slow")
        await lib.enroll(number, group="quick")
    assert await lib.found(1, "quick")
    has_read, may_end = asyncio.Event(), asyncio.Event()
    read_rows = lib.store.index_rows.gallery

    async def slow(*arguments: Any) -> Any:
        loaded = await read_rows(*arguments)
        has_read.set()
        await may_end.wait()
        return loaded

    monkeypatch.setattr(lib.store.index_rows, "gallery", slow)
    searches = [asyncio.create_task(lib.found(number, "slow")) for number in (1, 2)]
    await has_read.wait()
    async with asyncio.timeout(10):
        await lib.enroll(7, group="slow")
        await lib.registry.applied((await lib.store.delete_user(APP, "slow", "u3")).write)
        await lib.enroll(8, group="quick")
        assert await lib.found(8, "quick")
    assert not any(task.done() for task in searches)
    may_end.set()
    assert await asyncio.gather(*searches) == [True, True]
    assert [await lib.found(number, "slow") for number in (3, 4, 7)] == [False, True, True]


# Snapshots


@pytest.fixture
def small_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_server.index.registry.WORTH_IT", 1)


async def state(index: Registry, lib: Library) -> list[tuple[int, int, bytes]]:
    await index.search(await lib.store.groups(APP, ["g"]), vector(1)[None], 1)
    (gallery,) = index.galleries
    rows = zip(*gallery.copy(), strict=True)
    return sorted((int(face_id), int(user_id), template.tobytes()) for template, face_id, user_id in rows)


async def from_rows(lib: Library, folder: Path) -> list[tuple[int, int, bytes]]:
    return await state(registry(lib.store, folder / "nowhere"), lib)


@pytest.mark.usefixtures("small_snapshots")
async def test_snapshot_is_completed_from_the_feed(
    lib: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        await lib.enroll(number)
    await lib.search(1)
    await lib.registry.save()
    await lib.enroll(30)
    await lib.enroll(31, user="u1", mode=Mode.REPLACE)
    await lib.store.delete_user(APP, "g", "u2")
    expected = await from_rows(lib, tmp_path)
    later = registry(lib.store, tmp_path)
    monkeypatch.setattr(later._rows, "gallery", lambda *_: pytest.fail("read from the rows"))
    assert await state(later, lib) == expected


def flip_a_byte(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 0xFF
    path.write_bytes(data)


def into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "first byte": lambda path: flip_a_byte(path, 0),
    "head": lambda path: flip_a_byte(path, 0.02),
    "middle": lambda path: flip_a_byte(path, 0.5),
    "last byte": lambda path: flip_a_byte(path, 1),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "gone": lambda path: path.unlink(),
    "a folder": into_a_folder,
    "noise": lambda path: path.write_bytes(os.urandom(5000)),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.usefixtures("small_snapshots")
async def test_damaged_snapshot_is_ignored(lib: Library, tmp_path: Path, damage: str) -> None:
    for number in range(30):
        await lib.enroll(number)
    expected = await state(lib.registry, lib)
    await lib.registry.save()
    (path,) = (tmp_path / "galleries").iterdir()
    DAMAGE[damage](path)
    assert await state(registry(lib.store, tmp_path), lib) == expected


@pytest.mark.usefixtures("small_snapshots")
async def test_snapshot_of_another_model_or_too_old_or_from_the_future_is_ignored(lib: Library, tmp_path: Path) -> None:
    for number in range(30):
        await lib.enroll(number)
    await lib.search(1)
    await lib.registry.save()
    (path,) = (tmp_path / "galleries").iterdir()
    saved = path.read_bytes()
    for older, newer in ((b"model-a", b"model-z"), (b'"seq": 30', b'"seq": 99'), (b'"seq": 30', b'"seq":  2')):
        path.write_bytes(saved.replace(older, newer))
        assert len(await state(registry(lib.store, tmp_path), lib)) == 30
    path.write_bytes(saved)
    for number in range(30, 40):
        await lib.enroll(number)
    await lib.store.upkeep.forget_changes(keep=3)
    assert len(await state(registry(lib.store, tmp_path), lib)) == 40


@pytest.mark.usefixtures("small_snapshots")
async def test_snapshot_that_belongs_to_another_database_is_ignored(lib: Library, tmp_path: Path) -> None:
    """As after restoring a backup: the numbers fit, the rows do not."""
    for number in range(30):
        await lib.enroll(number)
    await lib.search(1)
    await lib.registry.save()
    await lib.store._database.write(lambda rows: rows.execute(sa.delete(faces).where(faces.c.token == face(7).token)))
    restored = Library(lib.store, registry(lib.store, tmp_path))
    assert [await restored.found(number) for number in (6, 7, 8)] == [True, False, True]


@pytest.mark.usefixtures("small_snapshots")
async def test_snapshots_follow_changes_and_deletions(lib: Library, tmp_path: Path) -> None:
    folder = tmp_path / "galleries"
    for number in range(5):
        await lib.enroll(number)
    await lib.search(1)
    await lib.registry.save()
    (path,) = folder.iterdir()
    written = path.stat().st_mtime_ns
    await lib.registry.save()
    restarted = registry(lib.store, tmp_path)
    assert len(await state(restarted, lib)) == 5
    await restarted.save()
    assert path.stat().st_mtime_ns == written, "nothing has changed"
    await lib.enroll(5)
    await lib.registry.save()
    assert path.stat().st_mtime_ns > written
    await lib.registry.applied((await lib.store.delete_group(APP, "g")).write)
    assert list(folder.iterdir()) == []
    for left_by_a_crash in (path, path.with_suffix(".new")):
        left_by_a_crash.write_bytes(b"templates")
    await lib.registry.save()
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("small_snapshots")
async def test_full_disk_costs_only_the_snapshot(lib: Library, tmp_path: Path) -> None:
    for number in range(30):
        await lib.enroll(number)
    await lib.search(1)
    with full_disk(100):
        await lib.registry.save()
    assert list((tmp_path / "galleries").iterdir()) == []
    await lib.registry.save()
    assert len(list((tmp_path / "galleries").iterdir())) == 1


async def test_vectors_come_back_exactly(lib: Library, tmp_path: Path) -> None:
    """Half precision is what is stored, so a gallery from rows, from writes and from a snapshot is the same."""
    for number in range(1100):
        await lib.store.enroll(APP, "g", f"u{number}", face(number), "model-a")
    expected = await state(lib.registry, lib)
    await lib.registry.save()
    assert list((tmp_path / "galleries").iterdir()), "large enough without help"
    assert await state(registry(lib.store, tmp_path), lib) == expected
    rows = np.stack([np.frombuffer(template, np.float16) for _, _, template in expected])
    assert np.array_equal(rows.astype(np.float32), np.stack([vector(number) for number in range(1100)]))


async def test_what_is_gone_leaves_between_changes_never_among_them(lib: Library) -> None:
    """Changes are applied by a thread that counts on the galleries it has found."""
    await lib.enroll(1)
    assert await lib.found(1)
    (app,) = lib.registry._apps.values()
    (gallery,) = lib.registry.galleries
    await lib.store.delete_group(APP, "g")  # as another process would: this registry does not hear of it
    async with app.lock:
        dropping = asyncio.create_task(lib.registry.drop_gone())
        await asyncio.wait([dropping], timeout=0.3)
        assert lib.registry.galleries == [gallery]
    await dropping
    assert lib.registry.galleries == []


async def test_a_gallery_that_left_while_others_were_saved_is_not_saved_as_of_now(
    lib: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not follow any more: its snapshot would hide what came since."""
    monkeypatch.setattr("face_server.index.registry.WORTH_IT", 0)
    for number, group in ((1, "first"), (2, "g")):
        await lib.enroll(number, group)
        assert await lib.found(number, group)
    (app,) = lib.registry._apps.values()
    second = lib.registry.galleries[1]
    save = lib.registry._shelf.save

    def saving(gallery: Any, seq: int) -> bool:
        if gallery is not second:  # the second one is evicted, and its group changes
            asyncio.run_coroutine_threadsafe(change(), loop).result()
        return save(gallery, seq)

    async def change() -> None:
        app.galleries.pop(second.group_id)
        removed = await lib.store.delete_face(APP, "g", "u2", face(2).token)
        await lib.registry.applied(removed.write)
        await lib.enroll(3)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(lib.registry._shelf, "save", saving)
    await lib.registry.save()
    assert not await lib.found(2)
    assert await lib.found(3)
