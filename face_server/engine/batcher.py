"""Continuous batching: rows of different requests that wait for the same model run in one execution.

There is no timer. A lane takes what is queued the moment it is free, so an idle model answers at once and a busy one
finds larger and larger batches by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field

import numpy as np

from face_server.engine.meter import Meter, NoMeter
from face_server.engine.session import Batch, Model, SessionModel, half_precision, open_session, prove_gpu
from face_server.errors import Busy, Cancelled, FaceError, Stage
from face_server.request import RequestContext, checkpoint, current

log = logging.getLogger(__name__)

REOPEN_SECONDS = 1.0  # between two attempts to open a model that cannot be opened


class DirectModel:
    """Runs in the caller's thread: on a CPU a batch gains nothing and only makes rows wait for each other."""

    restarts = 0
    ready = True

    def __init__(self, name: str, model: Model, *, meter: Meter | None = None) -> None:
        self.name = name
        self.inputs, self.outputs = model.inputs, model.outputs
        self._model = model
        self._meter = meter or NoMeter()

    def run(self, batch: Batch) -> Batch:
        begun = time.monotonic()
        result = self._model.run(batch)
        self._meter.executed(self.name, _rows(batch), 0.0, time.monotonic() - begun)
        return result

    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Ticket:
    batch: Batch
    rows: int
    kind: object  # only tickets of one kind fit into one batch
    request: RequestContext | None
    queued: float
    result: Future[Batch] = field(default_factory=Future)

    def refusal(self) -> FaceError | None:
        if self.request is None:
            return None
        if self.request.cancelled:
            return Cancelled()
        return Busy(Stage.DEADLINE) if self.request.expired else None


