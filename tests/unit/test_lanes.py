"""The lanes: what runs, in which order, and what is refused or thrown away without running."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from face_server.engine.answers import TOGETHER, Answers
from face_server.engine.lanes import QUICK_SECONDS, Lanes
from face_server.engine.pace import BURST, Pace
from face_server.errors import Busy, Cancelled, Stage
from face_server.request import RequestContext, current

MB = 2**20


@pytest.fixture
def lane() -> Iterator[Lanes]:
    lanes = Lanes(1, queue_bytes=MB)
    lanes.start()
    yield lanes
    lanes.close()


@contextmanager
def request(seconds: float = 5.0) -> Iterator[RequestContext]:
    context = RequestContext(log_id=1, deadline=time.monotonic() + seconds)
    token = current.set(context)
    try:
        yield context
    finally:
        current.reset(token)


class Gate:
    """Work that holds a lane until it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.opened.wait(10)

    async def hold(self, lanes: Lanes) -> "asyncio.Task[None]":
        task = asyncio.create_task(lanes.submit(self))
        await asyncio.to_thread(self.entered.wait, 5)
        return task


async def test_result_error_and_context_cross_over(lane: Lanes) -> None:
    with request() as context:
        assert await lane.submit(current.get) is context
        with pytest.raises(ZeroDivisionError):
            await lane.submit(lambda: 1 // 0)
    assert await lane.submit(current.get) is None


async def test_as_many_at_once_as_lanes() -> None:
    lanes = Lanes(3, queue_bytes=MB)
    lanes.start()
    together = threading.Barrier(3)
    await asyncio.gather(*(lanes.submit(lambda: together.wait(5)) for _ in range(3)))
    lanes.close()


async def test_the_lane_that_stopped_last_goes_on_first() -> None:
    lanes = Lanes(3, queue_bytes=MB)
    lanes.start()

    def all_idle() -> None:
        ends = time.monotonic() + 10
        while len(lanes._idle) < lanes.count and time.monotonic() < ends:
            time.sleep(0.001)

    used: set[int] = set()
    for _ in range(20):
        await asyncio.to_thread(all_idle)
        used.add(await lanes.submit(threading.get_ident))
    lanes.close()
    assert len(used) == 1


async def test_urgent_work_goes_first(lane: Lanes) -> None:
    gate, order = Gate(), list[str]()
    held = await gate.hold(lane)
    later = [asyncio.create_task(lane.submit(partial(order.append, n))) for n in ("a", "b")]
    await asyncio.sleep(0)
    later.append(asyncio.create_task(lane.submit(lambda: order.append("urgent"), urgent=True)))
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(held, *later)
    assert order == ["urgent", "a", "b"]


async def test_what_cannot_be_in_time_is_refused_at_once(lane: Lanes) -> None:
    for _ in range(3):
        await lane.submit(lambda: time.sleep(0.1))
    gate = Gate()
    held = await gate.hold(lane)
    waiting = [asyncio.create_task(lane.submit(lambda: None)) for _ in range(4)]
    await asyncio.sleep(0)
    assert lane.wait_seconds == pytest.approx(0.5, rel=0.3)
    with request(seconds=0.3):
        begun = time.monotonic()
        with pytest.raises(Busy) as busy:
            await lane.submit(lambda: pytest.fail("ran"))
        assert busy.value.stage is Stage.QUEUE
        with pytest.raises(Busy):
            await lane.admit()
        assert time.monotonic() - begun < 0.05
    with request(seconds=3):
        await lane.admit()
        waiting.append(asyncio.create_task(lane.submit(lambda: None)))
        await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(held, *waiting)


@pytest.mark.parametrize(("sizes", "accepted"), [((MB, 1), 1), ((MB // 2, MB // 2, 1), 2), ((5 * MB, 1), 1)])
async def test_queue_is_bounded_in_bytes(lane: Lanes, sizes: tuple[int, ...], accepted: int) -> None:
    gate = Gate()
    held = await gate.hold(lane)
    tasks = [asyncio.create_task(lane.submit(lambda: None, size=size)) for size in sizes]
    await asyncio.sleep(0.02)
    assert lane.length == accepted
    gate.opened.set()
    await held
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, Busy) for result in results].count(True) == len(sizes) - accepted


async def test_queue_is_bounded_in_number() -> None:
    lanes = Lanes(1, queue_bytes=MB, queue_length=2)
    lanes.start()
    gate = Gate()
    tasks = [await gate.hold(lanes), *(asyncio.create_task(lanes.submit(lambda: None)) for _ in range(3))]
    await asyncio.sleep(0.02)
    gate.opened.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 3 + [Busy]
    lanes.close()


def passed(context: RequestContext) -> None:
    context.deadline = time.monotonic() - 1


def gone(context: RequestContext) -> None:
    context.cancelled = True


@pytest.mark.parametrize(("spoil", "error"), [(passed, Busy), (gone, Cancelled)])
async def test_unwanted_work_never_runs(
    lane: Lanes, spoil: Callable[[RequestContext], None], error: type[Exception]
) -> None:
    gate = Gate()
    held = await gate.hold(lane)
    with request() as context:
        unwanted = asyncio.create_task(lane.submit(lambda: pytest.fail("ran")))
        await asyncio.sleep(0)
    spoil(context)
    gate.opened.set()
    await held
    with pytest.raises(error):
        await unwanted


async def test_caller_hears_of_its_deadline_in_time_and_nothing_runs_afterwards(lane: Lanes) -> None:
    gate = Gate()
    held = await gate.hold(lane)
    with request(seconds=0.1):
        begun = time.monotonic()
        with pytest.raises(Busy) as busy:
            await lane.submit(lambda: pytest.fail("ran"))
        assert busy.value.stage is Stage.DEADLINE
        assert 0.09 < time.monotonic() - begun < 0.3
    gate.opened.set()
    await held
    assert await lane.submit(lambda: "next") == "next"


def die() -> None:
    raise SystemExit


async def test_dead_lane_is_replaced_and_counted(lane: Lanes) -> None:
    with pytest.raises(RuntimeError, match="lane died"):
        await lane.submit(die)
    assert await lane.submit(lambda: "alive") == "alive"
    assert lane.restarts == 1
    assert lane.ready


async def test_not_ready_while_a_dead_lane_cannot_be_replaced(lane: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="lane died"):
            await lane.submit(die)
        await asyncio.sleep(0.05)
        assert [lane.ready] == [False]
    assert [lane.ready] == [True]  # whoever asks again makes it try again
    assert await lane.submit(lambda: "alive") == "alive"


async def test_closing_refuses_what_waits_and_what_comes(lane: Lanes) -> None:
    gate = Gate()
    held = await gate.hold(lane)
    waiting = asyncio.create_task(lane.submit(lambda: pytest.fail("ran")))
    await asyncio.sleep(0)
    lane.close()
    for refused in (waiting, lane.submit(lambda: None), lane.admit()):
        with pytest.raises(Busy) as busy:
            await refused
        assert busy.value.stage is Stage.SHUTDOWN
    gate.opened.set()
    await held


async def test_first_refusals_leave_at_once_and_then_they_are_paced() -> None:
    pace = Pace()
    begun = time.monotonic()
    await asyncio.gather(*(pace.refuse() for _ in range(BURST)))
    assert time.monotonic() - begun < 0.05
    await asyncio.gather(*(pace.refuse() for _ in range(40)))
    assert 0.15 < time.monotonic() - begun < 0.4


class Wakings:
    """How often a lane wakes the loop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        loop = asyncio.get_running_loop()
        self._wake = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", self._counted)

    def _counted(self, *args: Any, **options: Any) -> object:
        self.count += threading.current_thread().name.startswith("lane")
        return self._wake(*args, **options)


async def answered(lane: Lanes, work: Callable[[int], int], count: int) -> None:
    """So many pieces of work that all wait before the first one begins."""
    gate = Gate()
    held = await gate.hold(lane)
    waiting = [asyncio.create_task(lane.submit(lambda number=number: work(number))) for number in range(count)]  # type: ignore[misc]
    await asyncio.sleep(0)
    gate.opened.set()
    assert await asyncio.gather(held, *waiting) == [None, *map(work, range(count))]


async def test_results_go_together_while_quick_work_waits(lane: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(50):
        await lane.submit(int)
    wakings = Wakings(monkeypatch)
    await answered(lane, int, 40)
    assert 40 / TOGETHER <= wakings.count < 20
    await lane.submit(int)
    assert lane.length == 0


async def test_results_of_slow_work_go_one_by_one(lane: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    await lane.submit(lambda: time.sleep(2 * QUICK_SECONDS))
    wakings = Wakings(monkeypatch)

    def slow(number: int) -> int:
        time.sleep(QUICK_SECONDS)
        return number

    await answered(lane, slow, 4)
    assert wakings.count == 1 + 4


async def test_answers_find_each_its_own_loop() -> None:
    answers, here = Answers(), asyncio.get_running_loop()
    there = asyncio.new_event_loop()
    told: list[asyncio.AbstractEventLoop] = []

    class Known:
        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self.loop = loop

        def tell(self) -> None:
            told.append(self.loop)

    for loop in (here, there, here):
        answers.give(Known(loop), hold=True)
    assert not told
    answers.tell(here)
    assert told == [here, here]
    there.call_soon(there.stop)
    await asyncio.to_thread(there.run_forever)
    assert told == [here, here, there]
    there.close()
    answers.give(Known(there), hold=False)  # nobody is there any more


async def test_a_result_that_is_held_when_the_lanes_close_is_told(lane: Lanes, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    held = await gate.hold(lane)
    waiting = [asyncio.create_task(lane.submit(int)) for _ in range(5)]
    await asyncio.sleep(0)
    give = lane._answers.give

    def closed_just_before(job: Any, *, hold: bool) -> None:
        monkeypatch.setattr(lane._answers, "give", give)
        lane.close()
        give(job, hold=True)

    monkeypatch.setattr(lane._answers, "give", closed_just_before)
    gate.opened.set()
    await asyncio.wait_for(held, 10)
    for refused in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(refused, Busy)
        assert refused.stage is Stage.SHUTDOWN
