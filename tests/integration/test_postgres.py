"""Several servers on one Postgres, and what happens when it goes away."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from face_server.errors import Busy, FaceError, LibraryFull, Stage, StoreFailed
from face_server.store import postgres as rules
from face_server.store.rows import Quota
from face_server.store.store import Store
from tests.postgres import Postgres, running
from tests.small_library import APP, MODEL, Library, face, library, registry, rows_of, token, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.migrated_database()


@asynccontextmanager
async def opened(url: str, **options: object) -> AsyncIterator[Store]:
    store = Store(url, **options)  # type: ignore[arg-type]
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def enroll(store: Store, number: int, app: str = APP) -> None:
    await store.enroll(app, "g", f"u{number}", face(number), MODEL)


# Several servers


async def test_a_face_is_found_through_the_other_process_by_the_very_next_request(url: str, tmp_path: Path) -> None:
    """1,000 times of 1,000."""
    command = [sys.executable, "-m", "tests.integration.store_peer", str(tmp_path / "far"), url]
    with subprocess.Popen(  # noqa: ASYNC220 - it starts once
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        async with library(tmp_path / "near", url) as near:
            found = 0
            for number in range(1000):
                await near.enroll(number)
                peer.stdin.write(f"{number}\n")
                peer.stdin.flush()
                found += await asyncio.to_thread(peer.stdout.readline) == "True\n"
            assert found == 1000
        peer.stdin.close()
        assert peer.wait(timeout=30) == 0


async def test_an_idle_server_follows_at_once(url: str, tmp_path: Path) -> None:
    async with library(tmp_path / "near", url) as near, library(tmp_path / "far", url) as far:
        far.store.follow(far.registry.heard)
        await near.enroll(0)
        assert await far.found(0)
        (gallery,) = far.registry.galleries
        for number in range(1, 20):
            await near.enroll(number)
        await until(lambda: len(gallery) == 20)


async def test_servers_that_start_together_migrate_once(postgres: Postgres) -> None:
    url = postgres.new_database()
    stores = [Store(url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    assert [await store.apps() for store in stores] == [["default"]] * 4
    for store in stores:
        await store.close()


async def test_servers_that_create_the_same_apps_and_groups_at_once(url: str) -> None:
    async with opened(url) as near, opened(url) as far:
        await asyncio.gather(
            *(enroll(store, number, f"app{app}") for app in range(8) for number, store in enumerate((near, far)))
        )
        for app in range(8):
            assert len(await rows_of(near, f"app{app}")) == 2


async def test_a_quota_holds_whoever_writes(url: str) -> None:
    quota = Quota(faces=10)
    async with opened(url, quota=quota) as near, opened(url, quota=quota) as far:
        work = [enroll((near, far)[number % 2], number) for number in range(40)]
        results = await asyncio.gather(*work, return_exceptions=True)
        assert [type(result) for result in results if result is not None] == [LibraryFull] * 30
        assert len(await rows_of(near)) == 10


async def test_a_gallery_comes_in_parts_and_a_builder_may_fail(url: str, tmp_path: Path) -> None:
    async with library(tmp_path, url) as lib:
        await asyncio.gather(*(enroll(lib.store, number) for number in range(1200)))
        (ref,) = await lib.store.groups(APP, ["g"])

        def fail(seq: int, count: int, parts: object) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await lib.store.index_rows.gallery(ref, fail)
        parts: list[int] = await lib.store.index_rows.gallery(
            ref, lambda seq, count, parts: [len(part[0]) for part in parts]
        )
        assert sum(parts) == 1200
        assert await lib.found(1199)


# Busy


async def test_without_a_free_connection_it_is_busy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "POOL_PATIENCE", 0.2)
    async with opened(url, connections=2) as store:
        sleeping = [
            asyncio.create_task(store._database.read(lambda rows: rows.execute(sa.text("SELECT pg_sleep(1.5)"))))
            for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        with pytest.raises(Busy) as busy:
            await store.apps()
        assert busy.value.stage is Stage.DATABASE
        await asyncio.gather(*sleeping)
        assert await store.apps()


async def test_a_lock_that_another_holds_makes_busy_and_reads_go_on(url: str) -> None:
    async with opened(url) as store, opened(url) as other:
        await enroll(store, 1)
        async with other._database._engine.begin() as holding:  # type: ignore[attr-defined]
            await holding.execute(sa.text("SELECT 1 FROM apps FOR UPDATE"))
            writes = [asyncio.create_task(enroll(store, number)) for number in range(2, 30)]
            assert await store.seq(APP)
            results = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(result) for result in results] == [Busy] * 28
        await enroll(store, 2)


async def test_what_can_never_go_well_is_told_at_once(postgres: Postgres) -> None:
    with pytest.raises(StoreFailed) as refused:
        await Store(postgres.url("no_such_database")).open()
    assert "no_such_database" in str(refused.value)
    assert "secret-word" not in str(refused.value)


# Broken connections


class Cutter:
    """Between a store and its Postgres. Cuts the connection of the next commit before or after it arrives."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cut = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.create_task(self._pass(there, writer))
        while data := await reader.read(65536):
            if self.cut and b"COMMIT" in data:
                heard, self.cut = self.cut == "after", ""
                answers.cancel()
                if heard:
                    to.write(data)
                    await there.read(1)  # it is done
                break
            to.write(data)
        to.close()
        writer.transport.abort()
        await asyncio.gather(answers, return_exceptions=True)

    async def _pass(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(65536):
            writer.write(data)
        writer.close()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_commit_whose_answer_is_lost_happens_once(
    postgres: Postgres, url: str, cut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "PATIENCE", 30.0)
    cutter = Cutter(postgres.port)
    proxy = await asyncio.start_server(cutter, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    async with opened(url.replace(str(postgres.port), str(port))) as store:
        await enroll(store, 0)
        for number in range(1, 6):
            cutter.cut = cut
            await enroll(store, number)
            assert not cutter.cut
        await asyncio.gather(*(enroll(store, number) for number in range(6, 20)))
        assert sorted(row.token for row in await rows_of(store)) == [token(number) for number in range(20)]
        assert (await store.seq(APP) or (0, 0))[1] == 20
    proxy.close()


@pytest.fixture
def own() -> Iterator[Postgres]:
    """A Postgres that a test may kill."""
    with running("max_connections=40") as server:
        yield server


async def test_postgres_killed_and_restarted_loses_no_request_that_can_wait(
    own: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "PATIENCE", 60.0)
    url = own.new_database()
    async with opened(url) as near, opened(url) as far:
        stores, done = (near, far), set()

        async def client(first: int) -> None:
            for number in range(first, 360, 12):
                store = stores[number % 2]
                await enroll(store, number)  # FaceExists: it was repeated though it had been committed
                done.add(number)
                assert await stores[(number + 1) % 2].face_by_token(APP, token(number))

        clients = asyncio.gather(*(client(first) for first in range(12)))
        for goal in (60, 200):
            await until(lambda goal=goal: len(done) > goal)  # type: ignore[misc]
            await asyncio.to_thread(own.kill)
            await asyncio.to_thread(own.start)
        await clients
        assert len(await rows_of(near)) == len(done) == 360
        assert ((await far.seq(APP)) or (0, 0))[1] == 360


async def test_postgres_gone_makes_busy_and_heals_by_itself(own: Postgres, tmp_path: Path) -> None:
    url = own.new_database()
    async with library(tmp_path, url) as lib:
        acknowledged: set[int] = set()
        refusals: list[FaceError] = []

        async def client(numbers: Iterator[int]) -> None:
            for number in numbers:
                try:
                    await lib.enroll(number)
                except FaceError as error:
                    refusals.append(error)
                else:
                    acknowledged.add(number)

        numbers = iter(range(100_000))
        clients = [asyncio.create_task(client(numbers)) for _ in range(8)]
        await until(lambda: len(acknowledged) > 50)
        await asyncio.to_thread(own.kill)
        await until(lambda: len(refusals) > 20)
        assert [lib.store.reachable] == [False]
        before = set(acknowledged)
        await asyncio.to_thread(own.start)
        await until(lambda: len(acknowledged) > len(before) + 50)
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        assert {(type(error), getattr(error, "stage", None)) for error in refusals} == {(Busy, Stage.DATABASE)}
        assert [lib.store.reachable] == [True]
        for number in acknowledged:
            assert await lib.found(number)
        again = Library(lib.store, registry(lib.store, tmp_path / "again"))
        assert all([await again.found(number) for number in acknowledged])


async def test_postgres_that_says_nothing_is_not_waited_for(own: Postgres, tmp_path: Path) -> None:
    async with library(tmp_path, own.new_database()) as lib:
        await lib.enroll(1)
        own.freeze()
        try:
            results = await asyncio.wait_for(
                asyncio.gather(lib.found(1), lib.enroll(2), return_exceptions=True), timeout=20
            )
        finally:
            own.freeze(False)
        assert [type(result) for result in results] == [Busy, Busy]
        await until(lambda: lib.store.reachable)
        await lib.enroll(3)
        assert await lib.found(3)
