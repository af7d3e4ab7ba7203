"""What lies around the server and may be slow to tell: a disk, a database, a driver, a service. It is looked up now and
then, so that nobody who asks for figures waits for it."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from face_server.ops.gauges import Figure

EVERY = 10.0  # seconds
FIRST = 1.0  # that a start waits for the first look

Look = Callable[[], Awaitable[Sequence[Figure]]]

log = logging.getLogger(__name__)


class Surroundings:
    """Each look has a task of its own: one that hangs holds up no other."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self._looks = looks
        self._found: dict[Look, Sequence[Figure]] = {}

    @property
    def figures(self) -> list[Figure]:
        return [figure for found in self._found.values() for figure in found]

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        first = {look: asyncio.create_task(self._once(look)) for look in self._looks}
        if first:
            await asyncio.wait(first.values(), timeout=FIRST)
        tasks = [asyncio.create_task(self._again(look, begun)) for look, begun in first.items()]
        try:
            yield
        finally:
            for task in (*tasks, *first.values()):
                task.cancel()
            await asyncio.gather(*tasks, *first.values(), return_exceptions=True)

    async def _again(self, look: Look, begun: asyncio.Task[None]) -> None:
        await begun
        while True:
            await asyncio.sleep(EVERY)
            await self._once(look)

    async def _once(self, look: Look) -> None:
        try:
            self._found[look] = await look()
        except Exception as error:
            if self._found.get(look, True):  # else it has been said
                log.warning("figures are missing: %s", error)
            self._found[look] = ()


def disk(folder: Path) -> Look:
    async def look() -> Sequence[Figure]:
        usage = await asyncio.to_thread(shutil.disk_usage, folder)
        return (
            Figure("face_disk_bytes", "Size of the disk that the data folder is on", usage.total),
            Figure("face_disk_free_bytes", "What is free of it", usage.free),
        )

    return look


def database(size: Callable[[], Awaitable[int]]) -> Look:
    async def look() -> Sequence[Figure]:
        return (Figure("face_database_bytes", "Size of the database", await size()),)

    return look


def licence(ask: Callable[[], tuple[int, int] | None]) -> Look:
    async def look() -> Sequence[Figure]:
        seats = await asyncio.to_thread(ask)
        up = Figure("face_licence_up", "The authorization service answers", seats is not None)
        if seats is None:
            return (up,)
        return (
            up,
            Figure("face_licence_seats", "Seats of the licence", seats[0]),
            Figure("face_licence_seats_taken", "Seats that somebody has", seats[1]),
        )

    return look


def card(figures: Callable[[], Sequence[Figure]]) -> Look:
    async def look() -> Sequence[Figure]:
        return await asyncio.to_thread(figures)

    return look
