"""Servers and workers around a real Redis: answers as from one process, whoever dies in between."""

from __future__ import annotations

import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from face_server.bus import wire
from face_server.bus.names import Names
from face_server.bus.remote import WINDOW
from face_server.vision.packs import find_pack, models_home
from scripts.load.server import ServerProcess, serving
from scripts.load.worker import WorkerProcess
from tests.baidu_client import BUSY, Baidu, text
from tests.postgres import Postgres
from tests.redis_server import RedisServer, running

NAMES = Names(wire.digest(find_pack("builtin", Path())))
FIELDS = "age,gender,glasses,quality,landmark150,face_shape,emotion,eye_status"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def one(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server; its workers come and go with the tests."""
    server = ServerProcess(tmp_path_factory.mktemp("one"), redis_url=redis.url)
    with worker(redis, tmp_path_factory.mktemp("first")):
        server.start()
    yield server
    server.stop()


@contextmanager
def worker(redis: RedisServer, folder: Path, lanes: int = 1) -> Iterator[WorkerProcess]:
    process = WorkerProcess(redis.url, folder / "worker.log", lanes).start()
    try:
        yield process
    finally:
        process.kill()


def until(true: Callable[[], bool], seconds: float = 10, every: float = 0.01) -> float:
    """How long it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, "it never came to be"
        time.sleep(every)
    return time.monotonic() - begun


def ready(server: ServerProcess) -> bool:
    return server._answers("/readyz")


@pytest.fixture
def client(one: ServerProcess, redis: RedisServer, tmp_path: Path) -> Iterator[Baidu]:
    """With one worker of one lane, and the stream empty."""
    with worker(redis, tmp_path):
        until(lambda: ready(one))
        yield Baidu(one.url, "app")


def detect(client: Baidu, picture: bytes) -> Any:
    return client("face/detect", image=text(picture), image_type="BASE64", face_field=FIELDS, max_face_num=3)


def length(redis: RedisServer) -> int:
    return int(redis.client.xlen(NAMES.jobs))


# As from one process


def test_answers_are_those_of_one_process(client: Baidu, server: ServerProcess, astronaut: bytes) -> None:
    alone = Baidu(server.url, "bus")
    assert detect(client, astronaut).result == detect(alone, astronaut).result
    for broken in (b"no picture at all", astronaut[:2000]):
        assert detect(client, broken).code == detect(alone, broken).code != 0
    pair = [{"image": text(astronaut), "image_type": "BASE64"}] * 2
    assert client("face/match", pair).result == alone("face/match", pair).result


def test_nothing_stays_behind(client: Baidu, redis: RedisServer, astronaut: bytes) -> None:
    for _ in range(5):
        assert detect(client, astronaut).code == 0
    assert length(redis) == 0
    (answers,) = redis.client.scan_iter(f"{NAMES.answers('')}*")
    until(lambda: redis.client.xlen(answers) == 0)  # no face either
    assert 0 < redis.client.pttl(answers) <= 30_000


# Workers come and go


def test_without_a_worker_it_says_so_at_once_and_serves_when_one_comes(
    one: ServerProcess, redis: RedisServer, tmp_path: Path, astronaut: bytes
) -> None:
    client = Baidu(one.url, "app")
    with worker(redis, tmp_path) as last:
        until(lambda: ready(one))
        assert last.stop() == 0
    until(lambda: not ready(one))
    until(lambda: detect(client, astronaut).code in BUSY)
    begun = time.monotonic()
    assert detect(client, astronaut).code in BUSY
    assert time.monotonic() - begun < 2, "nobody waits for a worker that is not there"
    with worker(redis, tmp_path):
        until(lambda: ready(one))
        assert detect(client, astronaut).code == 0


def test_jobs_of_a_killed_worker_are_done_by_another(
    client: Baidu, redis: RedisServer, tmp_path: Path, astronaut: bytes
) -> None:
    right = detect(client, astronaut).result
    with worker(redis, tmp_path / "..", lanes=2) as victim, ThreadPoolExecutor(8) as clients:
        for _ in range(20):  # until it has something in its hands
            victim.freeze()
            answers = [clients.submit(detect, client, astronaut) for _ in range(8)]
            time.sleep(0.1)
            if held(redis, victim):
                break
            victim.freeze(False)
            assert all(answer.result().result == right for answer in answers)
        assert held(redis, victim)
        victim.kill()
        killed = time.monotonic()
        assert [answer.result().result for answer in answers] == [right] * 8
        assert time.monotonic() - killed < 4
    assert length(redis) == 0


def held(redis: RedisServer, victim: WorkerProcess) -> int:
    """What this worker has taken and not answered."""
    consumers: Any = redis.client.xinfo_consumers(NAMES.jobs, "workers")
    return sum(each["pending"] for each in consumers if f":{victim.process.pid}:".encode() in each["name"])


def test_a_worker_that_is_told_to_end_finishes_first(
    client: Baidu, redis: RedisServer, tmp_path: Path, astronaut: bytes
) -> None:
    with worker(redis, tmp_path / "..") as second, ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(detect, client, astronaut) for _ in range(40)]
        assert second.stop() == 0
        assert {answer.result().code for answer in answers} == {0}