class BatchedModel:
    """Callers wait while a lane of the model works through the queue.

    A batch that fails is repeated one by one, so that only the bad item fails. When not one of them succeeds and an
    input that went well before fails too, the lane is dead: the model is opened again and the restart is counted.
    """

    def __init__(
        self, name: str, open_model: Callable[[], Model], *, max_batch: int, stage: Stage, meter: Meter | None = None
    ) -> None:
        self.name = name
        self.restarts = 0
        self._open = open_model
        self._max_batch = max_batch
        self._stage = stage
        self._meter = meter or NoMeter()
        model = open_model()
        self.inputs, self.outputs = model.inputs, model.outputs
        self._model: Model | None = model
        self._opened = time.monotonic()
        self._good: Batch | None = None
        self._queue: deque[_Ticket] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._lane, name=f"batch-{name}", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return self._model is not None and not self._closed

    def run(self, batch: Batch) -> Batch:
        rows = _rows(batch)
        if rows <= self._max_batch:
            return self._wait(self._put(batch, rows))
        parts = [self._put(part, _rows(part)) for part in _split(batch, self._max_batch)]
        return _join([self._wait(part) for part in parts])

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join(timeout=5)

    def _put(self, batch: Batch, rows: int) -> _Ticket:
        checkpoint()
        kind = tuple((name, array.shape[1:], array.dtype.str) for name, array in batch.items())
        ticket = _Ticket(batch, rows, kind, current.get(), queued=time.monotonic())
        with self._wake:
            if self._closed:
                raise Busy(Stage.SHUTDOWN)
            self._queue.append(ticket)
            self._wake.notify()
        return ticket

    def _wait(self, ticket: _Ticket) -> Batch:
        left = None if ticket.request is None else ticket.request.deadline - time.monotonic()
        try:
            return ticket.result.result(left)
        except FutureTimeout:
            if ticket.result.done():
                raise
            raise Busy(Stage.DEADLINE) from None

    # In the lane's thread

    def _lane(self) -> None:
        while (tickets := self._take()) is not None:
            try:
                self._serve(tickets)
            except BaseException as error:
                log.exception("the lane of model %s stumbled", self.name)
                for ticket in tickets:
                    if not ticket.result.done():
                        ticket.result.set_exception(error)
            del tickets  # an idle lane must not keep the last pictures alive
        for ticket in self._queue:
            ticket.result.set_exception(Busy(Stage.SHUTDOWN))

    def _take(self) -> list[_Ticket] | None:
        """What is queued, of the first one's kind, up to the largest batch. None: the end."""
        with self._wake:
            while not self._closed:
                if taken := self._pick():
                    return taken
                if self._model is None:
                    self._wake.wait(REOPEN_SECONDS)
                    return self._pick()  # even when nobody asks, a model that is gone must come back
                self._wake.wait()
            return None

    def _pick(self) -> list[_Ticket]:
        taken: list[_Ticket] = []
        left: deque[_Ticket] = deque()
        rows = 0
        for ticket in self._queue:
            refusal = ticket.refusal()
            if refusal is not None:
                ticket.result.set_exception(refusal)
            elif (not taken or ticket.kind == taken[0].kind) and rows + ticket.rows <= self._max_batch:
                taken.append(ticket)
                rows += ticket.rows
            else:
                left.append(ticket)
        self._queue = left
        return taken

    def _serve(self, tickets: list[_Ticket]) -> None:
        if self._model is None and not self._reopen():
            self._fail(tickets)
            return
        failed = self._execute(tickets) if tickets else {}
        if failed and len(failed) == len(tickets) and not self._is_well():
            if self._reopen():
                failed = self._execute(list(failed))
            else:
                self._fail(list(failed))
                return
        for ticket, error in failed.items():
            ticket.result.set_exception(error)

    def _execute(self, tickets: list[_Ticket]) -> dict[_Ticket, Exception]:
        """Answer the tickets together, or one by one when that fails. Returns those that failed, and why."""
        try:
            self._answer(tickets)
        except Exception as error:
            if len(tickets) == 1:
                return {tickets[0]: error}
            log.warning(
                "a batch of %d for model %s failed, it is repeated one by one: %s", len(tickets), self.name, error
            )
            return {ticket: why for ticket in tickets for why in self._execute([ticket]).values()}
        return {}

    def _answer(self, tickets: list[_Ticket]) -> None:
        assert self._model is not None
        begun = time.monotonic()
        batch = _join([ticket.batch for ticket in tickets])
        result = self._model.run(batch)
        rows = _rows(batch)
        self._meter.executed(self.name, rows, begun - tickets[0].queued, time.monotonic() - begun)
        if self._good is None:
            self._good = {name: array[:1].copy() for name, array in tickets[0].batch.items()}
        place = 0
        for ticket in tickets:
            ticket.result.set_result({name: array[place : place + ticket.rows] for name, array in result.items()})
            place += ticket.rows

    def _is_well(self) -> bool:
        if self._good is None or self._model is None:
            return False
        try:
            self._model.run(self._good)
        except Exception:
            return False
        return True

    def _reopen(self) -> bool:
        if self._model is None and time.monotonic() - self._opened < REOPEN_SECONDS:
            return False
        self._model, self._opened = None, time.monotonic()  # the old one gives its memory back first
        try:
            self._model = self._open()
        except Exception:
            log.exception("model %s cannot be opened again", self.name)
            return False
        self.restarts += 1
        self._meter.restarted(self.name)
        return True

    def _fail(self, tickets: list[_Ticket]) -> None:
        for ticket in tickets:
            ticket.result.set_exception(Busy(self._stage))


def _rows(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def _split(batch: Batch, rows: int) -> list[Batch]:
    return [
        {name: array[start : start + rows] for name, array in batch.items()} for start in range(0, _rows(batch), rows)
    ]


def _join(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def make_model(
    name: str,
    file: bytes,
    *,
    device: str,
    max_batch: int,
    stage: Stage,
    half: bool = False,
    meter: Meter | None = None,
) -> DirectModel | BatchedModel:
    """A model of a pack, opened for a device. One that is meant for a GPU has to prove that it runs there."""
    if device != "cpu":
        file = half_precision(file) if half else file
        prove_gpu(file, device)

    def opened() -> SessionModel:
        return SessionModel(open_session(file, device), device)

    if max_batch <= 1:
        return DirectModel(name, opened(), meter=meter)
    return BatchedModel(name, opened, max_batch=max_batch, stage=stage, meter=meter)
