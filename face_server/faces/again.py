"""A step that is done again and again beside the requests, whatever happens to the database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from face_server.errors import FaceError

log = logging.getLogger(__name__)


async def again_and_again(step: Callable[[], Awaitable[None]], every: float, what: str) -> None:
    """Every so many seconds, without end. `what` could not be read or written when it fails."""
    while True:
        await asyncio.sleep(every)
        try:
            await step()
        except FaceError as error:
            log.warning("%s could not be read or written, it is tried again: %s", what, error)
        except Exception:
            log.exception("%s could not be read or written, it is tried again", what)
