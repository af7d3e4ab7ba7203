"""The audit log: who changed what, when, and from where.

A change that comes through an interface of a dialect has its line in the transaction of the change itself: what was
acknowledged is always there, what was refused never. The admin API and the commands write lines of their own.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from face_server import request
from face_server.store.database import Database
from face_server.store.rows import Change
from face_server.store.schema import audit

CLIENT = "client"  # in the column of the role: somebody who calls interfaces of a dialect
ANYBODY = "open"  # who that is while authorization is open
BEGUN, OK = "begun", "ok"
PART = 500  # lines that are forgotten in one transaction
_LONGEST = 64  # characters of the columns
_APP = 128  # and of the app's
_COUNTED = {"add": "added", "remove": "removed"}

NEW_LINE = sa.insert(audit)

Told = dict[str, str]  # what a write is about, by name; group, user, face_id and so on. Empty: nothing has changed


@dataclass(frozen=True, slots=True)
class Asker:
    name: str
    source: str
    action: str
    log_id: int

    @classmethod
    def current(cls) -> Asker | None:
        """Whose request this is. None: of nobody who calls a dialect."""
        asking = request.current.get()
        if asking is None or not asking.interface:
            return None
        action = f"{asking.dialect} {asking.interface}"
        return cls(asking.caller or ANYBODY, asking.peer[:_LONGEST], action[:_LONGEST], asking.log_id)

    def line(self, app: str, told: Told, changes: Iterable[Change]) -> dict[str, Any]:
        """With the number of faces that came and went."""
        counts = Counter(_COUNTED[change.kind] for change in changes if change.kind in _COUNTED)
        return {
            "time": time.time(),
            "name": self.name,
            "role": CLIENT,
            "source": self.source,
            "action": self.action,
            "outcome": OK,
            "log_id": self.log_id,
            **columns(told | {name: str(count) for name, count in counts.items()} | {"app": app}),
        }


def columns(told: Mapping[str, Any]) -> Told:
    """What a line is about, as it is stored: the app has a column of its own, so that it can be asked for."""
    rest = {name: value for name, value in told.items() if name != "app"}
    return {"app": str(told.get("app", ""))[:_APP], "target": json.dumps(rest, separators=(",", ":"))}


def told_in(row: sa.Row[Any]) -> Told:
    """The same out of a row."""
    told: Told = json.loads(row.target)
    return {"app": row.app} | told if row.app else told


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log."""

    name: str
    role: str
    source: str
    action: str
    target: Mapping[str, str]
    outcome: str
    log_id: int
    id: int = 0
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Which:
    """Lines of the audit log."""

    name: str | None = None
    action: str | None = None
    app: str | None = None
    since: float | None = None
    until: float | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        equal = ((audit.c.name, self.name), (audit.c.action, self.action), (audit.c.app, self.app))
        found = [column == value for column, value in equal if value is not None]
        if self.since is not None:
            found.append(audit.c.time >= self.since)
        if self.until is not None:
            found.append(audit.c.time < self.until)
        return found


EVERY_LINE = Which()


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, entry: Entry) -> int:
        row = sa.insert(audit).values(
            time=time.time(),
            name=entry.name,
            role=entry.role,
            source=entry.source,
            action=entry.action,
            outcome=entry.outcome,
            log_id=entry.log_id,
            **columns(entry.target),
        )
        new = await self._database.write(lambda connection: connection.execute(row.returning(audit.c.id)).scalar_one())
        return int(new)

    async def ended(self, entry_id: int, outcome: str, told: Mapping[str, str] | None = None) -> None:
        """`told`: more than was known at the beginning."""
        more = {} if told is None else columns(told)
        change = sa.update(audit).where(audit.c.id == entry_id).values(outcome=outcome, **more)
        await self._database.write(lambda connection: connection.execute(change))

    async def page(self, before: int | None, length: int, which: Which = EVERY_LINE) -> list[Entry]:
        """Newest first."""
        query = sa.select(audit).where(*which.conditions()).order_by(audit.c.id.desc()).limit(length)
        if before is not None:
            query = query.where(audit.c.id < before)
        return [
            Entry(r.name, r.role, r.source, r.action, told_in(r), r.outcome, r.log_id, r.id, r.time)
            for r in await self._database.rows(query)
        ]

    async def forget(self, before: float) -> int:
        """Some of the oldest lines, if they were written before a time. How many; less than a part: none is left."""
        oldest = sa.select(audit.c.id, audit.c.time).order_by(audit.c.id).limit(PART).subquery()
        old = sa.select(oldest.c.id).where(oldest.c.time < before)
        gone = sa.delete(audit).where(audit.c.id.in_(old))
        if not await self._database.rows(old.limit(1)):
            return 0
        return int(await self._database.write(lambda connection: connection.execute(gone).rowcount))
