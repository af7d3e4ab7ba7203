"""The library's rows: what each write does, what it refuses, and that a refused one leaves nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from face_server.errors import (
    FaceError,
    FaceExists,
    FaceMissing,
    GroupDeleting,
    GroupExists,
    GroupMissing,
    OtherModel,
    StoreFailed,
    TargetGroupMissing,
    TooManyFaces,
    UserExists,
    UserMissing,
)
from face_server.store import migrate, removing
from face_server.store.rows import Enrolled, Mode
from face_server.store.schema import metadata
from face_server.store.store import Store
from tests.small_library import APP, MODEL, face, full_disk, open_store, rows_of, token


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    store = await open_store(place)
    yield store
    await store.close()


async def enroll(store: Store, number: int, user: str = "u", group: str = "g", **more: Any) -> Enrolled:
    return await store.enroll(APP, group, user, face(number), **({"embedding_id": MODEL} | more))


async def tokens(store: Store, user: str = "u", group: str = "g") -> list[str]:
    return [row.token for row in await store.list_faces(APP, group, user)]


async def contents(store: Store) -> list[Any]:
    """Every row there is, the feed and the numbers too."""

    def all_rows(connection: sa.Connection) -> list[Any]:
        return [list(connection.execute(sa.select(table))) for table in metadata.sorted_tables]

    return await store._database.read(all_rows)


# Enrolling


async def test_enrolling_makes_app_group_and_user_on_the_way(store: Store) -> None:
    done = await enroll(store, 1, info="tall")
    (user,) = await store.get_user(APP, "g", "u")
    row = await store.face_by_id(APP, done.face_id)
    assert (user.info, await store.apps()) == ("tall", ["default", APP])
    assert row is not None
    assert (row.token, row.group, row.user, row.template) == (token(1), "g", "u", face(1).template)
    assert row == await store.face_by_token(APP, token(1))


@pytest.mark.parametrize(
    ("mode", "left"),
    [
        (Mode.APPEND, [1, 2, 3]),
        (Mode.REPLACE, [3]),
        (Mode.UPDATE, [3]),
        (Mode.UPDATE_OR_CREATE, [3]),
    ],
)
async def test_mode_decides_about_the_faces_that_are_there(store: Store, mode: Mode, left: list[int]) -> None:
    await enroll(store, 1)
    await enroll(store, 2)
    await enroll(store, 9, user="other")
    await enroll(store, 3, mode=mode)
    assert await tokens(store) == [token(number) for number in left]
    assert await tokens(store, "other") == [token(9)]


@pytest.mark.parametrize(
    ("mode", "group", "user"),
    [
        (Mode.APPEND, None, None),
        (Mode.REPLACE, None, None),
        (Mode.UPDATE, GroupMissing, UserMissing),
        (Mode.UPDATE_OR_CREATE, GroupMissing, None),
    ],
)
async def test_mode_decides_what_must_be_there(
    store: Store, mode: Mode, group: type[FaceError] | None, user: type[FaceError] | None
) -> None:
    await enroll(store, 1)
    for number, error, place in ((2, group, {"group": "new"}), (3, user, {"user": "new"})):
        if error is None:
            await enroll(store, number, mode=mode, **place)
            assert await store.face_by_token(APP, token(number))
        else:
            with pytest.raises(error):
                await enroll(store, number, mode=mode, **place)


async def test_info_replaces_and_none_leaves(store: Store) -> None:
    seen = []
    for number, info in enumerate(("first", None, "", None)):
        await enroll(store, number, info=info)
        seen.append((await store.get_user(APP, "g", "u"))[0].info)
    assert seen == ["first", "first", "", ""]


async def test_replacing_a_face_by_itself(store: Store) -> None:
    first = await store.enroll(APP, "g", "u", face(1, picture="old"), MODEL)
    again = await store.enroll(APP, "g", "u", face(1, picture="new"), MODEL, mode=Mode.REPLACE)
    assert await tokens(store) == [token(1)]
    assert again.face_id > first.face_id
    assert again.dropped_pictures == ("old",)


# Refusals


async def _delete_half(store: Store) -> None:
    removing.AT_ONCE, most = 0, removing.AT_ONCE
    try:
        await store.delete_group(APP, "big")
    finally:
        removing.AT_ONCE = most


REFUSED: list[tuple[str, type[FaceError], Callable[[Store], Awaitable[Any]]]] = [
    ("same face, other user", FaceExists, lambda s: enroll(s, 1, user="v")),
    ("same face, new user", FaceExists, lambda s: enroll(s, 1, user="new")),
    ("one face too many", TooManyFaces, lambda s: enroll(s, 5, faces_per_user=2)),
    ("another model", OtherModel, lambda s: enroll(s, 5, embedding_id="model-b")),
    ("another model, new user and group", OtherModel, lambda s: enroll(s, 5, "x", "y", embedding_id="model-b")),
    ("group in deletion", GroupDeleting, lambda s: enroll(s, 5, group="big")),
    ("group twice", GroupExists, lambda s: s.add_group(APP, "g")),
    ("group in deletion made anew", GroupDeleting, lambda s: s.add_group(APP, "big")),
    ("delete no group", GroupMissing, lambda s: s.delete_group(APP, "none")),
    ("delete in no app", GroupMissing, lambda s: s.delete_group("none", "g")),
    ("delete group twice", GroupDeleting, lambda s: s.delete_group(APP, "big")),
    ("delete face, no group", GroupMissing, lambda s: s.delete_face(APP, "none", "u", token(1))),
    ("delete face, no user", UserMissing, lambda s: s.delete_face(APP, "g", "none", token(1))),
    ("delete face of another user", FaceMissing, lambda s: s.delete_face(APP, "g", "v", token(1))),
    ("delete face by number", FaceMissing, lambda s: s.delete_face_by_id(APP, 999)),
    ("delete face of another app", FaceMissing, lambda s: s.delete_face_by_id("other", 1)),
    ("delete face in a deleted group", FaceMissing, lambda s: s.delete_face_by_id(APP, 5)),
    ("delete no user", UserMissing, lambda s: s.delete_user(APP, "g", "none")),
    ("delete no user anywhere", UserMissing, lambda s: s.delete_user(APP, None, "none")),
    ("copy from no group", GroupMissing, lambda s: s.copy_user(APP, "u", "none", "h")),
    ("copy to no group", TargetGroupMissing, lambda s: s.copy_user(APP, "u", "g", "none")),
    ("copy to a deleted group", GroupDeleting, lambda s: s.copy_user(APP, "u", "g", "big")),
    ("copy no user", UserMissing, lambda s: s.copy_user(APP, "none", "g", "h")),
    ("copy over a user", UserExists, lambda s: s.copy_user(APP, "v", "g", "h")),
    ("copy a face that is there", FaceExists, lambda s: s.copy_user(APP, "u", "g", "h")),
]


@pytest.mark.parametrize(("error", "attempt"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_refusal_leaves_nothing(
    store: Store, error: type[FaceError], attempt: Callable[[Store], Awaitable[Any]]
) -> None:
    for number, user, group in ((1, "u", "g"), (2, "u", "g"), (3, "v", "g"), (1, "v", "h"), (4, "u", "big")):
        await enroll(store, number, user, group)
    await store.add_group("other", "g")
    await _delete_half(store)
    before = await contents(store)
    with pytest.raises(error):
        await attempt(store)
    assert await contents(store) == before


async def test_full_disk_leaves_nothing_and_heals(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await enroll(store, 1)
    before = await contents(store)
    with full_disk((tmp_path / "faces.db-wal").stat().st_size):
        results = await asyncio.gather(*(enroll(store, n) for n in range(2, 6)), return_exceptions=True)
    assert [type(result) for result in results] == [StoreFailed] * 4
    assert await contents(store) == before
    await enroll(store, 2)
    assert await tokens(store) == [token(1), token(2)]
    await store.close()


async def test_one_refused_write_does_not_harm_those_it_shares_a_commit_with(store: Store) -> None:
    await enroll(store, 0)
    work = [enroll(store, number % 20, user=f"u{number}") for number in range(1, 40)]
    results = await asyncio.gather(*work, return_exceptions=True)
    refused = [type(result) for result in results if isinstance(result, Exception)]
    assert refused == [FaceExists] * 20
    assert sorted(row.token for row in await rows_of(store)) == [token(number) for number in range(20)]
    seqs = sorted(result.write.seq for result in results if isinstance(result, Enrolled))
    assert seqs == list(range(2, 21)), "refused writes take no number"


async def test_a_write_whose_caller_has_gone_is_seen_through(store: Store) -> None:
    task = asyncio.create_task(enroll(store, 1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await enroll(store, 2)
    assert await tokens(store) == [token(1), token(2)]


# Removing, copying


async def test_last_face_takes_its_user_along(store: Store) -> None:
    await enroll(store, 1)
    last = await enroll(store, 2)
    await store.delete_face(APP, "g", "u", token(1))
    assert await tokens(store) == [token(2)]
    await store.delete_face_by_id(APP, last.face_id)
    with pytest.raises(UserMissing):
        await store.get_user(APP, "g", "u")


async def test_user_is_deleted_from_one_group_or_all(store: Store) -> None:
    for number, group in enumerate(("g", "h", "i")):
        await enroll(store, number, group=group)
    await store.delete_user(APP, "h", "u")
    assert [user.group for user in await store.get_user(APP, None, "u")] == ["g", "i"]
    removed = await store.delete_user(APP, None, "u")
    assert len(removed.write.changes) == 2
    with pytest.raises(UserMissing):
        await store.get_user(APP, None, "u")


async def test_copy_keeps_tokens_info_and_the_picture_until_the_last_copy_goes(store: Store) -> None:
    await store.enroll(APP, "g", "u", face(1, picture="p", name="Ann"), MODEL, info="tall")
    await store.add_group(APP, "h")
    await store.copy_user(APP, "u", "g", "h")
    (copy,) = await store.list_faces(APP, "h", "u")
    assert (copy.token, copy.picture, copy.meta) == (token(1), "p", {"name": "Ann"})
    assert (await store.get_user(APP, "h", "u"))[0].info == "tall"
    assert (await store.delete_user(APP, "g", "u")).pictures == []
    assert (await store.delete_group(APP, "h")).pictures == ["p"]


async def test_large_group_is_gone_at_once_and_cleared_in_parts(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "AT_ONCE", 10)
    monkeypatch.setattr("face_server.store.upkeep.PART", 8)
    first = await open_store(place)
    for number in range(20):
        await first.enroll(APP, "g", f"u{number}", face(number, picture=f"p{number}"), MODEL)
    assert (await first.delete_group(APP, "g")).pictures == []
    assert (await first.count_groups(APP), await first.face_by_token(APP, token(1))) == (0, None)
    ((_, group_id),) = await first.upkeep.deleting_groups()
    done, pictures = await first.upkeep.purge(APP, group_id)
    assert (done, len(pictures)) == (False, 8)
    await first.close()

    second = await open_store(place)  # the purge goes on after a restart
    assert await second.upkeep.deleting_groups() == [(APP, group_id)]
    with pytest.raises(GroupDeleting):
        await enroll(second, 1)
    while not done:
        done, more = await second.upkeep.purge(APP, group_id)
        pictures += more
    assert sorted(pictures) == sorted(f"p{number}" for number in range(20))
    assert await second.upkeep.deleting_groups() == []
    await enroll(second, 1)
    assert (await second.groups(APP, ["g"]))[0].id != group_id
    await second.close()


# Models, pages, words, feed


async def test_app_without_faces_may_take_another_model(store: Store) -> None:
    await enroll(store, 1)
    with pytest.raises(OtherModel):
        await enroll(store, 2, embedding_id="model-b")
    await store.delete_user(APP, "g", "u")
    await enroll(store, 2, embedding_id="model-b")
    assert (await store.groups(APP, ["g"]))[0].embedding_id == "model-b"


async def test_pages_are_stable(store: Store) -> None:
    for number in range(10):
        await enroll(store, number, user=f"u{9 - number}", group="ab"[number % 2])
    assert [user.name for user in await store.list_users(APP, "a", 1, 3)] == ["u7", "u5", "u3"]
    assert [group.name for group in await store.list_groups(APP, 1, 5)] == ["b"]
    (group,) = await store.groups(APP, ["b"])
    first = await store.faces_after(group, 0, 3)
    rest = await store.faces_after(group, first[-1].id, 3)
    assert [row.token for row in (*first, *rest)] == [token(number) for number in (1, 3, 5, 7, 9)]
    assert await store.faces_after(group, rest[-1].id, 3) == []


async def test_counts_and_words_of_a_group(store: Store) -> None:
    await store.add_group(APP, "g", {"type": 2})
    await enroll(store, 1)
    done = await store.enroll(APP, "g", "u", face(2, name="安"), MODEL)
    (group,) = await store.groups(APP, ["g"])
    count = await store.count(group)
    assert (count.users, count.faces, group.meta) == (1, 2, {"type": 2})
    assert count.created <= count.updated
    row = await store.face_by_id(APP, done.face_id)
    assert row is not None
    assert row.meta == {"name": "安"}


async def test_apps_do_not_see_each_other(store: Store) -> None:
    done = await enroll(store, 1)
    await store.enroll("other", "g", "u", face(1), "model-b")
    assert await store.face_by_id("other", done.face_id) is None
    await store.delete_group("other", "g")
    assert await tokens(store) == [token(1)]


async def test_feed_tells_what_a_write_itself_tells(store: Store) -> None:
    writes = [(await enroll(store, number)).write for number in range(3)]
    writes.append((await store.delete_face(APP, "g", "u", token(2))).write)
    writes.append((await store.delete_group(APP, "g")).write)
    feed = await store.index_rows.changes(writes[0].app_id, 0)
    assert feed is not None
    assert [(c.seq, c.kind, c.face_id) for c in feed.changes] == [
        (c.seq, c.kind, c.face_id) for write in writes for c in write.changes
    ]
    assert feed.seq == writes[-1].seq == 5
    assert all(change.template is None for change in feed.changes), "nothing of them is left"


async def test_forgotten_feed_says_so(store: Store) -> None:
    app_id = (await enroll(store, 0)).write.app_id
    for number in range(1, 10):
        await enroll(store, number)
    await store.upkeep.forget_changes(keep=4)
    assert await store.index_rows.changes(app_id, 5) is None
    assert await store.index_rows.changes(app_id, 11) is None, "a number that is yet to come"
    feed = await store.index_rows.changes(app_id, 6)
    assert feed is not None
    assert [change.seq for change in feed.changes] == [7, 8, 9, 10]


# Opening


async def test_migrations_make_the_schema_that_the_code_uses(store: Store) -> None:
    def differences(connection: sa.Connection) -> list[Any]:
        options = {"include_name": lambda name, *_: name != "commits"}  # of Postgres alone
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    assert await store._database.read(differences) == []


async def test_opening_again_needs_no_migration(
    store: Store, place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enroll(store, 1)
    monkeypatch.setattr("alembic.command.upgrade", lambda *_: pytest.fail("nothing to migrate"))
    if isinstance(place, Path):
        assert migrate.current(place / "faces.db") == migrate.head()
    again = await open_store(place)
    assert await tokens(again) == [token(1)]
    await again.close()
