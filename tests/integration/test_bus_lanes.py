"""The lanes of a worker outlive what they cannot read, and stay where they are."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from face_server.bus import names, wire
from face_server.bus.worker import Worker
from face_server.engine.lanes import usable_cores
from face_server.errors import NoFace
from face_server.model import Task, Want
from face_server.vision.protocol import VisionInfo
from tests.redis_server import RedisServer

DIGEST = "0123456789abcdef"
INFO = VisionInfo("told", Want.NONE, "model-1", 8, ())


class Blind:
    def analyze(self, picture: bytes, task: Task) -> Any:
        raise NoFace


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer().start()
    yield server
    server.remove()


def test_a_job_that_nobody_can_read_ends_and_the_next_one_is_done(redis: RedisServer) -> None:
    keys = names.Names(DIGEST)
    answers = keys.answers("me")
    redis.client.xadd(answers, {b"a": b""})
    worker = Worker(redis.url, DIGEST, cast(Any, Blind()), INFO, lanes=1, device="cpu")
    worker.start()
    try:
        for fields in ({b"h": b"\xc1", b"p": b"picture"}, {b"other": b"fields"}):
            redis.client.xadd(keys.jobs, cast(Any, fields))
        header = wire.Header(b"question", answers, 10.0, 1, Task(Want.NONE))
        redis.client.xadd(keys.jobs, {b"h": wire.encode(header), b"p": b"picture"})
        end = time.monotonic() + 10
        while redis.client.xlen(answers) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        found: Any = redis.client.xrange(answers)
        assert [wire.decode(wire.Reply, fields[b"a"]).failure for _, fields in found[1:]] == [("NoFace", "")]
        worker.stop()
        assert redis.client.xlen(keys.jobs) == 0
        assert not [thread for thread in threading.enumerate() if thread.name == "lane-0"]
    finally:
        worker.stop()


class Watched:
    def __init__(self) -> None:
        self.cores: list[set[int]] = []

    def analyze(self, picture: bytes, task: Task) -> Any:
        self.cores.append(os.sched_getaffinity(0))
        raise NoFace


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread choose its core")
@pytest.mark.parametrize("extra", [0, 1])
def test_a_lane_for_every_core_stays_on_its_own(redis: RedisServer, extra: int) -> None:
    keys, watched, cores = names.Names(DIGEST), Watched(), usable_cores()
    worker = Worker(redis.url, DIGEST, cast(Any, watched), INFO, lanes=len(cores) + extra, device="cpu")
    worker.start()
    try:
        header = wire.Header(b"question", keys.answers("me"), 10.0, 1, Task(Want.NONE))
        for _ in range(8):
            redis.client.xadd(keys.jobs, {b"h": wire.encode(header), b"p": b"picture"})
        end = time.monotonic() + 10
        while len(watched.cores) < 8 and time.monotonic() < end:
            time.sleep(0.02)
        assert len(watched.cores) == 8
        assert {len(where) for where in watched.cores} == ({len(cores)} if extra else {1})
    finally:
        worker.stop()
