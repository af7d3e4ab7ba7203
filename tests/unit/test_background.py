"""Work in the background takes a lane only while no request wants one; faces of another model are not searched."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from face_server.engine.lanes import Lanes
from face_server.errors import Busy, OtherModel
from face_server.request import background
from face_server.store.renewing import Renewed
from face_server.store.rows import NewFace
from face_server.store.store import Store
from tests.small_library import token

OLD, NEW = "0" * 16, "1" * 16


async def test_requests_come_before_the_background() -> None:
    lanes = Lanes(1, queue_bytes=10, queue_length=2)
    lanes.start()
    gate, entered, order = threading.Event(), threading.Event(), list[str]()

    def hold() -> None:
        entered.set()
        assert gate.wait(10)

    async def submit(name: str, behind: bool, size: int = 0) -> None:
        background.set(behind)
        await lanes.submit(lambda: order.append(name), size=size)

    first = asyncio.create_task(lanes.submit(hold))
    await asyncio.to_thread(entered.wait, 5)
    behind = [asyncio.create_task(submit(f"behind {n}", True, size=100)) for n in range(5)]
    await asyncio.sleep(0)
    before = [asyncio.create_task(submit(f"request {n}", False)) for n in range(2)]
    await asyncio.sleep(0)
    assert lanes.length == 2, "what waits behind does not count"
    with pytest.raises(Busy):
        await lanes.submit(int)
    gate.set()
    await asyncio.gather(first, *behind, *before)
    assert order == ["request 0", "request 1", *(f"behind {n}" for n in range(5))]
    lanes.close()


async def test_a_stop_ends_what_waits_behind() -> None:
    lanes = Lanes(1, queue_bytes=10)
    background.set(True)
    waiting = asyncio.create_task(lanes.submit(int))
    await asyncio.sleep(0)
    lanes.close()
    with pytest.raises(Busy):
        await waiting


@pytest.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    opened = Store(place / "faces.db" if isinstance(place, Path) else place)
    await opened.open()
    yield opened
    await opened.close()


async def test_only_faces_of_the_model_are_in_its_gallery(store: Store) -> None:
    for number in range(3):
        await store.enroll("a", "g", f"u{number}", NewFace(token(number), b"old" * 2, b"spot"), OLD)
    (group,) = await store.groups("a", ["g"])
    moved = await store.renewing.change_model("a", NEW)
    first, second, _ = await store.faces_after(group, 0, 10, NEW)
    renewed = [Renewed(first, b"new" * 2, b"there"), Renewed(second, b"new" * 2, b"there")]
    await store.delete_face("a", "g", second.user, second.token)
    write, count = await store.renewing.renew("a", NEW, renewed)
    assert count == 1, "a face that was deleted meanwhile stays deleted"
    assert [(change.kind, change.face_id) for change in write.changes] == [("add", first.id)]

    async def gallery(model: str | None) -> list[tuple[int, bytes]]:
        return await store.index_rows.gallery(
            group,
            lambda *given: [(int(i), bytes(t)) for ids, _, data in given[2] for i, t in zip(ids, data, strict=True)],
            model,
        )

    (third,) = await store.faces_after(group, 0, 10, NEW)
    assert await gallery(NEW) == [(first.id, b"new" * 2)]
    assert await gallery(OLD) == [(third.id, b"old" * 2)]
    for model, template in ((NEW, b"new" * 2), (OLD, None)):
        feed = await store.index_rows.changes(write.app_id, moved.seq, group.id, model)
        assert feed is not None
        assert feed.faces == 1
        assert feed.changes[-1].template == template
    assert await store.count_faces([group], NEW) == {group.id: 1}
    with pytest.raises(OtherModel):
        await store.renewing.renew("a", OLD, renewed)
    with pytest.raises(OtherModel):
        await store.enroll("a", "g", "late", NewFace(token(9), b"old" * 2, b"spot"), OLD)
    await store.copy_user("a", third.user, "g", await _other(store))
    assert {row.embedding_id for row in await store.list_faces("a", "h", third.user)} == {OLD}


async def _other(store: Store) -> str:
    await store.add_group("a", "h")
    return "h"
