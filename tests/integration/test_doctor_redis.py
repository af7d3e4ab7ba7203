"""What `face-server doctor` says of how a real Redis is set up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from face_server.checks import stores
from tests.redis_server import RedisServer, running

USUAL = {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.mark.parametrize(
    ("options", "sealed", "state", "said"),
    [
        ({}, True, "ok", "at 127.0.0.1"),
        ({"save": "3600 1"}, True, "wrong", "writes to its disk"),
        ({"appendonly": "yes"}, True, "wrong", "writes to its disk"),
        ({"save": "3600 1", "appendonly": "yes"}, False, "ok", "at 127.0.0.1"),
        ({"maxmemory-policy": "allkeys-lru"}, False, "note", "allkeys-lru"),
    ],
    ids=str,
)
def test_what_redis_keeps_and_forgets(
    redis: RedisServer, options: dict[str, str], sealed: bool, state: str, said: str
) -> None:
    for name, value in (USUAL | options).items():
        redis.client.config_set(name, value)
    (found,) = stores.redis(redis.url, sealed)
    assert (found.state, said in found.said) == (state, True), found


def test_a_redis_that_does_not_tell_is_no_mistake(redis: RedisServer) -> None:
    redis.client.acl_setuser(
        "few", enabled=True, passwords=["+word"], keys=["*"], categories=["+@all"], commands=["-config"]
    )
    (found,) = stores.redis(redis.url.replace("//", "//few:word@"), sealed=True)
    assert found.state == "ok"
