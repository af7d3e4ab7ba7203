"""Face tokens in a real Redis: shared, bounded, gone in time, and never a wrong answer while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from face_server.errors import Busy, Stage
from face_server.store.shared_tokens import ON_ITS_WAY, PREFIX, SharedTokens, forget_app
from tests.redis_server import RedisServer, running
from tests.small_library import token, until

APP = "an app * with [odd] characters"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@contextmanager
def cache(redis: RedisServer, minutes: float = 60, megabytes: int = 64) -> Iterator[SharedTokens]:
    tokens = SharedTokens(redis.url, minutes, megabytes)
    tokens.open()
    try:
        yield tokens
    finally:
        tokens.close()


def picture(number: int, size: int = 20_000) -> bytes:
    return number.to_bytes(4, "little") * (size // 4)


async def written(tokens: SharedTokens) -> None:
    await until(lambda: not tokens._waiting)


async def test_known_at_once_here_and_written_for_everybody(redis: RedisServer) -> None:
    with cache(redis) as one, cache(redis) as other:
        for number in range(50):
            one.put(APP, picture(number), [(token(number), b"first"), (token(1000 + number), b"second")])
            assert await one.get(APP, token(number)) == (picture(number), b"first")
        await written(one)
        for number in range(50):
            assert await other.get(APP, token(1000 + number)) == (picture(number), b"second")
        assert await other.get("another", token(1)) is None
        assert await other.get(APP, token(99)) is None


async def test_the_next_request_finds_it_on_another_server(redis: RedisServer) -> None:
    with cache(redis) as one, cache(redis) as other:
        for number in range(200, 210):
            one.put(APP, picture(number), [(token(number), b"record")])
            asked = time.monotonic()
            found = await other.get(APP, token(number)) or await other.get_later(APP, token(number), asked)
            assert found == (picture(number), b"record")


async def test_one_that_nobody_knows_is_waited_for_only_as_long_as_writing_takes(redis: RedisServer) -> None:
    with cache(redis) as tokens:
        begun = time.monotonic()
        assert await tokens.get_later(APP, token(999), begun - 1) is None, "asked so long ago: all have written"
        assert await tokens.get_later(APP, token(999), time.monotonic()) is None
        assert time.monotonic() - begun >= ON_ITS_WAY


async def test_a_picture_that_is_there_does_not_travel_again(redis: RedisServer) -> None:
    def received() -> int:
        facts: Any = redis.client.info("stats")
        return int(facts["total_net_input_bytes"])

    redis.client.flushall()
    with cache(redis) as one, cache(redis) as other:
        one.put(APP, picture(1, 1_000_000), [(token(1), b"record")])
        await written(one)
        redis.client.pexpire(next(redis.client.scan_iter(f"{PREFIX}:picture:*")), 5000)
        before = received()
        other.put(APP, picture(1, 1_000_000), [(token(2), b"record")])
        await written(other)
        assert received() - before < 20_000
        assert await one.get(APP, token(2)) == (picture(1, 1_000_000), b"record")
    lives: Any = redis.client.pttl(next(redis.client.scan_iter(f"{PREFIX}:picture:*")))
    assert lives > 60_000, "it lives as long as the newest token"
    assert redis.client.get(f"{PREFIX}:bytes") == b"1000000"


async def test_newer_record_wins_and_a_picture_is_kept_once(redis: RedisServer) -> None:
    redis.client.flushall()
    with cache(redis) as tokens:
        for number in range(20):
            tokens.put(APP, picture(1), [(token(5), b"record %d" % number)])
        await written(tokens)
        assert await tokens.get(APP, token(5)) == (picture(1), b"record 19")
    assert len(list(redis.client.scan_iter(f"{PREFIX}:picture:*"))) == 1
    assert redis.client.get(f"{PREFIX}:bytes") == b"20000"


async def test_the_oldest_pictures_make_room(redis: RedisServer) -> None:
    redis.client.flushall()
    with cache(redis, megabytes=1) as tokens:
        for number in range(40):
            tokens.put(APP, picture(number, 100_000), [(token(number), b"record")])
            await written(tokens)
        known = [number for number in range(40) if await tokens.get(APP, token(number)) is not None]
    assert known == list(range(30, 40))
    assert redis.client.get(f"{PREFIX}:bytes") == b"1000000"


async def test_they_end_in_time_and_are_not_counted_any_more(redis: RedisServer) -> None:
    redis.client.flushall()
    with cache(redis, minutes=0.3 / 60) as tokens:
        tokens.put(APP, picture(1), [(token(1), b"record")])
        await written(tokens)
        assert await tokens.get(APP, token(1)) is not None
        await asyncio.sleep(0.4)
        assert await tokens.get(APP, token(1)) is None
        tokens.put(APP, picture(2), [(token(2), b"record")])
        await written(tokens)
    assert redis.client.get(f"{PREFIX}:bytes") == b"20000"


async def test_a_deleted_app_leaves_no_token(redis: RedisServer) -> None:
    with cache(redis) as tokens:
        for app in (APP, "other"):
            tokens.put(app, picture(1), [(token(1), b"record")])
        await written(tokens)
        await asyncio.to_thread(forget_app, redis.url, APP)
        assert await tokens.get(APP, token(1)) is None
        assert await tokens.get("other", token(1)) is not None


async def test_without_redis_it_is_busy_and_not_unknown(redis: RedisServer) -> None:
    with cache(redis) as tokens:
        redis.kill()
        with pytest.raises(Busy) as refused:
            await tokens.get(APP, token(1))
        assert refused.value.stage is Stage.CACHE
        begun = time.monotonic()
        tokens.put(APP, picture(7), [(token(7), b"record")])
        assert time.monotonic() - begun < 0.5, "putting never waits"
        assert await tokens.get(APP, token(7)) == (picture(7), b"record")
        redis.start()
        await written(tokens)
        assert await tokens.get(APP, token(7)) == (picture(7), b"record")
