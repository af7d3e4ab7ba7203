"""All that a deployment has in Redis: pictures and answers on their way, and face tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from redis.client import Redis
from redis.exceptions import RedisError

from face_server.errors import Busy, Stage
from face_server.store.scanning import Scanner

OWN = "face:*"
_SECONDS = 5.0
_AT_ONCE = 1000  # entries of a stream


def reach(url: str) -> None:
    """Raises Busy when it does not answer."""
    with _asked(url) as redis:
        redis.ping()


def erase(url: str) -> None:
    """Workers that wait there say again that they live."""
    with _asked(url) as redis:
        for key in redis.scan_iter(match=OWN, count=1000):
            redis.delete(key)


def left(url: str, scanner: Scanner) -> tuple[int, int]:
    """How many keys were looked at, and how many pieces are in them."""
    hits: set[bytes] = set()
    keys = 0
    with _asked(url) as redis:
        for key in redis.scan_iter(match=OWN, count=1000):
            keys += 1
            for value in (key, *_values(redis, key)):
                hits |= scanner.found(value)
    return keys, len(hits)


def _values(redis: Any, key: bytes) -> Iterator[bytes]:
    kind = redis.type(key)
    if kind == b"string":
        yield redis.get(key) or b""
    elif kind == b"set":
        yield from redis.sscan_iter(key)
    elif kind == b"zset":
        yield from (member for member, _ in redis.zscan_iter(key))
    elif kind == b"stream":
        first = b"-"
        while entries := redis.xrange(key, min=first, count=_AT_ONCE):
            yield from (value for _, fields in entries for value in fields.values())
            first = b"(" + entries[-1][0]


@contextmanager
def _asked(url: str) -> Iterator[Any]:
    try:
        patience = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
        with closing(Redis.from_url(url, protocol=2, **patience)) as redis:
            yield redis
    except RedisError as error:
        raise Busy(Stage.CACHE) from error
