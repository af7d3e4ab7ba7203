"""Pace: keeps refusals from eating the time of the answers."""

from __future__ import annotations

import asyncio
import random
import time

PER_SECOND = 200.0  # refusals; one costs about half a millisecond of the event loop
BURST = 200  # of them leave at once after a quiet second
LONGEST = 1.0  # seconds a refusal is held back at most


class Pace:
    """A client that comes back the moment it is refused would be refused a thousand times a second, and the cores
    would do little else. A burst of refusals leaves at once; a storm of them leaves in a steady row."""

    def __init__(self) -> None:
        self._next = 0.0

    async def refuse(self) -> None:
        now = time.monotonic()
        self._next = max(self._next, now - BURST / PER_SECOND) + 1 / PER_SECOND
        wait = self._next - now
        if wait > LONGEST:
            self._next = now + LONGEST
            wait = random.uniform(LONGEST / 2, LONGEST)  # those that came together must not come together again
        if wait > 0:
            await asyncio.sleep(wait)
