"""A worker: lanes that take pictures from the stream, one at a time, and answer whoever asked.

A lane takes a picture only when it can begin with it. With the answer it asks for the next one, in one step. What a
lane has taken stays noted in Redis until it is answered; when a worker is silent, the others take over what it had.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from redis.exceptions import RedisError

from face_server.bus import names, wire
from face_server.bus.lane import Exchange, Taken
from face_server.bus.names import Names
from face_server.engine.lanes import lower_priority, stay_on, usable_cores
from face_server.errors import Busy, Cancelled, FaceError, Stage
from face_server.request import RequestContext, current
from face_server.vision.analyzer import Analyzer
from face_server.vision.protocol import VisionInfo

log = logging.getLogger(__name__)

ORPHANS_EVERY = 0.2  # seconds between two looks for what dead workers had
MOST_TRIES = 3  # workers that may die of one picture


class OtherPack(FaceError):
    """The servers work with another pack."""


@dataclass(slots=True)
class Done:
    entry: bytes
    answers: str
    reply: bytes


class Heard(Protocol):
    """Who keeps the figures of a worker."""

    def answered(self, result: str, age: float, stages: Mapping[str, float], reclaimed: bool) -> None:
        """One picture: ok or why not, the seconds until a lane began with it, milliseconds of each stage."""


class Worker:
    def __init__(
        self,
        url: str,
        digest: str,
        analyzer: Analyzer,
        info: VisionInfo,
        *,
        lanes: int,
        device: str,
        ready: Callable[[], bool] = lambda: True,
        heard: Heard | None = None,
    ) -> None:
        self.id = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(4)}"
        self.lanes = lanes
        self._url, self._names = url, Names(digest)
        self._analyzer, self._info, self._device, self._ready = analyzer, info, device, ready
        self._heard = heard
        self._redis = names.connect(url)
        self._ending = threading.Event()
        self._running: dict[bytes, RequestContext] = {}  # by entry
        self._lock = threading.Lock()  # of the one above and the time below
        self._next_look = 0.0
        self._clock = 0.0  # what Redis's clock is ahead of ours
        self._threads: list[threading.Thread] = []
        self._beaten = 0.0  # when Redis last heard of us

    @property
    def alive(self) -> int:
        """Lanes that work."""
        return sum(thread.is_alive() for thread in self._threads)

    @property
    def busy(self) -> int:
        """Lanes that have a picture in their hands."""
        return len(self._running)

    @property
    def ready(self) -> bool:
        """Servers know of this worker and may give it pictures."""
        fresh = time.monotonic() - self._beaten < names.BEAT_MS / 1000
        return fresh and self._ready() and not self._ending.is_set()

    def start(self) -> None:
        """Join the others. Raises RedisError, or OtherPack."""
        self._check_pack()
        self._beat()
        loops = [threading.Thread(target=self._keep_alive, name="heart", daemon=True)]
        loops += [
            threading.Thread(target=self._lane, args=(n,), name=f"lane-{n}", daemon=True) for n in range(self.lanes)
        ]
        for thread in loops:
            thread.start()
        self._threads = loops[1:]

    def stop(self) -> None:
        """What has begun is answered; nothing more is taken."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        with suppress(RedisError):
            self._redis.delete(self._names.beat(self.id))
            self._redis.srem(self._names.workers, self.id)

    def _check_pack(self) -> None:
        theirs = self._redis.get(names.PACK)
        if isinstance(theirs, bytes) and theirs.decode() != self._names.digest:
            raise OtherPack(f"the servers work with pack {theirs.decode()}, not with {self._names.digest}")

    # The heart

    def _keep_alive(self) -> None:
        while not self._ending.is_set() or any(thread.is_alive() for thread in self._threads):
            time.sleep(names.BEAT_EVERY)
            try:
                self._beat()
            except (RedisError, OSError) as error:
                log.debug("no beat: %s", error)
            except Exception:
                log.exception("a beat failed")

    def _beat(self) -> None:
        """Say that we live, set the clock, and hear which of our pictures nobody waits for."""
        with self._lock:
            entries = list(self._running)
        ready = self._ready() and not self._ending.is_set()
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.set(self._names.beat(self.id), wire.encode(wire.Beat(self.lanes, ready, self._device)), px=names.BEAT_MS)
        pipe.sadd(self._names.workers, self.id)
        pipe.set(self._names.info, wire.encode(self._info))
        pipe.mget(self._names.beat(""), *(self._names.gone(entry.decode()) for entry in entries))
        (seconds, micros), *_, gone = pipe.execute()
        self._beaten = time.monotonic()
        self._clock = seconds + micros / 1e6 - self._beaten
        for entry, flag in zip(entries, gone[1:], strict=True):
            request = self._running.get(entry)
            if flag is not None and request is not None:
                request.cancelled = True

    # The lanes

    def _lane(self, number: int) -> None:
        lower_priority()  # a server and Redis on the same machine come first: they have what lanes wait for
        if self.lanes == len(cores := usable_cores()):
            stay_on(cores[number])
        exchange = Exchange(self._url, self._names, f"{self.id}/{number}")
        backoff = names.Backoff()
        done: Done | None = None
        while done is not None or not self._ending.is_set():
            try:
                taken, done = self._next(exchange, done), None
                backoff.reset()
            except (RedisError, OSError) as error:
                exchange.renew()
                if self._ending.is_set() and done is not None and backoff.tired:
                    return  # another worker will do it again
                log.debug("a lane waits for Redis: %s", error)
                time.sleep(backoff.next())
                continue
            if taken is not None:
                done = self._work(taken)
                del taken  # an idle lane must not keep the last picture alive
        exchange.close()

    def _next(self, exchange: Exchange, done: Done | None) -> Taken | None:
        if done is not None:
            exchange.answer(done.entry, done.answers, done.reply)
        if self._ending.is_set():
            exchange.flush()
            return None
        if self._may_look() and (orphan := exchange.orphan()) is not None:
            with self._lock:
                self._next_look = 0.0  # where one is, more may be
            return orphan
        if not self._ready():
            exchange.flush()
            time.sleep(names.BEAT_EVERY)
            return None
        return exchange.take()

    def _may_look(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now < self._next_look:
                return False
            self._next_look = now + ORPHANS_EVERY
            return True

    def _work(self, taken: Taken) -> Done | None:
        header = taken.header
        begun = int(taken.entry.partition(b"-")[0]) / 1000
        request = RequestContext(header.log_id, begun + header.seconds - self._clock)
        with self._lock:
            self._running[taken.entry] = request
        current.set(request)
        age = time.monotonic() + self._clock - begun
        try:
            reply = self._answer(taken, request)
        finally:
            with self._lock:
                del self._running[taken.entry]
        if self._heard:
            result = reply.failure[0] if reply.failure else "ok"
            self._heard.answered(result, age, reply.stages, reclaimed=taken.tries > 1)
        return Done(taken.entry, header.answers, wire.encode(reply))

    def _answer(self, taken: Taken, request: RequestContext) -> wire.Reply:
        header = taken.header
        try:
            if taken.tries > MOST_TRIES:
                log.error("a picture was given up: %d workers died of it", MOST_TRIES)
                raise Busy(Stage.DETECT)
            if header.task is None:
                return wire.Reply(header.id, request.stages, None, cleaned=self._analyzer.clean(taken.picture))
            analysis = self._analyzer.analyze(taken.picture, header.task)
            return wire.Reply(header.id, request.stages, None, analysis=analysis)
        except BaseException as error:
            if not isinstance(error, FaceError):
                log.exception("a picture could not be worked on")
            elif isinstance(error, Cancelled):
                log.debug("nobody waits for %d any more", header.log_id)
            return wire.Reply(header.id, request.stages, wire.failure(error))
