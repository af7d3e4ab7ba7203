"""The audit log: who changed what, when, and from where."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel

from face_server.admin.paging import LIMIT, Cursor, Limit, Page, number_after, page
from face_server.store.history import Audit, Which

LATEST = 1e12  # of a time in seconds


class Entry(BaseModel):
    id: str
    time: float
    name: str
    role: str
    source: str
    action: str
    target: dict[str, str]
    outcome: str  # ok, the code of the failure, or begun: the server ended before the change did
    log_id: int


class History:
    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def listed(
        self,
        name: Annotated[str | None, Query(max_length=64)] = None,
        action: Annotated[str | None, Query(max_length=64)] = None,
        app: Annotated[str | None, Query(max_length=128)] = None,
        since: Annotated[float | None, Query(ge=0, le=LATEST)] = None,
        until: Annotated[float | None, Query(ge=0, le=LATEST)] = None,
        cursor: Cursor = None,
        limit: Limit = LIMIT,
    ) -> Page[Entry]:
        """Newest first. `since` and `until` are Unix seconds."""
        rows = await self._audit.page(number_after(cursor), limit + 1, Which(name, action, app, since, until))
        found, after = page(rows, limit, lambda entry: entry.id)
        entries = [
            Entry(
                id=str(one.id),
                time=one.time,
                name=one.name,
                role=one.role,
                source=one.source,
                action=one.action,
                target=dict(one.target),
                outcome=one.outcome,
                log_id=one.log_id,
            )
            for one in found
        ]
        return Page(items=entries, next=after)
