"""Keys in Redis, and how to reach it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.client import Redis
from redis.retry import Retry

from face_server.bus.wire import VERSION

GROUP = "workers"
PACK = f"face:{VERSION}:pack"  # the digest of the pack that servers work with
PACK_SECONDS = 10
BEAT_MS = 700  # a worker that is silent for so long is dead
BEAT_EVERY = 0.15  # seconds
ANSWERS_MS = 30_000  # answers outlive a server that has gone for so long
BLOCK_MS = 150  # a lane looks up from an empty stream so often
ANSWERS_MOST = 10_000
FIRST_WAIT, LONGEST_WAIT = 0.05, 0.4  # seconds between two attempts to reach Redis

# Which of these entries are not there, by their place in the list.
LOST = """
local lost = {}
for place, id in ipairs(ARGV) do
    if #redis.call('XRANGE', KEYS[1], id, id) == 0 then lost[#lost + 1] = place - 1 end
end
return lost
"""


@dataclass(frozen=True, slots=True)
class Names:
    digest: str

    @property
    def jobs(self) -> str:
        return self._key("jobs")

    @property
    def info(self) -> str:
        """What the pack can do; stays, so that a server can start while no worker runs."""
        return self._key("info")

    @property
    def workers(self) -> str:
        return self._key("workers")

    def beat(self, worker: str) -> str:
        return self._key(f"worker:{worker}")

    def answers(self, server: str) -> str:
        return self._key(f"answers:{server}")

    def gone(self, entry: str) -> str:
        """Is there when nobody waits for this entry any more."""
        return self._key(f"gone:{entry}")

    def _key(self, what: str) -> str:
        return f"face:{VERSION}:{self.digest}:{what}"


_ALWAYS: dict[str, Any] = {
    "protocol": 2,
    "socket_connect_timeout": 1.0,
    "socket_timeout": 1.5,
    "socket_keepalive": True,
}


def connect(url: str) -> Redis:
    """For threads. Who uses it tries again by itself, and knows what to do again."""
    return Redis.from_url(url, **_ALWAYS, retry=Retry(NoBackoff(), 0), socket_read_size=262_144)


def connect_async(url: str, **options: Any) -> AsyncRedis:
    return AsyncRedis.from_url(url, **(_ALWAYS | options), retry=AsyncRetry(NoBackoff(), 0))


class Backoff:
    """How long to wait before the next attempt."""

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def next(self) -> float:
        wait, self._next = self._next, min(2 * self._next, LONGEST_WAIT)
        return wait

    @property
    def tired(self) -> bool:
        """It has waited as long as it ever does."""
        return self._next >= LONGEST_WAIT

    def reset(self) -> None:
        self._next = FIRST_WAIT