def test_a_worker_with_another_pack_stays_out(one: ServerProcess, redis: RedisServer, tmp_path: Path) -> None:
    until(lambda: redis.client.get("face:1:pack") is not None)
    other = tmp_path / "other"
    shutil.copytree(models_home("builtin"), other)
    manifest = (other / "pack.toml").read_text()
    (other / "pack.toml").write_text(manifest.replace("threshold = 0.", "threshold = 0.1", 1))
    stranger = WorkerProcess(redis.url, tmp_path / "log", pack=other).spawn()
    assert stranger.process.wait(30) == 2
    assert "the servers work with pack" in stranger.log.read_text()


# Deadlines, cancellation, bounds, fairness


def test_a_client_that_goes_takes_its_job_along(
    one: ServerProcess, client: Baidu, redis: RedisServer, tmp_path: Path, astronaut: bytes
) -> None:
    body = b'{"image":"%s","image_type":"BASE64"}' % text(astronaut).encode()
    head = b"POST /face-api/v3/face/detect?appid=app HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    redis.client.client_pause(2000, all=False)  # writes wait: a picture stays where it is
    with socket.create_connection(("127.0.0.1", one.port)) as gone:
        gone.sendall(head + body)
        time.sleep(0.2)
    redis.client.client_unpause()
    until(lambda: length(redis) == 0)
    assert detect(client, astronaut).code == 0


def test_more_than_can_be_done_is_refused_and_the_stream_stays_short(
    redis: RedisServer, tmp_path: Path, astronaut: bytes
) -> None:
    with worker(redis, tmp_path), serving(tmp_path / "server", redis_url=redis.url, deadline_ms=400) as server:
        client, longest, over = Baidu(server.url, "app"), 0, threading.Event()
        lanes = len(redis.client.smembers(NAMES.workers))

        def watch() -> None:
            nonlocal longest
            while not over.is_set():
                longest = max(longest, length(redis))
                time.sleep(0.002)

        right = detect(client, astronaut).result
        with ThreadPoolExecutor(65) as clients:
            clients.submit(watch)
            answers = list(clients.map(lambda _: detect(client, astronaut), range(300)))
            over.set()
        codes = {answer.code for answer in answers}
        assert 0 in codes
        assert codes - {0} <= set(BUSY)
        assert codes & set(BUSY), "so many cannot be answered in time"
        assert all(answer["result"] == right for answer in answers if answer.code == 0)
        assert longest <= 2 * WINDOW * lanes, "those of this server and of the other one"


def test_a_busy_app_does_not_starve_another(client: Baidu, one: ServerProcess, astronaut: bytes) -> None:
    quiet, over = Baidu(one.url, "quiet"), threading.Event()
    spent: dict[str, list[float]] = {"app": [], "quiet": []}

    def ask(who: Baidu) -> None:
        begun = time.monotonic()
        assert detect(who, astronaut).code == 0
        spent[who.app].append(time.monotonic() - begun)

    def flood() -> None:
        while not over.is_set():
            ask(client)

    with ThreadPoolExecutor(24) as clients:
        floods = [clients.submit(flood) for _ in range(24)]
        until(lambda: len(spent["app"]) >= 24, 60)
        for _ in range(8):
            ask(quiet)
        over.set()
        for each in floods:
            each.result()
    assert statistics.median(spent["quiet"]) < statistics.median(spent["app"]) / 2


# Redis comes and goes


def test_redis_restarted(client: Baidu, one: ServerProcess, redis: RedisServer, astronaut: bytes) -> None:
    right = detect(client, astronaut).result
    redis.kill()
    until(lambda: detect(client, astronaut).code in BUSY)
    begun = time.monotonic()
    assert detect(client, astronaut).code in BUSY
    assert time.monotonic() - begun < 1.5
    assert not ready(one)
    redis.start()
    assert until(lambda: detect(client, astronaut).code == 0) < 3
    assert detect(client, astronaut).result == right
    assert ready(one)


def test_what_redis_lost_is_put_again(client: Baidu, redis: RedisServer, astronaut: bytes) -> None:
    right = detect(client, astronaut).result
    with ThreadPoolExecutor(6) as clients:
        answers = [clients.submit(detect, client, astronaut) for _ in range(18)]
        until(lambda: length(redis) > 1)
        redis.kill()
        redis.start()
        assert [answer.result().result for answer in answers] == [right] * 18


# Two servers


def test_two_servers_are_one(
    redis: RedisServer, postgres: Postgres, tmp_path: Path, client: Baidu, astronaut: bytes
) -> None:
    shared = {"redis_url": redis.url, "database_url": postgres.migrated_database()}
    with serving(tmp_path / "a", **shared) as first, serving(tmp_path / "b", **shared) as second:
        a, b = Baidu(first.url, "app"), Baidu(second.url, "app")
        token = a("face/detect", image=text(astronaut), image_type="BASE64").result["face_list"][0]["face_token"]
        assert b("face/detect", image=token, image_type="FACE_TOKEN").code == 0, "by the very next request"
        for number in range(10):
            here, there = (a, b) if number % 2 else (b, a)
            group = f"g{number}"  # a face is in a group once
            assert here("face/add", image=token, image_type="FACE_TOKEN", group_id=group, user_id="u").code == 0
            found = there("face/identify", image=text(astronaut), image_type="BASE64", group_id_list=group)
            assert [each["user_id"] for each in found.result["user_list"]] == ["u"]
