"""Servers beside each other, and commands beside servers: whose jobs are whose, and keys that change meanwhile."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from face_server.admin import jobs as jobs_module
from face_server.admin.jobs import Jobs, Progress, Result
from face_server.admin.roles import Role, Who
from face_server.store import clock, work
from face_server.store.schema import jobs
from face_server.store.sealing import KeyMissing, Sealer
from face_server.store.store import Store
from scripts.load.server import ServerProcess, serving
from tests.admin_client import Console
from tests.baidu_client import Baidu, image, variant
from tests.integration.test_sealing import KEY, OTHER_KEY, run, sealed
from tests.postgres import Postgres
from tests.small_library import APP, MODEL, face, open_store


def wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.1)


# Jobs


async def test_only_the_jobs_of_who_is_silent_are_taken(place: Path | str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = await open_store(place), await open_store(place)
    lives = await one.jobs.add("delete_user", {}, 0.0, "me")
    assert await other.jobs.abandoned() == []
    assert not await other.jobs.take(lives)
    assert not await other.jobs.change_mine(lives, state=work.RUNNING)
    monkeypatch.setattr(work, "_ABANDONED", sa.and_(work._OPEN, jobs.c.seen < clock.Now()))
    assert [job.id for job in await other.jobs.abandoned()] == [lives]
    assert await other.jobs.take(lives)
    assert not await one.jobs.change_mine(lives, state=work.RUNNING)
    assert await other.jobs.change_mine(lives, state=work.RUNNING)
    monkeypatch.undo()
    assert not await one.jobs.take(lives)
    await other.jobs.let_go()
    assert await one.jobs.take(lives)
    await one.jobs.live()
    assert await other.jobs.abandoned() == []
    await one.close()
    await other.close()


async def test_a_server_that_lost_its_job_does_not_do_it(place: Path | str) -> None:
    """It was stopped for so long that another one took the job."""
    done: list[str] = []

    async def delete(_what: object, _progress: Progress) -> Result:
        done.append("by me")
        return Result()

    one, other = await open_store(place), await open_store(place)
    jobs = Jobs(one.jobs, {"delete_user": delete}, {}, undo_seconds=60)
    number = await one.jobs.add("delete_user", {}, time.time(), "me")
    await one.jobs.let_go()
    assert await other.jobs.take(number)
    row = await one.jobs.get(number)
    assert row is not None
    jobs._begin(row)
    task = jobs._running[number].task
    assert task is not None
    await task
    assert done == []
    assert ((await one.jobs.get(number)) or row).state == work.WAITING
    await one.close()
    await other.close()


async def test_a_job_that_was_cancelled_through_another_server_ends(
    place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def look(_what: object, _progress: Progress) -> Result:
        begun.set()
        try:
            return await asyncio.Future()
        finally:
            ended.set()

    monkeypatch.setattr(jobs_module, "TELL_EVERY", 0.05)
    one, other = await open_store(place), await open_store(place)
    jobs = Jobs(one.jobs, {}, {"find": look})
    job = await jobs.start("find", {}, Who("me", Role.ADMIN, ""))
    await asyncio.wait_for(begun.wait(), 30)
    assert (await Jobs(other.jobs, {}, {}).cancel(int(job.id))).state == work.CANCELLED
    await asyncio.wait_for(ended.wait(), 30)
    assert (await jobs.get(int(job.id))).state == work.CANCELLED
    await one.close()
    await other.close()


def test_a_dead_servers_deletion_is_done_by_the_one_that_lives(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.migrated_database()
    near, far = (ServerProcess(tmp_path / name, database_url=url) for name in ("near", "far"))

    async def of_somebody_who_lives() -> int:
        store = await open_store(url)
        job = await store.jobs.add("find", {}, 0.0, "me")
        await store.jobs.change(job, state=work.RUNNING, seen=time.time() + 3600)
        await store.close()
        return job

    try:
        lives = asyncio.run(of_somebody_who_lives())
        near.start()
        far.start()
        here, there = Console(near.url), Console(far.url)
        Baidu(near.url, "default")("group/add", group_id="goes").result  # noqa: B018
        job = here.ask("DELETE", "/groups?app=default&group=goes", 202)
        near.kill()
        wait_for(lambda: there.ask("GET", f"/jobs/{job['id']}")["state"] == "done")
        there.ask("GET", "/users?app=default&group=goes", 404)
        assert there.ask("GET", f"/jobs/{lives}")["state"] == "running"
    finally:
        near.kill()
        far.kill()


# Two servers in one folder


def test_two_servers_in_one_folder_see_what_either_writes(tmp_path: Path, astronaut: bytes) -> None:
    first, second = ServerProcess(tmp_path), ServerProcess(tmp_path)
    try:
        first.start()
        assert "another server" not in first.log.read_text()
        second.start()
        assert "another server is at work in this data folder" in first.log.read_text()
        one, other = Baidu(first.url, "app"), Baidu(second.url, "app")
        for number in range(5):
            writes, reads = (one, other) if number % 2 else (other, one)
            picture = image(variant(astronaut, number))
            writes("face/add", group_id="g", user_id=f"u{number}", **picture).result  # noqa: B018
            found = reads("face/identify", group_id_list="g", **picture).result["user_list"]
            assert found[0]["user_id"] == f"u{number}"
        seen = one("face/detect", **image(variant(astronaut, 9))).result["face_list"][0]["face_token"]
        kept = {"image": seen, "image_type": "FACE_TOKEN"}  # it is written a moment after the answer
        wait_for(lambda: other("face/add", group_id="h", user_id="by_token", **kept).code == 0)
    finally:
        first.kill()
        second.kill()


# Keys


async def test_keys_are_wrapped_anew_beside_a_store_that_works(place: Path | str, tmp_path: Path) -> None:
    old, new, file = (tmp_path / name for name in ("old.key", "new.key", "server.key"))
    old.write_bytes(KEY)
    new.write_bytes(OTHER_KEY)
    file.write_bytes(KEY)
    database = "" if isinstance(place, Path) else place
    await (await open_store(place)).close()
    store = Store(place / "faces.db" if isinstance(place, Path) else place, sealer=Sealer.of(file))
    await store.open()
    await store.enroll(APP, "g", "before", face(1), MODEL)
    for _ in range(2):  # the second time finds it done
        rotated = run(tmp_path, old, "seal", "--rotate", str(new), database=database)
        assert (rotated.returncode, "the keys of 1 apps" in rotated.stdout) == (0, True), rotated.stderr
    await store.enroll(APP, "g", "meanwhile", face(2), MODEL)
    assert (await store.list_faces(APP, "g", "before"))[0].template == face(1).template
    with pytest.raises(KeyMissing):  # nobody could read it after the next start
        await store.enroll("born", "g", "u", face(3), MODEL)
    file.write_bytes(OTHER_KEY)
    await store.enroll("born", "g", "u", face(3), MODEL)
    await store.close()
    async with sealed(place, tmp_path, OTHER_KEY) as lib:
        for app, group, user, number in ((APP, "g", "meanwhile", 2), ("born", "g", "u", 3)):
            assert (await lib.store.list_faces(app, group, user))[0].template == face(number).template
    with pytest.raises(KeyMissing):
        async with sealed(place, tmp_path, KEY):
            pass


def test_two_sealed_servers_outlive_a_rotation_and_refuse_the_rest(
    postgres: Postgres, tmp_path: Path, astronaut: bytes
) -> None:
    url, old, new, file = postgres.migrated_database(), *(tmp_path / name for name in ("old", "new", "key"))
    for path, key in ((old, KEY), (new, OTHER_KEY), (file, KEY)):
        path.write_bytes(key)
    shown = image(astronaut)
    with (
        serving(tmp_path / "near", database_url=url, key_file=file) as near,
        serving(tmp_path / "far", database_url=url, key_file=file) as far,
    ):
        Baidu(near.url, "a")("face/add", group_id="g", user_id="u", **shown).result  # noqa: B018
        for words in (("seal",), ("seal", "--app", "a"), ("purge", "--app", "a", "--yes")):
            refused = run(tmp_path / "third", old, *words, database=url)
            assert (refused.returncode, "is at work in this Postgres" in refused.stderr) == (1, True), refused.stderr
        rotated = run(tmp_path / "third", old, "seal", "--rotate", str(new), database=url)
        assert rotated.returncode == 0, rotated.stderr
        file.write_bytes(OTHER_KEY)
        for server, app in ((near, "b"), (far, "c"), (far, "a")):
            Baidu(server.url, app)("face/add", group_id="h", user_id="v", **shown).result  # noqa: B018
        for server in (near, far):
            for app in "abc":
                found = Baidu(server.url, app)("face/identify", group_id_list="h", **shown).result["user_list"]
                assert found[0]["score"] > 99
    given = run(tmp_path / "near", new, "seal", "--app", "a", database=url)
    assert given.returncode == 0, given.stderr


def test_a_new_key_that_was_cut_off_leaves_all_readable_and_is_finished(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    folder, many = tmp_path / "data", 1500

    def stored() -> dict[int, int]:
        """How many rows each key has."""
        with closing(sqlite3.connect(folder / "faces.db")) as connection:
            rows = [data[0] for data in connection.execute("SELECT template FROM faces")]
        return {number: sum(int.from_bytes(row[4:8], "little") == number for row in rows) for number in (1, 2)}

    async def fill() -> None:
        folder.mkdir()
        store = Store(folder / "faces.db", sealer=Sealer.of(key))
        await store.open()
        for start in range(0, many, 500):
            await asyncio.gather(*(store.enroll(APP, "g", f"u{n}", face(n), MODEL) for n in range(start, start + 500)))
        await store.close()

    async def readable() -> bool:
        store = Store(folder / "faces.db", sealer=Sealer.of(key))
        await store.open()
        found = [
            (await store.list_faces(APP, "g", f"u{n}"))[0].template == face(n).template for n in range(0, many, 100)
        ]
        await store.close()
        return all(found)

    asyncio.run(fill())
    code = "import sys; from face_server.cli import main; sys.argv[0] = 'face-server'; main()"
    command = [sys.executable, "-c", code, "seal", "--app", APP, "--data-dir", str(folder)]
    cut = subprocess.Popen(command, env={"PATH": "/usr/bin:/bin", "FACE_KEY_FILE": str(key)}, cwd=Path.cwd())
    wait_for(lambda: stored()[2] > 0 or cut.poll() is not None)
    cut.send_signal(signal.SIGKILL)
    cut.wait()
    assert stored()[2] > 0
    assert asyncio.run(readable())
    done = run(folder, key, "seal")
    assert done.returncode == 0, done.stderr
    assert stored() == {1: 0, 2: many}
    assert asyncio.run(readable())
    with closing(sqlite3.connect(folder / "faces.db")) as connection:
        query = "SELECT k.number FROM app_keys k JOIN apps a ON a.id = k.app_id WHERE a.name = ?"
        assert connection.execute(query, (APP,)).fetchall() == [(2,)]
