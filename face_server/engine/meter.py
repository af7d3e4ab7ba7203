"""What the engine tells about itself while it works, to whoever keeps the figures."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    def queued(self, seconds: float) -> None:
        """One piece of work left the queue of the lanes after so long."""

    def refused(self, why: str) -> None:
        """One piece of work was not done: queue, deadline, gone, shutdown."""

    def executed(self, model: str, rows: int, waited: float, ran: float) -> None:
        """One execution of a model, the seconds its oldest row waited for it, and the seconds it ran."""

    def restarted(self, lane: str) -> None:
        """A dead lane was replaced."""


class NoMeter:
    """Keeps no figures."""

    def queued(self, seconds: float) -> None: ...

    def refused(self, why: str) -> None: ...

    def executed(self, model: str, rows: int, waited: float, ran: float) -> None: ...

    def restarted(self, lane: str) -> None: ...
