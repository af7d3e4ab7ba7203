"""Pictures that outlive their faces and faces in several groups, as rows: in SQLite and in Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from face_server.errors import FaceExists, FaceMissing, GroupInUse, PictureMissing, TitleTaken, TooManyGroups
from face_server.store import pictures
from face_server.store.bindings import Parting
from face_server.store.pictures import NewPicture
from face_server.store.rows import Mode
from face_server.store.store import Store
from face_server.store.work import DONE
from tests.small_library import APP, MODEL, face, open_store, token


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    store = await open_store(place)
    for group in ("a", "b"):
        await store.bindings.add_group(APP, group, {}, "title", 64)
    yield store
    await store.close()


def new(number: int, name: str = "") -> NewPicture:
    like = face(number)
    return NewPicture(
        name=name or f"name {number}",
        original=f"original {number}",
        cut=f"cut {number}",
        token=like.token,
        person=f"person {number}",
        info="",
        spot=like.spot,
        template=like.template,
        embedding_id=MODEL,
        meta={},
    )


async def bound(store: Store, number: int, *groups: str) -> None:
    await store.pictures.add(APP, new(number))
    _, refused = await store.bindings.bind(APP, token(number), groups, MODEL, None)
    assert refused == []


async def groups_of(store: Store, number: int) -> tuple[str, ...] | None:
    found = await store.bindings.bound(APP, token(number))
    return None if found is None else found.groups


async def counts(store: Store) -> list[tuple[int, int]]:
    """Users and faces of every group."""
    found = [await store.count(group) for group in await store.list_groups(APP)]
    return [(count.users, count.faces) for count in found]


async def test_one_name_one_picture(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.pictures.add(APP, new(number, "same")) for number in range(8)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["FaceExists"] * 7 + ["tuple"]
    (row,) = (await store.pictures.page(APP, 0, 9))[1]
    assert (await store.pictures.end_face(APP, row.token)).pictures == [row.cut]
    number, removed = await store.pictures.add(APP, new(9, "same"))
    assert (number, removed.pictures) == (row.id, [row.original])
    with pytest.raises(FaceExists):
        await store.pictures.add(APP, new(10, "same"))
    assert (await store.pictures.remove(APP, "same")).pictures == ["cut 9", "original 9"]
    with pytest.raises(PictureMissing):
        await store.pictures.remove(APP, "same")
    for unknown in (token(9), ""):
        with pytest.raises(FaceMissing):
            await store.pictures.end_face(APP, unknown)


async def test_an_original_stays_while_a_row_names_it(store: Store) -> None:
    await bound(store, 1, "a", "b")
    assert await store.picture_keys() == {"original 1", "cut 1"}
    removed, refused = await store.bindings.unbind(APP, token(1), ["a", "a"])
    assert (removed.pictures, [type(error) for _, error in refused]) == ([], [FaceMissing])
    assert (await store.delete_group(APP, "b")).pictures == []
    assert await store.picture_keys() == {"original 1", "cut 1"}
    assert await groups_of(store, 1) == ()
    assert await counts(store) == [(0, 0)]
    assert set((await store.pictures.remove(APP, "name 1")).pictures) == {"original 1", "cut 1"}
    assert await store.picture_keys() == set()


async def test_a_refused_group_takes_nothing_of_the_others(store: Store) -> None:
    await store.pictures.add(APP, new(1))
    _, refused = await store.bindings.bind(APP, token(1), ["none", "b", "a", "b"], MODEL, None)
    assert [name for name, _ in refused] == ["none"]
    assert await groups_of(store, 1) == ("a", "b")
    assert await counts(store) == [(1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("parting", "both", "only", "left"),
    [
        (Parting.KEEP, ("b",), (), 12),
        (Parting.END, None, None, 12),
        (Parting.EMPTY, ("b",), None, 12),
        (Parting.ERASE, ("b",), None, 1),
    ],
)
async def test_deleting_a_group_of_many(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    parting: Parting,
    both: tuple[str, ...] | None,
    only: tuple[str, ...] | None,
    left: int,
) -> None:
    """More faces than one statement takes; the first of them is in the other group as well."""
    monkeypatch.setattr(pictures, "PART", 5)
    for number in range(12):
        await bound(store, number, "a")
    await store.bindings.bind(APP, token(0), ["b"], MODEL, None)
    removed = await store.bindings.delete_group(APP, "a", parting)
    assert (await groups_of(store, 0), await groups_of(store, 11)) == (both, only)
    assert (await store.pictures.page(APP, 0, 1))[0] == left
    ended = {Parting.KEEP: 0, Parting.END: 12, Parting.EMPTY: 11, Parting.ERASE: 2 * 11}[parting]
    assert len(set(removed.pictures)) == len(removed.pictures) == ended
    alone = (0, 0) if parting is Parting.END else (1, 1)
    assert await counts(store) == ([(0, 0), alone] if parting is Parting.EMPTY else [alone])
    changed = await store.index_rows.changes(removed.write.app_id, removed.write.seq - 1)
    assert changed is not None
    assert {change.kind for change in changed.changes} == ({"remove"} if parting is Parting.EMPTY else (
        {"drop"} if parting is Parting.KEEP else {"remove", "drop"}
    ))  # fmt: skip


async def test_a_large_group_is_cleared_afterwards(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_server.store.removing.AT_ONCE", 1)
    for number in range(3):
        await bound(store, number, "a")
    await store.bindings.delete_group(APP, "a", Parting.KEEP)
    assert await groups_of(store, 1) == ()  # gone at once for callers
    ((app, group_id),) = await store.upkeep.deleting_groups()
    assert await store.upkeep.purge(app, group_id) == (True, [])  # the pictures are still named


async def test_clearing_takes_everything_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "PART", 5)
    for number in range(8):
        await store.pictures.add(APP, new(number))
    await store.bindings.bind(APP, token(1), ["a", "b"], MODEL, None)
    await store.enroll(APP, "b", "u", face(1000, "elsewhere"), MODEL, mode=Mode.APPEND)
    keys: set[str] = set()
    more, steps = True, 0
    while more:
        more, removed = await store.pictures.clear_part(APP)
        keys |= set(removed.pictures)
        steps += 1
    assert steps == 3
    assert len(keys) == 2 * 8 + 1
    assert await counts(store) == [(0, 0), (0, 0)]
    assert await store.picture_keys() == set()


async def test_pages_of_a_group_are_in_the_order_of_the_pictures(store: Store) -> None:
    await store.enroll(APP, "a", "u", face(50), MODEL)
    for number in (1, 2, 3):
        await store.pictures.add(APP, new(number))
    for number in (3, 1, 2):
        await store.bindings.bind(APP, token(number), ["a"], MODEL, None)
    (group,) = await store.groups(APP, ["a"])
    total, faces = await store.bindings.page(APP, group.id, 0, 10)
    assert (total, [one.token for one in faces]) == (4, [token(n) for n in (1, 2, 3, 50)])
    assert [one.token for one in (await store.bindings.page(APP, group.id, 2, 1))[1]] == [token(3)]


async def test_titles_and_limits_of_groups(store: Store) -> None:
    await store.bindings.change_group(APP, "a", {"title": "A", "more": 1}, "title")
    with pytest.raises(TitleTaken):
        await store.bindings.add_group(APP, "c", {"title": "A"}, "title", 64)
    with pytest.raises(TitleTaken):
        await store.bindings.change_group(APP, "b", {"title": "A"}, "title")
    with pytest.raises(TooManyGroups):
        await store.bindings.add_group(APP, "c", {}, "title", 2)
    await store.bindings.change_group(APP, "a", {"title": "A", "third": 2}, "title")
    (group,) = await store.groups(APP, ["a"])
    assert group.meta == {"title": "A", "more": 1, "third": 2}


async def test_the_first_group_is_made_once(store: Store) -> None:
    begun = await asyncio.gather(*(store.pictures.begin("new app", "first") for _ in range(5)))
    assert any(begun)
    assert [group.name for group in await store.list_groups("new app")] == ["first"]
    await store.bindings.delete_group("new app", "first", Parting.KEEP)
    assert await store.pictures.begin("new app", "first") is None
    assert await store.list_groups("new app") == []


async def test_a_group_with_a_job_is_in_use(store: Store) -> None:
    job = await store.jobs.add("duplicates", {"app": APP, "group": "a"}, 0.0, "somebody")
    with pytest.raises(GroupInUse):
        await store.bindings.delete_group(APP, "a", Parting.KEEP)
    await store.bindings.delete_group(APP, "b", Parting.KEEP)
    await store.jobs.change(job, state=DONE)
    await store.bindings.delete_group(APP, "a", Parting.KEEP)
