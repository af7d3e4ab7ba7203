"""Face tokens in Redis, for servers that share one: known to all of them, bounded, gone in time.

As with the cache on disk, who answers does not wait for a token to be written, and finds it at once where it was made;
another server waits for it as long as the writing may take. A picture lies there once, however many faces it has, and
travels there once, however often it comes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from contextlib import closing
from typing import Any

from redis.backoff import NoBackoff
from redis.client import Redis
from redis.exceptions import RedisError
from redis.retry import Retry

from face_server.errors import Busy, Stage
from face_server.store.behind import Entry, WrittenBehind

log = logging.getLogger(__name__)

PREFIX = "face:tokens"
_KEYS = (f"{PREFIX}:list", f"{PREFIX}:bytes", f"{PREFIX}:picture:")
_DIGEST_BYTES = 16
_PATIENCE = 2.0  # seconds that a token waits for a Redis that is gone
_PAUSE = 0.2
ON_ITS_WAY = 0.05  # seconds in which a token of another server arrives, once its answer has left

# Keeps one picture, and drops the oldest ones until all have room. The members of the list are digest and size.
_KEEP = """
local list, total = KEYS[1], KEYS[2]
local digest, picture, lifetime, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local size = #picture
if redis.call('ZADD', list, now, digest .. struct.pack('>I4', size)) == 1 then redis.call('INCRBY', total, size) end
redis.call('SET', KEYS[3] .. digest, picture, 'PX', lifetime)
local function drop(members)
    for _, member in ipairs(members) do
        redis.call('ZREM', list, member)
        redis.call('DEL', KEYS[3] .. string.sub(member, 1, -5))
        redis.call('DECRBY', total, (struct.unpack('>I4', string.sub(member, -4))))
    end
end
drop(redis.call('ZRANGEBYSCORE', list, '-inf', now - lifetime, 'LIMIT', 0, 64))
while tonumber(redis.call('GET', total)) > most do
    local oldest = redis.call('ZRANGE', list, 0, 0)
    if #oldest == 0 then redis.call('SET', total, 0) break end
    drop(oldest)
end
"""

# Keeps these pictures for as long as new ones. The places of those that are not there.
_STILL = """
local list, pictures, lifetime = KEYS[1], KEYS[3], tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local missing = {}
for place = 2, #ARGV do
    if redis.call('PEXPIRE', pictures .. string.sub(ARGV[place], 1, -5), lifetime) == 1 then
        redis.call('ZADD', list, now, ARGV[place])
    else
        missing[#missing + 1] = place - 2
    end
end
return missing
"""


def _connect(url: str) -> Redis:
    return Redis.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=1.0, socket_connect_timeout=1.0)


def _key(app: str, token: str) -> str:
    """An app's name may have any characters."""
    return f"{PREFIX}:face:{hashlib.blake2b(app.encode(), digest_size=12).hexdigest()}:{token}"


def forget_app(url: str, app: str) -> None:
    """The tokens of an app. Pictures go when their time has come."""
    with closing(_connect(url)) as redis:
        for key in redis.scan_iter(match=_key(app, "*"), count=1000):
            redis.delete(key)


class SharedTokens(WrittenBehind):
    """What is put can be asked for at once, here and everywhere."""

    gather = 0.02  # a way to Redis for every entry would cost more than the entries

    def __init__(self, url: str, minutes: float, megabytes: int) -> None:
        super().__init__(readers=4)
        self._redis = _connect(url)
        self._lifetime = int(minutes * 60_000)
        self._most = megabytes << 20

    def close(self) -> None:
        super().close()
        self._redis.close()

    async def get_later(self, app: str, token: str, asked: float) -> tuple[bytes, bytes] | None:
        """It may be of an answer that has just left another server."""
        await asyncio.sleep(max(0.0, asked + ON_ITS_WAY - time.monotonic()))
        return await self.get(app, token)

    def _find(self, app: str, token: str) -> tuple[bytes, bytes] | None:
        try:
            known: Any = self._redis.get(_key(app, token))
            if known is None:
                return None
            picture: Any = self._redis.get(f"{PREFIX}:picture:".encode() + known[:_DIGEST_BYTES])
        except RedisError:
            raise Busy(Stage.CACHE) from None
        return None if picture is None else (picture, known[_DIGEST_BYTES:])

    # The writer thread

    def _keep(self, entries: list[Entry]) -> None:
        """A Redis that stays away costs the caller a token that expires early, never an answer."""
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self._write(entries)
                return
            except RedisError as error:
                if time.monotonic() > end:
                    log.warning("face tokens could not be shared: %s", error)
                    return
                time.sleep(_PAUSE)

    def _write(self, entries: list[Entry]) -> None:
        digests = [hashlib.blake2b(picture, digest_size=_DIGEST_BYTES).digest() for _, picture, _ in entries]
        pictures = {digest: picture for digest, (_, picture, _) in zip(digests, entries, strict=True)}
        pipe = self._redis.pipeline(transaction=False)
        for digest in self._missing(pictures):
            pipe.eval(_KEEP, len(_KEYS), *_KEYS, digest, pictures[digest], self._lifetime, self._most)
        for (app, _, faces), digest in zip(entries, digests, strict=True):
            for token, record in faces:
                pipe.set(_key(app, token), digest + record, px=self._lifetime)
        pipe.execute()

    def _missing(self, pictures: dict[bytes, bytes]) -> list[bytes]:
        """Which of them are not there; the others stay as long as new ones."""
        members = [digest + len(picture).to_bytes(4, "big") for digest, picture in pictures.items()]
        places: Any = self._redis.eval(_STILL, len(_KEYS), *_KEYS, self._lifetime, *members)
        known = list(pictures)
        return [known[place] for place in places]
