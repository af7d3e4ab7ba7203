"""Redis as one lane of a worker sees it: answer, and take the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError, ResponseError

from face_server.bus import names
from face_server.bus.names import Names

ORPHAN_IDLE_MS = 500  # what was taken later than that is not yet looked at
ORPHANS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    entry: bytes
    header: bytes
    picture: bytes
    tries: int = 1


class Exchange:
    """Every step may raise RedisError: then `renew` and the step again."""

    def __init__(self, url: str, keys: Names, consumer: str) -> None:
        self._redis = names.connect(url)
        self._keys, self._consumer = keys, consumer
        self._done: str | None = None  # the script
        self._own = True  # first what this lane had when its connection broke
        self._pipe = self._redis.pipeline(transaction=False)
        self._answers = 0

    def renew(self) -> None:
        self._done, self._own, self._answers = None, True, 0
        self._pipe.reset()

    def close(self) -> None:
        self._redis.close()

    def answer(self, entry: bytes, answers: str, reply: bytes) -> None:
        """Leaves with the next step."""
        self._pipe.evalsha(self._ensure(), 2, self._keys.jobs, answers, names.GROUP, entry, reply, names.ANSWERS_MS)
        self._answers += 1

    def flush(self) -> None:
        if self._answers:
            self._execute()

    def take(self) -> Taken | None:
        """The next one, or nothing when none comes for a while."""
        self._ensure()
        start = "0" if self._own else ">"
        block = None if self._own else names.BLOCK_MS
        self._pipe.xreadgroup(names.GROUP, self._consumer, {self._keys.jobs: start}, count=1, block=block)
        streams = self._execute()[-1]
        found = [entry for _, entries in streams for entry in entries]
        if not found:
            self._own = False
            return None
        return self._taken(*found[0])

    def orphan(self) -> Taken | None:
        """The oldest one that a dead worker had."""
        self.flush()
        self._ensure()
        pending: list[dict[str, Any]] = self._redis.xpending_range(
            self._keys.jobs, names.GROUP, "-", "+", ORPHANS_AT_ONCE, idle=ORPHAN_IDLE_MS
        )
        for one in self._of_the_dead(pending):
            claimed: Any = self._redis.xclaim(
                self._keys.jobs, names.GROUP, self._consumer, ORPHAN_IDLE_MS, [one["message_id"]]
            )
            for entry, fields in claimed:
                if (taken := self._taken(entry or one["message_id"], fields, one["times_delivered"] + 1)) is not None:
                    return taken
        return None

    def _of_the_dead(self, pending: list[dict[str, Any]]) -> list[dict[str, Any]]:
        owners = {one["consumer"].rpartition(b"/")[0].decode() for one in pending}
        if not owners:
            return []
        beats: Any = self._redis.mget([self._keys.beat(owner) for owner in owners])
        dead = {owner.encode() for owner, beat in zip(owners, beats, strict=True) if beat is None}
        return [one for one in pending if one["consumer"].rpartition(b"/")[0] in dead]

    def _taken(self, entry: bytes, fields: dict[bytes, bytes] | None, tries: int = 1) -> Taken | None:
        if not fields:  # withdrawn after it was taken
            self._redis.xack(self._keys.jobs, names.GROUP, entry)
            return None
        return Taken(entry, fields[b"h"], fields[b"p"], tries)

    def _ensure(self) -> str:
        """After a new start of Redis neither the group nor the script is there."""
        if self._done is not None:
            return self._done
        try:
            self._redis.xgroup_create(self._keys.jobs, names.GROUP, "0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._done = str(self._redis.script_load(names.DONE))
        return self._done

    def _execute(self) -> list[Any]:
        try:
            results: list[Any] = self._pipe.execute()
        except RedisError:
            self.renew()
            raise
        self._answers = 0
        return results
