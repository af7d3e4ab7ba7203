"""What travels with one request through every room: its id, its deadline, whether anyone still waits."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from face_server.errors import Busy, Cancelled, Stage


async def _always() -> None: ...


@dataclass(slots=True)
class RequestContext:
    log_id: int
    deadline: float  # time.monotonic() after which an answer is worthless
    cancelled: bool = False  # set when the client has gone
    patient: bool = False  # its body may take as long as it needs, if only something comes now and then
    admit: Callable[[], Awaitable[None]] = _always  # raises Busy for a picture that could not be looked at in time
    peer: str = ""  # address of the caller
    caller: str = ""  # the key that it showed; empty while authorization is open
    app: str = ""  # whose picture is looked at: apps take turns
    dialect: str = ""  # who answered, filled in by the dialect: for metrics and logs
    interface: str = ""
    code: str = ""  # the vendor's result code
    stages: dict[str, float] = field(default_factory=dict)  # stage name -> milliseconds, for logs and the console

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self.deadline


current: ContextVar[RequestContext | None] = ContextVar("request", default=None)

# Set around work that nobody waits for at the moment: it is done while no request wants the lanes.
background: ContextVar[bool] = ContextVar("background", default=False)


def checkpoint() -> None:
    """Called between two steps of work: raises when nobody waits for the result any more."""
    request = current.get()
    if request is None:
        return
    if request.cancelled:
        raise Cancelled
    if request.expired:
        raise Busy(Stage.DEADLINE)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """One named step of the work: begins only while somebody waits, and its time is kept with the request."""
    checkpoint()
    request = current.get()
    begun = time.perf_counter()
    try:
        yield
    finally:
        if request is not None:
            spent = (time.perf_counter() - begun) * 1000
            request.stages[name] = request.stages.get(name, 0.0) + spent
