"""What is known about the apps is in memory, and is read again within a second after it was changed, by whichever
process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from face_server.errors import FaceError

LOOK_EVERY = 1.0  # seconds between two looks at whether something has changed

log = logging.getLogger(__name__)


class Follower(Protocol):
    @property
    def version(self) -> int:
        """Of what it has read."""

    async def read(self) -> None: ...


@asynccontextmanager
async def followed(newest: Callable[[], Awaitable[int]], followers: Sequence[Follower]) -> AsyncIterator[None]:
    """While the context lasts. `newest`: the version of what there is to read."""

    async def look() -> None:
        version = await newest()
        for follower in followers:
            if follower.version != version:
                await follower.read()

    looking = asyncio.create_task(again_and_again(look, LOOK_EVERY))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def again_and_again(step: Callable[[], Awaitable[None]], every: float) -> None:
    """Every so many seconds, without end, whatever happens to the database."""
    while True:
        await asyncio.sleep(every)
        try:
            await step()
        except FaceError as error:
            log.warning("what is known of the apps could not be read or written, it is tried again: %s", error)
        except Exception:
            log.exception("what is known of the apps could not be read or written, it is tried again")
