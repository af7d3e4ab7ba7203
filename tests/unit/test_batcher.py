"""Continuous batching: batches form under load, answers are the direct ones, and failures stay where they belong."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from face_server.engine.batcher import BatchedModel
from face_server.engine.session import Batch
from face_server.errors import Busy, Cancelled, FaceError, Stage
from face_server.request import RequestContext, current

POISON = 666.0


class Doubler:
    """A small model that remembers the batches it was given, can be held, and dislikes one value."""

    def __init__(self) -> None:
        self.inputs, self.outputs = {"x": ("n", 4)}, ["y"]
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.gate.set()
        self.dead = False

    def run(self, batch: Batch) -> Batch:
        self.entered.set()
        assert self.gate.wait(10)
        self.batches.append(len(batch["x"]))
        if self.dead or (batch["x"] == POISON).any():
            raise ValueError("cannot")
        return {"y": batch["x"] * 2}


class Bench:
    """A batched model over Doublers, and callers for it."""

    def __init__(self, max_batch: int = 8) -> None:
        self.made: list[Doubler] = []
        self.broken = False
        self.model = BatchedModel("doubler", self.open, max_batch=max_batch, stage=Stage.EMBED)
        self.callers = ThreadPoolExecutor(32)

    def open(self) -> Doubler:
        if self.broken:
            raise OSError("no device")
        self.made.append(Doubler())
        return self.made[-1]

    @property
    def doubler(self) -> Doubler:
        return self.made[-1]

    def ask(self, value: float, rows: int = 1, context: RequestContext | None = None) -> "Future[Batch]":
        def call() -> Batch:
            current.set(context)
            return self.model.run({"x": np.full((rows, 4), value, np.float32)})

        return self.callers.submit(call)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The lane is busy with one row meanwhile, so that whatever comes must queue."""
        self.doubler.entered.clear()
        self.doubler.gate.clear()
        first = self.ask(0)
        assert self.doubler.entered.wait(5)
        yield
        self.doubler.gate.set()
        first.result(5)

    def wait_for_queue(self, length: int) -> None:
        until = time.monotonic() + 5
        while len(self.model._queue) < length and time.monotonic() < until:
            time.sleep(0.002)
        assert len(self.model._queue) == length


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.model.close()
    bench.callers.shutdown()


def test_batches_form_while_the_lane_is_busy_and_everybody_gets_his_own(bench: Bench) -> None:
    with bench.held():
        asked = [bench.ask(n, rows=1 + n % 2) for n in range(10)]
        bench.wait_for_queue(10)
    for n, future in enumerate(asked):
        assert future.result(5)["y"].tolist() == [[2.0 * n] * 4] * (1 + n % 2)
    assert bench.doubler.batches[0] == 1
    assert max(bench.doubler.batches) <= 8
    assert sum(bench.doubler.batches) == 16
    assert len(bench.doubler.batches) <= 4


def test_an_idle_lane_does_not_wait_for_company(bench: Bench) -> None:
    for n in range(3):
        bench.ask(n).result(5)
    assert bench.doubler.batches == [1, 1, 1]


def test_more_rows_than_a_batch_are_split_and_joined(bench: Bench) -> None:
    rows = np.arange(80, dtype=np.float32).reshape(20, 4)
    assert (bench.model.run({"x": rows})["y"] == rows * 2).all()
    assert max(bench.doubler.batches) == 8


def test_other_shapes_are_never_mixed(bench: Bench) -> None:
    wide = np.ones((2, 9), np.float32)
    with bench.held():
        narrow = bench.ask(3)
        other = bench.callers.submit(lambda: bench.model.run({"x": wide}))
        bench.wait_for_queue(2)
    assert narrow.result(5)["y"].shape == (1, 4)
    assert other.result(5)["y"].shape == (2, 9)


def test_a_poisoned_item_fails_alone(bench: Bench) -> None:
    with bench.held():
        asked = [bench.ask(POISON if n == 2 else n) for n in range(5)]
        bench.wait_for_queue(5)
    for n, future in enumerate(asked):
        if n == 2:
            with pytest.raises(ValueError, match="cannot"):
                future.result(5)
        else:
            assert future.result(5)["y"][0, 0] == 2 * n
    assert bench.model.restarts == 0


def test_a_lonely_poisoned_item_does_not_restart_the_lane(bench: Bench) -> None:
    bench.ask(1).result(5)
    with pytest.raises(ValueError, match="cannot"):
        bench.ask(POISON).result(5)
    assert (bench.model.restarts, len(bench.made)) == (0, 1)


def test_a_dead_lane_is_restarted_counted_and_the_items_are_answered(bench: Bench) -> None:
    bench.ask(1).result(5)
    bench.doubler.dead = True
    assert bench.ask(4).result(5)["y"][0, 0] == 8
    assert (bench.model.restarts, bench.model.ready) == (1, True)


def test_not_ready_and_busy_while_it_cannot_be_opened_and_well_again_by_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("face_server.engine.batcher.REOPEN_SECONDS", 0.05)
    bench.ask(1).result(5)
    bench.doubler.dead = bench.broken = True
    for _ in range(2):
        with pytest.raises(Busy) as busy:
            bench.ask(2).result(5)
        assert busy.value.stage is Stage.EMBED
        assert not bench.model.ready
    bench.broken = False
    until = time.monotonic() + 5
    while not bench.model.ready and time.monotonic() < until:
        time.sleep(0.01)
    assert bench.ask(3).result(5)["y"][0, 0] == 6


def passed(context: RequestContext) -> None:
    context.deadline = time.monotonic() - 1


def gone(context: RequestContext) -> None:
    context.cancelled = True


@pytest.mark.parametrize(("spoil", "error"), [(passed, Busy), (gone, Cancelled)])
def test_unwanted_rows_cost_no_inference(
    bench: Bench, spoil: Callable[[RequestContext], None], error: type[FaceError]
) -> None:
    context = RequestContext(log_id=1, deadline=time.monotonic() + 5)
    with bench.held():
        unwanted, wanted = bench.ask(1, rows=3, context=context), bench.ask(2)
        bench.wait_for_queue(2)
        spoil(context)
    assert wanted.result(5)["y"][0, 0] == 4
    with pytest.raises(error):
        unwanted.result(5)
    assert sum(bench.doubler.batches) == 2


def test_a_caller_hears_of_its_deadline_in_time(bench: Bench) -> None:
    with bench.held():
        begun = time.monotonic()
        with pytest.raises(Busy) as busy:
            bench.ask(1, context=RequestContext(log_id=1, deadline=begun + 0.1)).result(5)
        assert busy.value.stage is Stage.DEADLINE
        assert time.monotonic() - begun < 0.5


def test_closing_answers_those_who_wait(bench: Bench) -> None:
    with bench.held():
        waiting = bench.ask(1)
        bench.wait_for_queue(1)
        closing = threading.Thread(target=bench.model.close)
        closing.start()
        while bench.model.ready:
            time.sleep(0.002)
    with pytest.raises(Busy) as busy:
        waiting.result(5)
    assert busy.value.stage is Stage.SHUTDOWN
    closing.join(5)
