"""What somebody changes on the command line is in the audit log, as what comes from elsewhere is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from face_server.commands.person import who
from face_server.store.history import BEGUN, OK, Audit, Entry

ROLE, SOURCE = "shell", "command line"
FAILED = "failed"


@asynccontextmanager
async def noted(audit: Audit, action: str, told: Mapping[str, str]) -> AsyncIterator[dict[str, str]]:
    """One line for all of it, written before the first change and completed at the end. What is told can grow until
    then."""
    grows = {name: value for name, value in told.items() if value}
    line = await audit.add(Entry(who(), ROLE, SOURCE, action, dict(grows), BEGUN, 0))
    outcome = FAILED
    try:
        yield grows
        outcome = OK
    finally:
        await audit.ended(line, outcome, grows)
