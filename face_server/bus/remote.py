"""Vision by workers: a request's picture waits here for its turn, travels to whichever worker is free, and the answer
finds its way back by the number of the question."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from redis.exceptions import RedisError

from face_server.bus import names, wire
from face_server.bus.link import Link
from face_server.bus.turns import Turns
from face_server.engine.meter import Meter
from face_server.engine.pace import Pace
from face_server.errors import Busy, Cancelled, Stage
from face_server.model import Analysis, Cleaned, Task
from face_server.request import RequestContext, checkpoint, current
from face_server.vision.protocol import Then, VisionInfo

log = logging.getLogger(__name__)

WAITING_MOST = 4096  # pictures in this server
# Pictures of a server on their way for every lane there is: one that runs and one that is ready for it. So the stream
# is never longer than this times the lanes times the servers, and what must wait does so where it can be refused.
WINDOW = 2
PATIENCE = 1.0  # seconds that requests wait for Redis, or for the first worker, to come back
HEADROOM = 0.9  # share of the time left that the way through the queue may take: an estimate is no promise
LEARNING = 0.1  # weight of the newest answer in the average
LOOK_EVERY = 0.1  # seconds
NO_DEADLINE = 60.0  # seconds for work that no request asks for


@dataclass(slots=True, eq=False)
class Job:
    id: bytes
    picture: bytes
    task: Task | None
    request: RequestContext | None
    deadline: float
    future: asyncio.Future[wire.Reply]
    ahead: int
    begun: float = field(default_factory=time.monotonic)
    entry: bytes | None = None  # on the stream

    @property
    def app(self) -> str:
        return self.request.app if self.request else ""

    @property
    def size(self) -> int:
        return len(self.picture)

    @property
    def answered(self) -> bool:
        return self.future.done() and not self.future.cancelled() and self.future.exception() is None

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class RemoteVision:
    def __init__(self, url: str, digest: str, info: VisionInfo, *, queue_bytes: int, meter: Meter) -> None:
        self.info = info
        server = f"{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(6)}"
        self._link = Link(url, digest, server)
        self._turns: Turns[Job] = Turns(WAITING_MOST, queue_bytes)
        self._away: dict[bytes, Job] = {}  # put on the stream, not yet answered
        self._withdrawn: list[bytes] = []
        self._wake = asyncio.Event()
        self._up = False
        self._missing_since: float | None = time.monotonic()  # Redis, or every worker
        self._closed = False
        self._meter, self._pace = meter, Pace()
        self._tasks: list[asyncio.Task[None]] = []
        self._step = 0.0  # seconds that one picture ahead costs, on average
        self.lanes = 0
        self.workers = 0

    # What the core knows

    @property
    def ready(self) -> bool:
        return self._up and self.lanes > 0 and not self._closed

    @property
    def up(self) -> bool:
        """Redis answers."""
        return self._up

    @property
    def length(self) -> int:
        return len(self._turns)

    @property
    def away(self) -> int:
        return len(self._away)

    async def admit(self) -> None:
        """Raise now what `analyze` would raise later, as far as that is known without the app."""
        try:
            self._check_open()
        except Busy as busy:
            await self._refuse(busy)
            raise

    async def _refuse(self, busy: Busy) -> None:
        self._meter.refused(busy.stage.value)
        await self._pace.refuse()

    async def analyze(self, picture: bytes, task: Task, then: Then | None = None) -> Analysis:
        analysis = (await self._ask(picture, task)).analysis
        assert analysis is not None
        return analysis

    async def clean(self, picture: bytes) -> Cleaned:
        cleaned = (await self._ask(picture, None)).cleaned
        assert cleaned is not None
        return cleaned

    async def start(self) -> None:
        """Returns when Redis has been asked once, so that the first request finds the workers."""
        loops: tuple[Callable[[], Awaitable[None]], ...] = (self._write, self._read, self._look)
        with suppress(RedisError):
            await self._recover()
            await self._count_workers()
        self._tasks = [asyncio.create_task(self._again(step)) for step in loops]

    async def close(self) -> None:
        self.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.close()

    def drain(self) -> None:
        """Refuse what waits and what comes."""
        self._closed = True
        self._refuse_all(Stage.SHUTDOWN)

    # One question

    async def _ask(self, picture: bytes, task: Task | None) -> wire.Reply:
        checkpoint()
        job = self._job(picture, task)
        try:
            self._admit(job)
        except Busy as busy:
            await self._refuse(busy)
            raise
        for dropped in self._turns.put(job):
            dropped.fail(Busy(Stage.QUEUE))
        self._wake.set()
        try:
            async with asyncio.timeout(job.deadline - time.monotonic()) as limit:
                reply = await job.future
        except TimeoutError:
            if limit.expired():
                raise Busy(Stage.DEADLINE) from None
            raise
        finally:
            self._leave(job)
        return self._read_reply(job, reply)

    def _job(self, picture: bytes, task: Task | None) -> Job:
        request = current.get()
        deadline = request.deadline if request else time.monotonic() + NO_DEADLINE
        future: asyncio.Future[wire.Reply] = asyncio.get_running_loop().create_future()
        ahead = len(self._away) + self._turns.ahead(request.app if request else "")
        return Job(secrets.token_bytes(8), picture, task, request, deadline, future, ahead)

    def _check_open(self) -> None:
        if self._closed:
            raise Busy(Stage.SHUTDOWN)
        if self._missing_since is not None and time.monotonic() - self._missing_since > PATIENCE:
            raise Busy(Stage.QUEUE)

    def _admit(self, job: Job) -> None:
        self._check_open()
        if job.ahead * self._step > (job.deadline - time.monotonic()) * HEADROOM:
            raise Busy(Stage.QUEUE)

    def _leave(self, job: Job) -> None:
        """However it ended: nothing of it stays behind."""
        if job.answered:
            return
        if self._away.pop(job.id, None) is None:
            self._turns.remove(job)
        elif job.entry is not None:
            self._withdrawn.append(job.entry)
        self._wake.set()

    def _read_reply(self, job: Job, reply: wire.Reply) -> wire.Reply:
        if job.request is not None:
            for name, spent in reply.stages.items():
                job.request.stages[name] = job.request.stages.get(name, 0.0) + spent
        if reply.failure is not None:
            raise wire.raised(*reply.failure)
        return reply

    def _settle(self, data: bytes) -> None:
        try:
            reply = wire.decode(wire.Reply, data)
        except msgspec.DecodeError:  # who waits for it waits in vain; those who came with it do not
            log.exception("an answer cannot be read")
            return
        job = self._away.pop(reply.id, None)
        if job is None or job.future.done():
            return  # a second answer, or nobody waits
        step = (time.monotonic() - job.begun) / (job.ahead + 1)
        self._step += (step - self._step) * (LEARNING if self._step else 1.0)
        job.future.set_result(reply)

    # Beside the questions

    async def _again(self, step: Callable[[], Awaitable[None]]) -> None:
        """One of the three loops: whatever happens to Redis, it goes on."""
        backoff = names.Backoff()
        while True:
            try:
                await step()
                backoff.reset()
            except (RedisError, OSError) as error:
                self._fell(error)
                await asyncio.sleep(backoff.next())
            except Exception:
                log.exception("the bus stumbled")
                await asyncio.sleep(backoff.next())

    def _fell(self, error: Exception) -> None:
        if self._up:
            log.warning("Redis is gone: %s", error)
        self._up = False
        self._missing_since = self._missing_since or time.monotonic()

    async def _write(self) -> None:
        await self._wake.wait()
        self._wake.clear()
        if not self._up:
            return  # woken again when it is back
        if self._withdrawn:
            gone, self._withdrawn = self._withdrawn, []
            await self._link.withdraw(gone)
        while jobs := self._next():
            headers = [(wire.encode(self._header(job)), job.picture) for job in jobs]
            entries = await self._link.put(headers)
            for job, entry in zip(jobs, entries, strict=True):
                self._has_put(job, entry)

    def _next(self) -> list[Job]:
        """What may leave now: so much that no lane waits, so little that apps come in turn."""
        jobs: list[Job] = []
        while len(self._away) < WINDOW * self.lanes and (job := self._turns.take()) is not None:
            if job.future.done():
                continue
            self._away[job.id] = job
            jobs.append(job)
        return jobs

    def _header(self, job: Job) -> wire.Header:
        left = job.deadline - time.monotonic()
        log_id = job.request.log_id if job.request else 0
        return wire.Header(job.id, self._link.answers, left, log_id, job.task)

    def _has_put(self, job: Job, entry: bytes) -> None:
        job.entry = entry
        if job.id not in self._away and not job.answered:  # its request ended in between
            self._withdrawn.append(entry)
            self._wake.set()

    async def _read(self) -> None:
        if not self._up:
            await self._recover()
        for data in await self._link.read():
            self._settle(data)
        self._wake.set()

    async def _recover(self) -> None:
        """Redis is there (again). What it has lost of our jobs is put again."""
        await self._link.prepare()
        away = list(self._away.values())
        known = [job for job in away if job.entry is not None]
        lost = await self._link.lost([job.entry for job in known if job.entry is not None])
        while answers := await self._link.read(wait=False):  # what was answered is not lost
            for data in answers:
                self._settle(data)
        gone = {job.id for job in away if job.entry is None} | {known[place].id for place in lost}
        for job in reversed(away):
            if job.id in gone and self._away.pop(job.id, None) is not None:
                job.entry = None
                self._turns.put_back(job)
        if not self._up and self._tasks:
            log.info("Redis is back", extra={"put_again": len(gone)})
        self._up = True
        self._wake.set()

    async def _look(self) -> None:
        """Who lives; and who has stopped waiting."""
        if self._up:
            await self._count_workers()
        self._give_up()
        await asyncio.sleep(LOOK_EVERY)

    async def _count_workers(self) -> None:
        beats = [beat for beat in await self._link.look() if beat.ready]
        self.workers, self.lanes = len(beats), sum(beat.lanes for beat in beats)
        if self.ready:
            self._missing_since = None
            self._wake.set()
        else:
            self._missing_since = self._missing_since or time.monotonic()

    def _give_up(self) -> None:
        for job in (*self._away.values(), *self._turns):
            if job.request is not None and job.request.cancelled:
                job.fail(Cancelled())
        if self._missing_since is None or time.monotonic() - self._missing_since < PATIENCE:
            return
        for job in self._turns:
            job.fail(Busy(Stage.QUEUE))
        if not self._up:  # else what is on the stream may still find a worker, within its deadline
            self._refuse_all(Stage.QUEUE)

    def _refuse_all(self, stage: Stage) -> None:
        for job in (*self._away.values(), *self._turns):
            job.fail(Busy(stage))
