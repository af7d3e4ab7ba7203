"""Long work in the background. What it was and what came of it are rows, so they outlive the page and the process.

A deletion waits ten seconds before it begins and can be taken back until then.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from face_server.admin.failures import Refusal, missing, refusal
from face_server.admin.gate import who_asks
from face_server.admin.limits import Proposal, accepted
from face_server.admin.paging import LIMIT, Cursor, Id, Limit, Page, number_after, page
from face_server.admin.roles import Who
from face_server.errors import FaceError
from face_server.store.work import CANCELLED, FAILED, INTERRUPTED, LEASE, RUNNING, WAITING, Cells, JobRow, JobRows

UNDO_SECONDS = 10.0
TELL_EVERY = 1.0  # seconds between two notes of how far a job is
LIVE_EVERY = 3.0  # seconds between two signs of life
AT_ONCE = 1  # besides deletions: such work would take the cores from the requests

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    done: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    columns: Sequence[str] = ()
    rows: Sequence[Cells] = ()


Work = Callable[[Mapping[str, str], Progress], Awaitable[Result]]


@dataclass(slots=True)
class _Running:
    row: JobRow
    progress: Progress = field(default_factory=Progress)
    task: asyncio.Task[None] | None = None


State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]


class Job(BaseModel):
    id: str
    kind: str
    what: dict[str, str]
    state: State
    done: int
    total: int | None
    created: float
    starts: float
    ended: float | None
    by: str
    error: str | None
    columns: list[str]
    rows: int


class NewJob(BaseModel):
    kind: Literal["duplicates", "doubtful", "gates", "reextract"]
    app: Annotated[str, Field(min_length=1, max_length=128)]
    group: Annotated[str | None, Field(min_length=1, max_length=128)] = None  # gates, reextract: all of the app
    own: Proposal | None = None  # gates: limits that are tried beside those that the app has
    # Below it every hundredth pair of strangers is alike, and that is no finding.
    score: Annotated[float, Field(ge=60, le=100)] = 90


class Table(Page[list[str | int | float | None]]):
    columns: list[str]


class Jobs:
    """`deletions` go on after a restart, and so do searches that are `lasting`; all others, which change nothing or
    are begun again easily, do not."""

    def __init__(
        self,
        rows: JobRows,
        deletions: Mapping[str, Work],
        searches: Mapping[str, Work],
        undo_seconds: float = UNDO_SECONDS,
        lasting: Collection[str] = (),
    ) -> None:
        self._rows, self._deletions, self._searches = rows, deletions, searches
        self._undo_seconds, self._lasting = undo_seconds, frozenset({*deletions, *lasting})
        self._running: dict[int, _Running] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._living: asyncio.Task[None] | None = None

    # Start and end of the process

    async def open(self) -> None:
        await self._take_over()
        self._living = asyncio.create_task(self._live())

    async def close(self) -> None:
        """What is not finished is found by the next start, or by a server beside this one."""
        tasks = [running.task for running in self._running.values() if running.task]
        for task in [*tasks, *([self._living] if self._living else [])]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(FaceError):  # then they wait until this process is taken for dead
            await self._rows.let_go()

    async def _take_over(self) -> None:
        """The jobs of processes that are gone."""
        for row in await self._rows.abandoned():
            if row.id in self._running or not await self._rows.take(row.id):
                continue
            if row.kind in self._lasting:
                await self._rows.change_mine(row.id, state=WAITING)
                self._begin(row)
            else:
                await self._rows.change_mine(row.id, state=INTERRUPTED, ended=time.time())

    async def _live(self) -> None:
        """Tell that this process lives, and look for others that do not any more. Who could not tell it for a while
        waits before it judges others: they may have had the same trouble."""
        judges = 0.0
        while True:
            try:
                if self._running:
                    await self._rows.live()
                if time.monotonic() > judges:
                    await self._take_over()
            except FaceError as error:
                judges = time.monotonic() + LEASE
                log.warning("the jobs could not be looked after: %s", error)
            except Exception:
                log.exception("the jobs could not be looked after")
            await asyncio.sleep(LIVE_EVERY)

    # For the library

    async def delete(self, kind: str, what: Mapping[str, str], who: Who) -> Job:
        self.refuse_deleting(*what.values())
        return await self._add(kind, what, self._undo_seconds, who)

    def refuse_deleting(self, *what: str) -> None:
        """What is about to go must not take with it what was added meanwhile."""
        pending = self.deleting(*what)
        if pending is not None:
            raise Refusal(409, "deleting", f"Job {pending} is about to delete it: take that back, or wait.")

    def deleting(self, *what: str) -> str | None:
        """The job that will delete exactly this, by the names that lead to it."""
        for job_id, running in self._running.items():
            if running.row.kind in self._deletions and tuple(running.row.what.values()) == what:
                return str(job_id)
        return None

    # The API

    async def add(self, request: Request, new: NewJob) -> Job:
        """Looks through a group: for faces that need a second look, for what the gates would have refused, or for faces
        of another pack, which get new templates; those that cannot are the rows of its result."""
        what = {"app": new.app}
        if new.group is not None:
            what["group"] = new.group
        elif new.kind not in ("gates", "reextract"):
            raise Refusal(400, "bad_parameter", "group: a group is expected.", "group")
        if new.kind == "duplicates":
            what["score"] = f"{new.score:g}"
        if new.own is not None:
            what["own"] = json.dumps(accepted(new.own))
        return await self._add(new.kind, what, 0.0, who_asks(request))

    async def listed(
        self,
        kind: Annotated[str | None, Query(max_length=32)] = None,
        state: State | None = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT,
    ) -> Page[Job]:
        """Newest first."""
        rows = await self._rows.page(number_after(cursor), limit + 1, kind, state)
        found, after = page(rows, limit, lambda row: row.id)
        return Page(items=[self._shown(row) for row in found], next=after)

    async def get(self, job_id: Id) -> Job:
        return self._shown(await self._must_be(job_id))

    async def cancel(self, job_id: Id) -> Job:
        """A deletion that waits has not happened; one that runs cannot be stopped."""
        row = await self._must_be(job_id)
        running = self._running.get(job_id)
        states = (WAITING,) if row.kind in self._deletions else (WAITING, RUNNING)
        if not await self._rows.change(job_id, states, state=CANCELLED, ended=time.time()):
            raise Refusal(409, "job_over", "The job has ended, or what it does cannot be stopped any more.")
        if running is not None and running.task is not None:
            running.task.cancel()
        self._running.pop(job_id, None)
        return self._shown(await self._must_be(job_id))

    async def result(self, job_id: Id, cursor: Cursor = None, limit: Limit = LIMIT) -> Table:
        """The table that came of it; it stays."""
        row = await self._must_be(job_id)
        after = number_after(cursor)
        rows = await self._rows.result(job_id, -1 if after is None else after, limit + 1)
        found, following = page(rows, limit, lambda one: one[0])
        return Table(columns=row.columns, items=[cells for _, cells in found], next=following)

    async def start(self, kind: str, what: Mapping[str, str], who: Who) -> Job:
        return await self._add(kind, what, 0.0, who)

    # Running

    async def _add(self, kind: str, what: Mapping[str, str], delay: float, who: Who) -> Job:
        job_id = await self._rows.add(kind, what, time.time() + delay, who.name)
        row = await self._must_be(job_id)
        self._begin(row)
        return self._shown(row)

    def _begin(self, row: JobRow) -> None:
        running = self._running[row.id] = _Running(row)
        # In a context of its own: the request that began it has a deadline, the job has none.
        running.task = asyncio.get_running_loop().create_task(self._run(running), context=Context())

    async def _run(self, running: _Running) -> None:
        row = running.row
        try:
            await asyncio.sleep(max(0.0, row.starts - time.time()))
            if row.kind in self._deletions:
                await self._work(running, self._deletions[row.kind])
            else:
                async with self._turn:
                    await self._work(running, self._searches[row.kind])
        except Exception as error:
            known = refusal(error)
            if known is None:
                log.exception("a job failed", extra={"job": row.id})
            text = known.message if known else "Something went wrong, the log of the server says what."
            await self._rows.change_mine(row.id, state=FAILED, ended=time.time(), error=text)
        finally:
            self._running.pop(row.id, None)

    async def _work(self, running: _Running, work: Work) -> None:
        row, progress = running.row, running.progress
        if not await self._rows.change_mine(row.id, (WAITING,), state=RUNNING):
            return  # cancelled at the last moment, or somebody else does it
        telling = asyncio.create_task(self._tell(running))
        try:
            result = await work(row.what, progress)
        finally:
            telling.cancel()
        await self._rows.change_mine(row.id, done=progress.done, total=progress.total)
        await self._rows.finish(row.id, result.columns, result.rows)

    async def _tell(self, running: _Running) -> None:
        """And end the work when it was cancelled through another server, or somebody else does it now."""
        progress = running.progress
        while True:
            await asyncio.sleep(TELL_EVERY)
            with suppress(FaceError):  # the next time, then
                mine = await self._rows.change_mine(running.row.id, done=progress.done, total=progress.total)
                if not mine and running.task is not None:
                    running.task.cancel()

    async def _must_be(self, job_id: int) -> JobRow:
        row = await self._rows.get(job_id)
        if row is None:
            raise missing("job")
        return row

    def _shown(self, row: JobRow) -> Job:
        running = self._running.get(row.id)
        live = running.progress if running else None
        return Job(
            id=str(row.id),
            kind=row.kind,
            what=row.what,
            state=cast(State, row.state),
            done=live.done if live else row.done,
            total=live.total if live else row.total,
            created=row.created,
            starts=row.starts,
            ended=row.ended,
            by=row.author,
            error=row.error,
            columns=row.columns,
            rows=row.rows,
        )
