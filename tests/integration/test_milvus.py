"""Galleries in Milvus pass the tests of all galleries, here in Milvus Lite."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from face_server.index.protocol import Ids, Vectors
from face_server.index.registry import Registry
from face_server.store.rows import Mode
from tests.gallery_oracle import AnyHistory, Oracle, gallery_of
from tests.small_library import APP, DIMENSIONS, MODEL, Library, library, scan, vector

pytest.importorskip("milvus_lite", reason="the extra `milvus` is not installed")
pymilvus = pytest.importorskip("pymilvus", reason="the extra `milvus` is not installed")

from face_server.index.milvus import MilvusShelf  # noqa: E402


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = pymilvus.MilvusClient(str(tmp_path_factory.mktemp("milvus") / "faces.db"))
    yield opened
    opened.close()


def shelf(client: Any, model: str = MODEL) -> MilvusShelf:
    return MilvusShelf(client, model, DIMENSIONS, "FLAT", 4)


def test_whatever_happens_gallery_and_oracle_find_the_same(client: Any) -> None:
    one = shelf(client, "history")

    def make(group_id: int, vectors: Vectors, face_ids: Ids, user_ids: Ids) -> Any:
        return one.make(group_id, 0, vectors, face_ids, user_ids)

    machine = type("History", (AnyHistory,), {"make": staticmethod(make)})
    slow = settings(max_examples=4, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=slow)


def test_users_with_many_near_faces_do_not_push_others_out(client: Any) -> None:
    one = shelf(client, "crowd")
    gallery: Any = gallery_of(lambda group_id, *rows: one.make(group_id, 0, *rows), range(300))
    near = np.stack([vector(5000) + 0.05 * vector(face) for face in range(3000, 3100)])
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    gallery.put_all(np.arange(3000, 3100), np.full(100, 99_999), near)
    for limit in (1, 3, 20):
        (found,) = gallery.search(vector(5000)[None], limit)
        Oracle(gallery).check(found, vector(5000), limit, None)


def test_groups_and_models_keep_apart(client: Any) -> None:
    rows = vector(1)[None], np.array([1]), np.array([1])
    one = shelf(client, "apart")
    mine, other = one.make(1, 0, *rows), one.make(2, 0, vector(2)[None], np.array([2]), np.array([2]))
    assert [hit.face_id for hit in mine.search(vector(2)[None], 5)[0]] == [1]
    assert len(shelf(client, "apart too").make(1, 0, vector(3)[None], np.array([3]), np.array([3]))) == 1
    one.remove(1)
    mine.recount()
    assert (len(mine), len(other)) == (0, 1)
    assert [hit.face_id for hit in other.search(vector(2)[None], 5)[0]] == [2]


@pytest.fixture
async def lib(tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Library]:
    monkeypatch.setattr("face_server.index.registry.WORTH_IT", 1)
    async with library(tmp_path) as opened:
        await opened.registry.close()
        one = shelf(client)
        one.keep_only(())
        one.remove(1)
        opened.registry = Registry(opened.store.index_rows, scan, DIMENSIONS, one)
        yield opened
        await opened.registry.close()


async def test_registry_is_in_step_after_writes_restarts_and_beside_another_server(lib: Library, client: Any) -> None:
    far = Library(lib.store, Registry(lib.store.index_rows, scan, DIMENSIONS, shelf(client)))
    for number in range(12):
        here, there = (lib, far) if number % 2 else (far, lib)
        await here.enroll(number)
        assert await there.found(number)
    await lib.enroll(50, user="u3", mode=Mode.REPLACE)
    await lib.registry.applied((await lib.store.delete_user(APP, "g", "u4")).write)
    assert [await far.found(number) for number in (3, 4, 5, 50)] == [False, False, True, True]
    await lib.registry.save()
    await far.enroll(60)
    again = Registry(lib.store.index_rows, scan, DIMENSIONS, shelf(client))
    again._from_rows = lambda group: pytest.fail("read from the rows")  # type: ignore[method-assign]
    later = Library(lib.store, again)
    assert [await later.found(number) for number in (4, 5, 60)] == [False, True, True]
    for one in (far.registry, again):
        await one.close()


async def test_group_that_is_gone_leaves_nothing(lib: Library, client: Any) -> None:
    await lib.enroll(1)
    assert await lib.found(1)
    (gallery,) = lib.registry.galleries
    await lib.registry.applied((await lib.store.delete_group(APP, "g")).write)
    assert gallery.copy()[1].tolist() == []
