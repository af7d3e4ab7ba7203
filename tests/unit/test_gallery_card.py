"""Galleries of graphs. On a processor here: the graphs are the same ones that run on a card."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from face_server.index.card import BLOCK, Block, Card, CardForLarge, Device
from face_server.index.codes import Codes
from face_server.index.gallery import LocalGallery
from face_server.index.protocol import Ids, Vectors
from face_server.index.scan import Scan
from face_server.index.shortlist import prove
from face_server.index.together import Together
from tests.gallery_oracle import GROUP, AnyHistory, Oracle, gallery_of, rows_of
from tests.small_library import DIMENSIONS, vector


@pytest.fixture(scope="module")
def device() -> Device:
    return Device("cpu", DIMENSIONS, megabytes=64)


def on(device: Device, group_id: int, rows: tuple[Vectors, Ids, Ids], large: int = 20) -> LocalGallery:
    return LocalGallery(group_id, 0, *rows, CardForLarge(device, large))


@pytest.mark.parametrize("length", [16, BLOCK])
def test_whatever_happens_gallery_and_oracle_find_the_same(length: int) -> None:
    place = Device("cpu", DIMENSIONS, megabytes=64, length=length)
    make = staticmethod(lambda group_id, *rows: on(place, group_id, rows))
    machine = type("History", (AnyHistory,), {"make": make})
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=20, deadline=None))


def test_the_known_search_is_found_right(device: Device) -> None:
    prove(device.shortlist(0), DIMENSIONS)


def test_a_device_that_computes_wrong_is_found_out(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    right = device._run

    def wrong(blocks: Sequence[Block], queries: Vectors, k: int) -> object:
        numbers, scores = right(blocks, queries, k)
        return numbers[:, 1:], scores[:, 1:]

    monkeypatch.setattr(device, "_run", wrong)
    with pytest.raises(RuntimeError):
        prove(device.shortlist(0), DIMENSIONS)


@pytest.mark.parametrize(
    ("count", "k", "queries"),
    [(5000, 1, 1), (BLOCK, 100, 3), (136_000, 1000, 4), (1_000_000, 1000, 2), (10_000_000, 1000, 1)],
)
def test_blocks_and_then_the_best_of_blocks_are_the_best_of_all(count: int, k: int, queries: int) -> None:
    """Whole numbers are exact in half precision, so NumPy's answer is the only right one but for equals."""
    rng = np.random.default_rng(count)
    rows = rng.integers(-3, 4, (count, 8), np.int8).astype(np.float32)
    asked = rng.integers(-3, 4, (queries, 8)).astype(np.float32)
    device = Device("cpu", 8, megabytes=64)
    card = Card(device, 100)
    for start in range(0, count, BLOCK):
        slots = np.arange(start, min(start + BLOCK, count))
        card.fill(slots, rows[slots])
    dead = np.unique(rng.integers(count, size=200))
    for slot in dead.tolist():
        card.remove(slot)
    rows[dead] = -100 * np.sign(asked[0])
    for query, found in zip(asked, card.find(asked, k), strict=True):
        assert len(found) == len(set(found.tolist())) == max(k, 64)
        expected = np.sort(np.delete(rows, dead, axis=0) @ query)[::-1][: len(found)]
        assert np.array_equal(np.sort(rows[found] @ query)[::-1], expected)
        assert not set(found.tolist()) & set(dead.tolist())


