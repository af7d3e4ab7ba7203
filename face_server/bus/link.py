"""Redis as a server sees it. Every step may raise RedisError; after one `prepare` comes first."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from face_server.bus import names, wire
from face_server.bus.names import Names
from face_server.bus.pipe import AsyncPipe, Command
from face_server.vision.protocol import VisionInfo

log = logging.getLogger(__name__)

AT_ONCE = 256  # answers taken together
KEEP_GONE_MS = 10_000
READ_BLOCK_MS = 500


async def learn(url: str, digest: str) -> VisionInfo | None:
    """What the pack can do, as its workers know; nothing when none was there yet."""
    redis = names.connect_async(url)
    try:
        known: Any = await redis.get(Names(digest).info)
    except RedisError as error:
        log.warning("Redis cannot be reached: %s", error)
        return None
    finally:
        await redis.aclose()
    return None if known is None else wire.decode(VisionInfo, known)


def _behind(entry: bytes) -> str:
    milliseconds, _, number = entry.decode().partition("-")
    return f"{milliseconds}-{int(number or 0) + 1}"


class Link:
    def __init__(self, url: str, digest: str, server: str) -> None:
        self.names = Names(digest)
        self.answers = self.names.answers(server)
        self._redis = names.connect_async(url)
        self._writing, self._reading = AsyncPipe(url), AsyncPipe(url)
        self._last = b"0"

    async def close(self) -> None:
        await self._writing.close()
        await self._reading.close()
        await self._redis.aclose()

    async def prepare(self) -> None:
        """After a new start of Redis nothing there is as it was. Workers answer only where somebody has made room."""
        await self._redis.xadd(self.answers, {b"a": b""})
        await self._redis.pexpire(self.answers, names.ANSWERS_MS)
        self._last = b"0"

    async def put(self, jobs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """The entry of each header and picture."""
        return await self._writing(*(("XADD", self.names.jobs, "*", b"h", head, b"p", body) for head, body in jobs))

    async def read(self, wait: bool = True) -> list[bytes]:
        """Answers that were not read before."""
        block: Command = ("BLOCK", READ_BLOCK_MS) if wait else ()
        trim: Command = ("XTRIM", self.answers, "MINID", _behind(self._last))  # no face stays there that was read
        read: Command = ("XREAD", "COUNT", AT_ONCE, *block, "STREAMS", self.answers, self._last)
        _, streams = await self._reading(trim, read)
        found = [entry for _, entries in streams or () for entry in entries]
        if found:
            self._last = found[-1][0]
        return [answer for _, (_, answer) in found if answer]

    async def withdraw(self, entries: Sequence[bytes]) -> None:
        """Nobody waits for these: who has not begun shall not, who has begun shall stop."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.xdel(self.names.jobs, *entries)
        for entry in entries:
            pipe.set(self.names.gone(entry.decode()), b"1", px=KEEP_GONE_MS)
        await pipe.execute()

    async def lost(self, entries: Sequence[bytes]) -> set[int]:
        """The places of those that are not on the stream."""
        if not entries:
            return set()
        found: Any = await self._redis.eval(names.LOST, 1, self.names.jobs, *entries)
        return set(found)

    async def look(self) -> list[wire.Beat]:
        """The living workers; and says that this server lives."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(names.PACK, self.names.digest, ex=names.PACK_SECONDS)
        pipe.pexpire(self.answers, names.ANSWERS_MS)
        pipe.smembers(self.names.workers)
        *_, known = await pipe.execute()
        if not known:
            return []
        beats: Any = await self._redis.mget([self.names.beat(worker.decode()) for worker in known])
        dead = [worker for worker, beat in zip(known, beats, strict=True) if beat is None]
        if dead:
            await self._redis.srem(self.names.workers, *dead)
        return [wire.decode(wire.Beat, beat) for beat in beats if beat is not None]
