"""Redis as one lane of a worker sees it: answer, and take the next."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from face_server.bus import names, wire
from face_server.bus.names import Names
from face_server.bus.pipe import Command, Pipe

ORPHAN_IDLE_MS = 500  # what was taken later than that is not yet looked at
ORPHANS_AT_ONCE = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    entry: bytes
    header: wire.Header
    picture: bytes
    tries: int = 1


class Exchange:
    """Every step may raise RedisError or OSError: then `renew` and the step again."""

    def __init__(self, url: str, keys: Names, consumer: str) -> None:
        self._redis = names.connect(url)
        self._pipe = Pipe(self._redis)
        self._keys, self._consumer = keys, consumer
        self._joined = False
        self._own = True  # first what this lane had when its connection broke
        self._leaving: list[Command] = []

    def renew(self) -> None:
        self._joined, self._own = False, True
        self._leaving.clear()
        self._pipe.let_go()

    def close(self) -> None:
        self._pipe.let_go()
        self._redis.close()

    def answer(self, entry: bytes, answers: str, reply: bytes) -> None:
        """Leaves with the next step. The job goes after its answer: a crash in between makes a second one."""
        jobs = self._keys.jobs
        self._leaving += [
            ("XADD", answers, "NOMKSTREAM", "MAXLEN", "~", names.ANSWERS_MOST, "*", b"a", reply),
            ("XACK", jobs, names.GROUP, entry),
            ("XDEL", jobs, entry),
        ]

    def flush(self) -> None:
        if self._leaving:
            self._execute()

    def take(self) -> Taken | None:
        """The next one, or nothing when none comes for a while."""
        self._join()
        where: Command = ("STREAMS", self._keys.jobs, "0") if self._own else ("STREAMS", self._keys.jobs, ">")
        block: Command = () if self._own else ("BLOCK", names.BLOCK_MS)
        read: Command = ("XREADGROUP", "GROUP", names.GROUP, self._consumer, "COUNT", 1, *block, *where)
        found = [entry for _, entries in self._execute(read)[-1] or () for entry in entries]
        if not found:
            self._own = False
            return None
        entry, fields = found[0]
        return self._taken(entry, dict(zip(fields[::2], fields[1::2], strict=True)) if fields else None)

    def orphan(self) -> Taken | None:
        """The oldest one that a dead worker had."""
        self.flush()
        self._join()
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
        try:
            return Taken(entry, wire.decode(wire.Header, fields[b"h"]), fields[b"p"], tries)
        except (msgspec.DecodeError, KeyError):  # whoever takes it next could not read it either
            log.exception("a job that cannot be read was dropped")
            self._redis.xack(self._keys.jobs, names.GROUP, entry)
            self._redis.xdel(self._keys.jobs, entry)
            return None

    def _join(self) -> None:
        """After a new start of Redis the group is not there."""
        if self._joined:
            return
        try:
            self._redis.xgroup_create(self._keys.jobs, names.GROUP, "0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._joined = True

    def _execute(self, *more: Command) -> list[Any]:
        results = self._pipe([*self._leaving, *more])
        self._leaving.clear()
        return results
