"""Results on their way from the lanes to the event loop.

While work waits for the lanes, results go several together: every waking of the loop takes a core from a lane, finds
its own code gone from the caches, and leaves those of the lane cold. In all nobody is answered later for it: while a
result waits for the next ones, the next request of its client does not wait in the queue.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import Protocol

TOGETHER = 6  # results; with more of them the loop has little less to do, and clients hear less evenly

log = logging.getLogger(__name__)


class Told(Protocol):
    """Work whose result is known."""

    loop: asyncio.AbstractEventLoop

    def tell(self) -> None:
        """In its loop."""


class Answers:
    def __init__(self) -> None:
        self._known: list[Told] = []
        self._lock = threading.Lock()

    def give(self, job: Told, *, hold: bool) -> None:
        """To be told now, or (`hold`) with the next ones: whoever says so calls again soon."""
        with self._lock:
            self._known.append(job)
            enough = not hold or len(self._known) >= TOGETHER
        if enough:
            self.send()

    def send(self) -> None:
        """From any thread: all that are held are told."""
        for job_loop, known in _by_loop(self._take()):
            _tell_in(job_loop, known)

    def tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """From the loop itself, which is awake anyway."""
        for job_loop, known in _by_loop(self._take()):
            if job_loop is loop:
                _tell(known)
            else:
                _tell_in(job_loop, known)

    def _take(self) -> list[Told]:
        with self._lock:
            known, self._known = self._known, []
        return known


def _by_loop(known: Iterable[Told]) -> Iterable[tuple[asyncio.AbstractEventLoop, list[Told]]]:
    loops: dict[asyncio.AbstractEventLoop, list[Told]] = {}
    for job in known:
        loops.setdefault(job.loop, []).append(job)
    return loops.items()


def _tell_in(loop: asyncio.AbstractEventLoop, known: list[Told]) -> None:
    try:
        loop.call_soon_threadsafe(_tell, known)
    except RuntimeError:
        log.debug("an answer found its event loop closed")


def _tell(known: list[Told]) -> None:
    for job in known:
        job.tell()
