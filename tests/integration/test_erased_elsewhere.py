"""`face-server purge` erases what lies beside the database and the folder, in Redis and Milvus, and looks there too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from face_server.commands import backup, purge, restore
from face_server.store import in_redis
from face_server.store.scanning import Scanner
from face_server.store.schema import users
from face_server.store.shared_tokens import PREFIX
from face_server.store.store import Store
from tests.redis_server import RedisServer, running
from tests.small_library import APP, DIMENSIONS, MODEL, face, open_store, token, vector

NAME, OTHER = "Annabelle Lee", "Edgar Allan Poe"
USERS = sa.select(users.c.id, users.c.name)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running() as server:
        yield server


async def two_people(folder: Path) -> None:
    """And what an import has noted of one of them."""
    (folder / "imports").mkdir(parents=True)
    store = await open_store(folder)
    await store.enroll(APP, "group-of-both", NAME, face(1), MODEL)
    await store.enroll(APP, "group-of-both", OTHER, face(2), MODEL)
    await store.close()
    (folder / "imports" / "one.journal").write_text(f"{'0' * 32} {token(1)}\n")
    (folder / "imports" / "one.refused.csv").write_text(f"group,user\nstaff,{NAME}\n")


async def erased(folder: Path, *words: str, code: int = 0, **settings: str) -> dict[str, Any]:
    line = ["--app", APP, *words, "--yes", "--json", "--data-dir", str(folder)]
    done = await asyncio.to_thread(CliRunner().invoke, purge.app, line, env=settings)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if done.stdout.startswith("{") else {"said": done.output}


async def test_redis_is_emptied_and_read(redis: RedisServer, tmp_path: Path) -> None:
    await two_people(tmp_path / "data")
    client = redis.client
    client.flushall()
    places: dict[str, Callable[[], object]] = {
        "string": lambda: client.set(f"{PREFIX}:face:0:{token(1)}", b"record"),
        "list": lambda: client.zadd(f"{PREFIX}:list", {face(1).template: 1}),
        "stream": lambda: client.xadd("face:1:0:jobs", {"h": b"header", "p": b"...." + face(1).template}),
        "set": lambda: client.sadd("face:1:0:workers", NAME),
    }
    wanted = Scanner([NAME.encode(), token(1).encode(), face(1).template[:32]])
    for name, put in places.items():
        put()
        assert in_redis.left(redis.url, wanted) == (1, 1), name
        client.flushall()
    for put in places.values():
        put()
    client.set("somebody else's", NAME)
    report = await erased(tmp_path / "data", "--user", NAME, FACE_REDIS_URL=redis.url)
    assert (report["clean"], report["elsewhere"]) == (True, {"Redis": {"read": 0, "found": 0}})
    assert client.keys() == [b"somebody else's"]


async def test_what_cannot_be_reached_is_told_before_anything_is_erased(tmp_path: Path) -> None:
    await two_people(tmp_path / "data")
    report = await erased(tmp_path / "data", "--user", NAME, code=1, FACE_REDIS_URL="redis://127.0.0.1:1/0")
    assert "busy or failing: cache" in report["said"]
    store = Store(tmp_path / "data" / "faces.db")
    await store.open()
    assert [user for user in (NAME, OTHER) if await store.list_faces(APP, "group-of-both", user)] == [NAME, OTHER]
    await store.close()


# Milvus


@pytest.fixture
def milvus() -> Any:
    pytest.importorskip("milvus_lite", reason="the extra `milvus` is not installed")
    pytest.importorskip("pymilvus", reason="the extra `milvus` is not installed")
    from face_server.index import milvus

    return milvus


def files_with(place: Path, number: int) -> list[str]:
    """Single precision, as Milvus keeps it."""
    piece = vector(number).astype(np.float32).tobytes()[:32]
    return [str(path) for path in place.rglob("*") if path.is_file() and piece in path.read_bytes()]


async def galleries(milvus: Any, folder: Path, place: Path) -> Any:
    """Both people, as a server has put them there, in two models; and somebody of another group."""
    store = Store(folder / "faces.db")
    await store.open()
    people = {name: (await store.list_faces(APP, "group-of-both", name))[0] for name in (NAME, OTHER)}
    numbers = {row.name: row.id for row in await store._database.rows(USERS)}
    (group,) = await store.groups(APP, ["group-of-both"])
    await store.close()
    faces, owners = np.array([row.id for row in people.values()]), np.array([numbers[name] for name in people])
    for model in (MODEL, "earlier"):
        shelf = milvus.open_shelf(str(place), "", model, DIMENSIONS)
        shelf.make(group.id, 1, np.stack([vector(1), vector(2)]), faces, owners)
        shelf.make(group.id + 100, 1, vector(3)[None], np.array([10_000]), np.array([10_000]))
    return shelf


@pytest.mark.parametrize("inside", [True, False], ids=["in the data folder", "elsewhere"])
async def test_milvus_lite_keeps_nothing_in_its_files(milvus: Any, tmp_path: Path, inside: bool) -> None:
    folder = tmp_path / "data"
    await two_people(folder)
    place = (folder if inside else tmp_path) / "milvus.db"
    shelf = await galleries(milvus, folder, place)
    shelf._client.flush(shelf._faces)
    assert files_with(place, 1)
    shelf._client.close()
    report = await erased(folder, "--user", NAME, FACE_INDEX="milvus", FACE_MILVUS_URL=str(place))
    assert (report["clean"], report["elsewhere"]["Milvus"]["found"]) == (True, 0)
    assert not files_with(place, 1)


async def test_what_is_left_in_milvus_is_told(milvus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from face_server.index.milvus_traces import MilvusTraces

    monkeypatch.setattr(MilvusTraces, "drop", lambda self: None)
    folder = tmp_path / "data"
    await two_people(folder)
    shelf = await galleries(milvus, folder, folder / "milvus.db")
    shelf._client.close()
    report = await erased(folder, "--user", NAME, code=1, FACE_MILVUS_URL=str(folder / "milvus.db"))
    assert report["elsewhere"]["Milvus"] == {"read": 2, "found": 4}, "by user and by face, in two models"
    assert any("milvus.db" in name for name in report["files_with_pieces"])


async def test_galleries_of_another_history_go_when_a_backup_comes_back(milvus: Any, tmp_path: Path) -> None:
    from face_server.index.milvus_traces import MilvusTraces, Whom

    folder, place = tmp_path / "data", tmp_path / "milvus.db"
    await two_people(folder)
    (await galleries(milvus, folder, place))._client.close()
    for word, *line in (
        (backup.app, str(tmp_path / "backup"), "--data-dir", str(folder)),
        (restore.app, str(tmp_path / "backup"), "--data-dir", str(tmp_path / "back")),
    ):
        done = await asyncio.to_thread(CliRunner().invoke, word, line, env={"FACE_MILVUS_URL": str(place)})
        assert done.exit_code == 0, done.output
    traces = MilvusTraces(str(place), "")
    assert traces.left(Whom(users=[1])) == (0, 0)
    traces.close()


async def test_in_a_cluster_only_these_people_go(milvus: Any, tmp_path: Path) -> None:
    """The way of a cluster, which cannot be had here, on Milvus Lite."""
    from face_server.index.milvus_traces import MilvusTraces, Whom

    folder, place = tmp_path / "data", tmp_path / "milvus.db"
    await two_people(folder)
    shelf = await galleries(milvus, folder, place)
    shelf._client.close()
    traces = MilvusTraces(str(place), "")
    traces.files = None
    one = Whom(users=[1])
    assert traces.left(one) == (2, 2)
    traces.erase(one)
    assert (traces.left(one), traces.left(Whom(users=[2]))) == ((2, 0), (2, 2))
    group = Whom(groups=[1], faces=range(10, 5000))
    traces.erase(group)
    assert (traces.left(group), traces.left(Whom(faces=[10_000]))) == ((2, 0), (2, 2))
    traces.drop()
    assert traces.left(group) == (0, 0)
    traces.close()


async def test_a_small_group_that_nobody_has_loaded_goes_too(milvus: Any, tmp_path: Path) -> None:
    one = milvus.open_shelf(str(tmp_path / "milvus.db"), "", MODEL, DIMENSIONS)
    gone, stays = (one.make(group, 1, vector(group)[None], np.array([group]), np.array([group])) for group in (1, 2))
    assert one.load(1) is None, "nobody knows up to which write it is right"
    # By a server that has searched neither since its start. A group may be newer than the list of groups.
    for known, left in (({2}, (1, 1)), ({1, 2}, (1, 1)), ({2}, (1, 1)), ({2}, (0, 1))):
        one.keep_only(known)
        for gallery in (gone, stays):
            gallery.recount()
        assert (len(gone), len(stays)) == left
    one.save(stays, 7)
    loaded = one.load(2)
    assert loaded is not None
    assert loaded.seq == 7
    one._client.close()
