"""Galleries of graphs. On a processor here: the graphs are the same ones that run on a card."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from face_server.index.card import BLOCK, Card, CardForLarge, Device
from face_server.index.codes import Codes
from face_server.index.gallery import LocalGallery
from face_server.index.protocol import Ids, Vectors
from face_server.index.scan import Scan
from tests.gallery_oracle import GROUP, AnyHistory, Oracle, gallery_of, rows_of
from tests.small_library import DIMENSIONS, vector


@pytest.fixture(scope="module")
def device() -> Device:
    return Device("cpu", DIMENSIONS, megabytes=64)


def on(device: Device, group_id: int, rows: tuple[Vectors, Ids, Ids], large: int = 20) -> LocalGallery:
    return LocalGallery(group_id, 0, *rows, CardForLarge(device, large))


def test_whatever_happens_gallery_and_oracle_find_the_same(device: Device) -> None:
    make = staticmethod(lambda group_id, *rows: on(device, group_id, rows))
    machine = type("History", (AnyHistory,), {"make": make})
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=20, deadline=None))


def test_the_known_search_is_found_right(device: Device) -> None:
    device.prove()


def test_a_device_that_computes_wrong_is_found_out(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    right = device._run

    def wrong(*arguments: object) -> object:
        numbers, scores = right(*arguments)  # type: ignore[arg-type]
        return numbers[:, ::-1], scores[:, ::-1]

    monkeypatch.setattr(device, "_run", wrong)
    with pytest.raises(RuntimeError):
        device.prove()


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


def test_appending_leaves_full_blocks_where_they_are(device: Device) -> None:
    card = Card(device, 10)
    card.fill(np.arange(10), np.ones((10, DIMENSIONS), np.float32))
    small = card.blocks[0]
    card.put(3000, vector(1))
    assert card.blocks[0] is not small
    assert card.blocks[0].capacity == 4096
    card.put(BLOCK, vector(2))
    full = card.blocks[0]
    assert (full.capacity, len(card.blocks)) == (BLOCK, 2)
    card.put(BLOCK + 1, vector(3))
    assert card.blocks[0] is full
    assert sorted(card.find(vector(2)[None], 64)[0].tolist()) == [*range(10), 3000, BLOCK, BLOCK + 1]


def test_several_galleries_are_searched_in_one_run(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    galleries = [on(device, group, rows_of(range(1000 * group, 1000 * group + 200))) for group in (3, 1, 2)]
    small = LocalGallery(9, 0, *rows_of(range(9000, 9005)))
    for gallery in galleries:
        gallery.tidy(lambda: False)
    runs = []
    run = device._run
    monkeypatch.setattr(device, "_run", lambda *arguments: (runs.append(1), run(*arguments))[1])
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
