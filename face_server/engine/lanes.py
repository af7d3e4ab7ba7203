"""Lanes: a few threads that do the heavy work of the requests, with one bounded queue in front of them.

A request that cannot be answered in time is refused the moment it comes; what waits and is wanted by nobody any more
is thrown away without running. So the lanes only ever work on answers that somebody will read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from face_server.engine.answers import Answers
from face_server.engine.meter import Meter, NoMeter
from face_server.engine.pace import Pace
from face_server.errors import Busy, Cancelled, FaceError, Stage
from face_server.request import RequestContext, background, current

T = TypeVar("T")

log = logging.getLogger(__name__)

HEADROOM = 0.9  # share of the time left that the queue may use up: an estimate is no promise
MUCH = 2  # work waiting for every lane: from then on results go together
QUICK_SECONDS = 0.05  # of work on average: the results of slower work do not wait
SPARE = 2.0  # times the average: what is begun with less time left is often late
LEARNING = 0.1  # weight of the newest piece of work in the average
NICENESS = 2  # of a lane, relative to the process: the event loop is short of breath first when cores are full
SWITCH_SECONDS = 0.0005  # how long a thread may hold the interpreter when another one, such as the event loop, wants it


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    work: Callable[[], T]
    size: int
    urgent: bool
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[T]
    context: Context
    request: RequestContext | None
    queued: float
    background: bool
    abandoned: bool = False
    result: T | None = None
    error: BaseException | None = None

    def refusal(self, needed: float) -> FaceError | None:
        """Why this should not run any more. It needs about so many seconds."""
        if self.abandoned or (self.request is not None and self.request.cancelled):
            return Cancelled()
        if self.request is not None and time.monotonic() + needed >= self.request.deadline:
            return Busy(Stage.DEADLINE)
        return None

    def expire(self) -> None:
        if not self.future.done():
            self.future.set_exception(Busy(Stage.DEADLINE))

    def tell(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class Lanes:
    def __init__(self, count: int, *, queue_bytes: int, queue_length: int = 4096, meter: Meter | None = None) -> None:
        self.count = count
        self.restarts = 0
        self._limits = (queue_length, queue_bytes)
        self._meter = meter or NoMeter()
        self._pace = Pace()
        self._lock = threading.Lock()
        # Lanes without work. The last one to stop is the first to go on: its caches still know the networks.
        self._idle: list[threading.Condition] = []
        self._urgent: deque[_Job[object]] = deque()
        self._waiting: deque[_Job[object]] = deque()
        self._background: deque[_Job[object]] = deque()
        self._bytes = 0
        self._running = 0
        self._alive = 0
        self._closed = False
        self._answers = Answers()
        self._seconds = 0.0  # average lane time of one request, its urgent work included
        self._unbilled = 0.0  # lane time of urgent work that is not yet in the average

    @property
    def ready(self) -> bool:
        """Asking also tries again to replace a lane that could not be replaced before."""
        with self._lock:
            self._replace_dead()
            return self._alive == self.count and not self._closed

    @property
    def alive(self) -> int:
        return self._alive

    @property
    def length(self) -> int:
        return len(self._urgent) + len(self._waiting)

    @property
    def wait_seconds(self) -> float:
        """How long a piece of work would wait that comes now."""
        ahead = self.length + self._running - self.count + 1
        return max(0, ahead) * self._seconds / self.count

    def start(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        for _ in range(self.count):
            self._start_lane()

    def _start_lane(self) -> None:
        threading.Thread(target=self._lane, args=(self._alive,), name=f"lane-{self._alive}", daemon=True).start()
        self._alive += 1

    async def admit(self) -> None:
        """Raise now what `submit` would raise later, before anything was spent on the request of the caller."""
        request = current.get()
        try:
            if self._closed:
                raise Busy(Stage.SHUTDOWN)
            self._admit(0, request)
        except Busy as busy:
            await self._refuse(busy)
            raise

    async def _refuse(self, busy: Busy) -> None:
        self._meter.refused(busy.stage.value)
        await self._pace.refuse()

    async def submit(self, work: Callable[[], T], *, size: int = 0, urgent: bool = False) -> T:
        """Run the work in a lane, with the context of the caller. Urgent work ends a request that was let in before.
        Work in the background is never refused and waits until no request does; its caller keeps it few."""
        job = self._job(work, size, urgent)
        self._answers.tell(job.loop)
        try:
            self._enqueue(job)
        except Busy as busy:
            await self._refuse(busy)
            raise
        # Cheaper than asyncio.timeout, which every request would pay for.
        left = None if job.request is None else job.request.deadline - time.monotonic()
        alarm = None if left is None else job.loop.call_later(left, job.expire)
        try:
            return await job.future
        finally:
            job.abandoned = True
            if alarm is not None:
                alarm.cancel()

    def _job(self, work: Callable[[], T], size: int, urgent: bool) -> _Job[T]:
        loop = asyncio.get_running_loop()
        request, behind = current.get(), background.get()
        size = 0 if behind else size
        return _Job(work, size, urgent, loop, loop.create_future(), copy_context(), request, time.monotonic(), behind)

    def _enqueue(self, job: _Job[T]) -> None:
        with self._lock:
            if self._closed:
                raise Busy(Stage.SHUTDOWN)
            self._replace_dead()
            if job.background:
                self._background.append(job)  # type: ignore[arg-type]
            elif job.urgent:
                self._urgent.append(job)  # type: ignore[arg-type]
            else:
                self._admit(job.size, job.request)
                self._waiting.append(job)  # type: ignore[arg-type]
            self._bytes += job.size
            self._wake_one()

    def _wake_one(self) -> None:
        """Called with the lock held."""
        if self._idle:
            self._idle.pop().notify()

    def _admit(self, size: int, request: RequestContext | None) -> None:
        longest, heaviest = self._limits
        if len(self._waiting) >= longest or (self._bytes and self._bytes + size > heaviest):
            raise Busy(Stage.QUEUE)
        if request is not None:
            left = request.deadline - time.monotonic()
            if left <= 0:
                raise Busy(Stage.DEADLINE)
            if self.wait_seconds > left * HEADROOM:
                raise Busy(Stage.QUEUE)

    def close(self) -> None:
        """Refuse what waits and what comes; what runs may end."""
        with self._lock:
            self._closed = True
            jobs = [*self._urgent, *self._waiting, *self._background]
            for queue in (self._urgent, self._waiting, self._background):
                queue.clear()
            self._bytes = 0
            while self._idle:
                self._wake_one()
        for job in jobs:
            self._meter.refused(Stage.SHUTDOWN.value)
            self._settle(job, None, Busy(Stage.SHUTDOWN))

    # In the lane threads

    def _lane(self, number: int) -> None:
        lower_priority()
        if self.count == len(cores := usable_cores()):
            stay_on(cores[number])
        wake = threading.Condition(self._lock)
        try:
            while (job := self._take(wake)) is not None:
                self._run(job)
                del job  # an idle lane must not keep the last picture alive
        except BaseException:
            log.exception("a lane died")
            self._bury()

    def _take(self, wake: threading.Condition) -> _Job[object] | None:
        with self._lock:
            while not self._closed:
                queue = self._urgent or self._waiting
                if not queue:
                    self._answers.send()  # nobody else may come by for a while
                    queue = self._background
                if queue:
                    job = queue.popleft()
                    self._bytes -= job.size
                    self._running += 1
                    return job
                self._idle.append(wake)
                wake.wait()
        self._answers.send()  # what was held for work that is refused now
        return None

    def _run(self, job: _Job[object]) -> None:
        begun = time.monotonic()
        # While others wait, no time goes to what would be late anyway. Who is alone is tried: the average may be wrong.
        refusal = job.refusal(SPARE * self._seconds if self._waiting and not job.urgent else 0.0)
        if refusal is not None:
            self._learn(job, None)
            self._meter.refused("deadline" if isinstance(refusal, Busy) else "gone")
            self._settle(job, None, refusal)
            return
        if not job.background:
            self._meter.queued(begun - job.queued)
        result, error = None, None
        try:
            result = job.context.run(job.work)
        except BaseException as raised:
            error = raised
        self._learn(job, time.monotonic() - begun)
        if error is None or isinstance(error, Exception):
            self._settle(job, result, error)
        else:  # not a failure of the work but the end of the thread
            self._settle(job, None, RuntimeError(f"the lane died: {error!r}"))
            raise error

    def _settle(self, job: _Job[object], result: object, error: BaseException | None) -> None:
        job.result, job.error = result, error
        more = len(self._waiting) >= MUCH * self.count and self._seconds < QUICK_SECONDS
        self._answers.give(job, hold=more and not job.urgent)

    def _learn(self, job: _Job[object], seconds: float | None) -> None:
        with self._lock:
            self._running -= 1
            if seconds is None:
                return
            if job.urgent:
                self._unbilled += seconds
                return
            seconds, self._unbilled = seconds + self._unbilled, 0.0
            self._seconds += (seconds - self._seconds) * (LEARNING if self._seconds else 1.0)

    def _bury(self) -> None:
        with self._lock:
            self._alive -= 1
            self._replace_dead()

    def _replace_dead(self) -> None:
        """Called with the lock held. When no thread can be started now, the next submission tries again."""
        while self._alive < self.count and not self._closed:
            try:
                self._start_lane()
            except RuntimeError as error:
                log.error("a dead lane cannot be replaced: %s", error)
                return
            self.restarts += 1
            self._meter.restarted("lane")


def usable_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def stay_on(core: int) -> None:
    """For the calling thread. Every request wakes the event loop several times, and each time the scheduler would move
    a lane out of its way, to a core whose caches know nothing of it: a tenth of its speed. Only where there is a lane
    for every core; two servers with half as many each would otherwise meet on the same ones."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {core})


def lower_priority() -> None:
    """On Linux a thread has a niceness of its own."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS))