@pytest.mark.parametrize(("k", "at_once"), [(1, 4), (70, 4), (300, 256)])
def test_short_blocks_in_several_runs_are_as_good_as_long_ones(
    k: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("face_server.index.card._AT_ONCE", at_once)
    monkeypatch.setattr("face_server.index.card._SCORES", 4 * k)
    rng = np.random.default_rng(k)
    rows = rng.integers(-3, 4, (700, 8)).astype(np.float32)
    asked = rng.integers(-3, 4, (70, 8)).astype(np.float32)
    card = Card(Device("cpu", 8, megabytes=64, length=32), 0)
    card.fill(np.arange(700), rows)
    for slot in range(0, 700, 5):
        card.remove(slot)
    alive = np.arange(700) % 5 > 0
    for query, found in zip(asked, card.find(asked, k), strict=True):
        assert alive[found].all()
        expected = np.sort(rows[alive] @ query)[::-1][: max(k, 64)]
        assert np.array_equal(rows[found] @ query, expected)


def test_appending_leaves_full_blocks_where_they_are(device: Device) -> None:
    card = Card(device, 10)
    card.fill(np.arange(10), np.ones((10, DIMENSIONS), np.float32))
    small = card.blocks[0]
    card.put(5000, vector(1))
    assert card.blocks[0] is not small
    assert card.blocks[0].capacity == 8192
    card.put(BLOCK, vector(2))
    full = card.blocks[0]
    assert (full.capacity, len(card.blocks)) == (BLOCK, 2)
    card.put(BLOCK + 1, vector(3))
    assert card.blocks[0] is full
    assert sorted(card.find(vector(2)[None], 64)[0].tolist()) == [*range(10), 5000, BLOCK, BLOCK + 1]


def test_searches_that_wait_are_one_run_and_each_gets_its_own() -> None:
    here, there = object(), object()
    busy, go = threading.Event(), threading.Event()
    runs: list[tuple[object, list[float]]] = []

    def run(where: Sequence[object], queries: Vectors, k: int) -> list[Ids]:
        runs.append((where[0], queries[:, 0].tolist()))
        busy.set()
        assert go.wait(20)
        if 13 in queries:
            raise RuntimeError("an unlucky number")
        return [np.full(k, number, np.int64) for number in queries[:, 0]]

    together = Together(run, most=4)
    answers: dict[int, list[Ids] | Exception] = {}

    def ask(name: int, where: object, numbers: Sequence[float], k: int) -> None:
        try:
            answers[name] = together.find([where], np.array(numbers, np.float32)[:, None], k)
        except RuntimeError as error:
            answers[name] = error

    asked = [(here, [1.0], 2), (here, [2.0], 2), (here, [3.0, 4.0], 2), (there, [5.0], 2), (here, [6.0], 3)]
    asked += [(there, [13.0], 2), (here, [7.0, 8.0, 9.0, 10.0, 11.0], 2)]
    threads = [threading.Thread(target=ask, args=(name, *each)) for name, each in enumerate(asked)]
    threads[0].start()
    assert busy.wait(20)
    for waiting, thread in enumerate(threads[1:], start=1):
        thread.start()
        while len(together._waiting) < waiting:
            time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(20)
    for name, (_, numbers, k) in enumerate(asked):
        if 13.0 in numbers:
            assert isinstance(answers[name], RuntimeError)
        else:
            found = answers[name]
            assert isinstance(found, list)
            assert [row.tolist() for row in found] == [[number] * k for number in numbers]
    assert (here, [2.0, 3.0, 4.0]) in runs, "of one place and of one length"
    assert all(len(numbers) <= 4 for _, numbers in runs)


def test_several_galleries_are_searched_in_one_run(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    galleries = [on(device, group, rows_of(range(1000 * group, 1000 * group + 200))) for group in (3, 1, 2)]
    small = LocalGallery(9, 0, *rows_of(range(9000, 9005)))
    for gallery in galleries:
        gallery.tidy(lambda: False)
    runs: list[int] = []
    run = device._run

    def counted(*arguments: Any) -> Any:
        runs.append(1)
        return run(*arguments)

    monkeypatch.setattr(device, "_run", counted)
    scan = Scan(5, None)
    scan.galleries.extend([*galleries, small])
    queries = np.stack([vector(1007), vector(9002), vector(50_000)])
    every = {face: (user, row) for one in scan.galleries for face, (user, row) in Oracle(one).rows.items()}
    for query, hits in zip(queries, scan(queries), strict=True):
        best = sorted(every, key=lambda face: -float(every[face][1] @ query))[:5]
        assert [hit.face_id for hit in hits] == best
        assert [hit.group_id for hit in hits] == [face // 1000 for face in best]
    assert len(runs) == 1


def test_several_galleries_with_fewer_users_than_wanted_give_them_all(device: Device) -> None:
    galleries = [on(device, group, rows_of(range(1000 * group, 1000 * group + 200), users=3)) for group in (1, 2)]
    for gallery in galleries:
        gallery.tidy(lambda: False)
    scan = Scan(10, None)
    scan.galleries.extend(galleries)
    assert len(scan(vector(1)[None])[0]) == 6


def test_what_does_not_fit_on_the_card_is_searched_in_two_stages() -> None:
    gallery = LocalGallery(GROUP, 0, *rows_of(range(100)), CardForLarge(Device("cpu", DIMENSIONS, megabytes=0), 20))
    assert not gallery.untidy, "so few faces need nothing then"
    gallery.tidy(lambda: False)
    assert isinstance(gallery.shortlist, Codes)
    (hits,) = gallery.search(vector(5)[None], 1)
    assert hits[0].face_id == 5


def test_a_gallery_that_leaves_gives_its_room_on_the_card_back() -> None:
    device = Device("cpu", DIMENSIONS, megabytes=1)
    make = lambda group_id, *rows: on(device, group_id, rows)  # noqa: E731
    first = gallery_of(make, range(200))
    first.tidy(lambda: False)
    assert not device.has_room(25_500)
    del first
    assert device.has_room(25_500)
