"""Rows of the work around the library: who may administer, and jobs with their results."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from face_server.store import clock
from face_server.store.database import Database
from face_server.store.schema import ended_sessions, job_rows, jobs, operators

WAITING, RUNNING = "waiting", "running"
DONE, FAILED, CANCELLED, INTERRUPTED = "done", "failed", "cancelled", "interrupted"
OPEN_STATES = (WAITING, RUNNING)
ROWS_AT_ONCE = 2000
PART = 20  # jobs that are forgotten in one transaction; each may have ten thousand rows
LEASE = 15.0  # seconds of silence after which the owner of a job is taken for dead

Cells = Sequence[str | int | float | None]


@dataclass(frozen=True, slots=True)
class Operator:
    name: str
    role: str
    password: bytes
    session_key: bytes


@dataclass(frozen=True, slots=True)
class JobRow:
    id: int
    kind: str
    what: dict[str, str]
    state: str
    done: int
    total: int | None
    created: float
    starts: float
    ended: float | None
    author: str
    error: str | None
    columns: list[str]
    rows: int = field(default=0)


class Operators:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> Operator | None:
        query = sa.select(operators).where(operators.c.name == name)
        rows = await self._database.rows(query)
        return next((Operator(row.name, row.role, bytes(row.password), bytes(row.session_key)) for row in rows), None)

    async def any(self) -> bool:
        query = sa.select(operators.c.name).limit(1)
        return bool(await self._database.rows(query))

    async def put(self, operator: Operator) -> None:
        values = {
            "role": operator.role,
            "password": operator.password,
            "session_key": operator.session_key,
            "changed": time.time(),
        }
        same = operators.c.name == operator.name

        def work(connection: sa.Connection) -> None:
            if not connection.execute(sa.update(operators).where(same).values(values)).rowcount:
                connection.execute(sa.insert(operators).values(name=operator.name, **values))

        await self._database.write(work)

    async def end_session(self, session: str, expires: float) -> None:
        def work(connection: sa.Connection) -> None:
            same = ended_sessions.c.session == session
            connection.execute(sa.delete(ended_sessions).where(same | (ended_sessions.c.expires < time.time())))
            connection.execute(sa.insert(ended_sessions).values(session=session, expires=expires))

        await self._database.write(work)

    async def ended(self, session: str) -> bool:
        query = sa.select(ended_sessions.c.session).where(ended_sessions.c.session == session)
        return bool(await self._database.rows(query))


class JobRows:
    """Every job has an owner, the process that does it. An owner gives signs of life; one that is silent for too long
    has died, and its jobs can be taken over."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mine = jobs.c.owner == (owner := secrets.token_hex(8))
        self._owned = {"owner": owner, "seen": clock.Now()}

    async def add(self, kind: str, what: Mapping[str, str], starts: float, author: str) -> int:
        values = {"kind": kind, "what": json.dumps(dict(what)), "state": WAITING, "done": 0, "starts": starts}
        row = sa.insert(jobs).values(created=time.time(), author=author, columns="[]", **values, **self._owned)
        new = row.returning(jobs.c.id)
        return int(await self._database.write(lambda connection: connection.execute(new).scalar_one()))

    async def change(self, job_id: int, only_in: Sequence[str] = OPEN_STATES, **values: object) -> bool:
        """False when the job is in none of these states: somebody else was faster."""
        return bool(await self._update(sa.and_(jobs.c.id == job_id, jobs.c.state.in_(only_in)), values))

    async def change_mine(self, job_id: int, only_in: Sequence[str] = OPEN_STATES, **values: object) -> bool:
        """False also when somebody else took this process for dead, and does the job now."""
        return bool(await self._update(sa.and_(jobs.c.id == job_id, jobs.c.state.in_(only_in), self._mine), values))

    async def live(self) -> None:
        await self._update(sa.and_(self._mine, _OPEN), {"seen": clock.Now()})

    async def let_go(self) -> None:
        """Somebody else may have them at once."""
        await self._update(sa.and_(self._mine, _OPEN), {"seen": 0.0})

    async def abandoned(self) -> list[JobRow]:
        return await self._jobs(_JOBS.where(_ABANDONED).order_by(jobs.c.id))

    async def take(self, job_id: int) -> bool:
        """An abandoned job. False: somebody else has it."""
        return bool(await self._update(sa.and_(jobs.c.id == job_id, _ABANDONED), self._owned))

    async def _update(self, which: sa.ColumnElement[bool], values: Mapping[str, object]) -> int:
        change = sa.update(jobs).where(which).values(dict(values))
        return int(await self._database.write(lambda connection: connection.execute(change).rowcount))

    async def finish(self, job_id: int, columns: Sequence[str], rows: Sequence[Cells]) -> None:
        """The result and the state in one commit."""

        def work(connection: sa.Connection) -> None:
            done = {"state": DONE, "ended": time.time(), "columns": json.dumps(list(columns))}
            same = sa.and_(jobs.c.id == job_id, jobs.c.state == RUNNING, self._mine)
            if not connection.execute(sa.update(jobs).where(same).values(done)).rowcount:
                return
            for start in range(0, len(rows), ROWS_AT_ONCE):
                part = enumerate(rows[start : start + ROWS_AT_ONCE], start)
                values = [{"job_id": job_id, "number": n, "cells": json.dumps(list(cells))} for n, cells in part]
                connection.execute(sa.insert(job_rows), values)

        await self._database.write(work)

    async def get(self, job_id: int) -> JobRow | None:
        found = await self._jobs(_JOBS.where(jobs.c.id == job_id))
        return found[0] if found else None

    async def page(self, before: int | None, length: int, kind: str | None, state: str | None) -> list[JobRow]:
        """Newest first."""
        query = _JOBS.order_by(jobs.c.id.desc()).limit(length)
        for column, value in ((jobs.c.kind, kind), (jobs.c.state, state)):
            if value is not None:
                query = query.where(column == value)
        return await self._jobs(query if before is None else query.where(jobs.c.id < before))

    async def result(self, job_id: int, after: int, length: int) -> list[tuple[int, list[Any]]]:
        """Number and cells of the rows after that number."""
        query = sa.select(job_rows.c.number, job_rows.c.cells).where(job_rows.c.job_id == job_id)
        query = query.where(job_rows.c.number > after).order_by(job_rows.c.number).limit(length)
        rows = await self._database.rows(query)
        return [(row.number, json.loads(row.cells)) for row in rows]

    async def forget(self, before: float) -> int:
        """Some of those that ended before a time, with what came of them. How many; less than a part: none is left."""
        old = sa.select(jobs.c.id).where(jobs.c.ended < before, ~_OPEN).order_by(jobs.c.id).limit(PART)

        def work(connection: sa.Connection) -> int:
            ids = connection.execute(old).scalars().all()
            connection.execute(sa.delete(job_rows).where(job_rows.c.job_id.in_(ids)))
            connection.execute(sa.delete(jobs).where(jobs.c.id.in_(ids)))
            return len(ids)

        return await self._database.write(work) if await self._database.rows(old.limit(1)) else 0

    async def _jobs(self, query: sa.Select[Any]) -> list[JobRow]:
        rows = await self._database.rows(query)
        return [
            JobRow(
                r.id,
                r.kind,
                json.loads(r.what),
                r.state,
                r.done,
                r.total,
                r.created,
                r.starts,
                r.ended,
                r.author,
                r.error,
                json.loads(r.columns),
                r.rows,
            )
            for r in rows
        ]


_OPEN = jobs.c.state.in_(OPEN_STATES)
_ABANDONED = sa.and_(_OPEN, jobs.c.seen < clock.Now() - LEASE)
_COUNT = sa.select(sa.func.count()).where(job_rows.c.job_id == jobs.c.id).scalar_subquery()
_JOBS = sa.select(jobs, _COUNT.label("rows"))
