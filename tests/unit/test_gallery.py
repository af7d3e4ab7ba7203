"""Galleries in this process against the oracle: exact and in two stages."""

import threading
import time

import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from face_server.index.codes import CodesForLarge
from face_server.index.gallery import LocalGallery
from face_server.index.protocol import Ids, Vectors
from tests.gallery_oracle import GROUP, AnyHistory, Make, Oracle, gallery_of, rows_of
from tests.small_library import DIMENSIONS, vector


def exact(group_id: int, vectors: Vectors, face_ids: Ids, user_ids: Ids) -> LocalGallery:
    return LocalGallery(group_id, 0, vectors, face_ids, user_ids)


def two_stages(group_id: int, vectors: Vectors, face_ids: Ids, user_ids: Ids) -> LocalGallery:
    return LocalGallery(group_id, 0, vectors, face_ids, user_ids, CodesForLarge(20))


WAYS = {"exact": exact, "two stages": two_stages}


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
def test_whatever_happens_gallery_and_oracle_find_the_same(make: Make) -> None:
    machine = type("History", (AnyHistory,), {"make": staticmethod(make)})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))


@pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("limit", [1, 3, 20])
def test_users_with_many_near_faces_do_not_push_others_out(make: Make, limit: int) -> None:
    gallery = gallery_of(make, range(2000))
    centre = vector(5000)
    for face in range(3000, 3400):  # 400 faces of one user, all nearer than anybody else's
        near = centre + 0.05 * vector(face)
        gallery.put(face, 99_999, (near / np.linalg.norm(near)).astype(np.float16).astype(np.float32))
    gallery.tidy(lambda: False)
    (found,) = gallery.search(centre[None], limit)
    Oracle(gallery).check(found, centre, limit, None)
    assert len(found) == limit


@pytest.mark.serial
def test_adding_and_removing_do_not_depend_on_the_size() -> None:
    def work(gallery: LocalGallery) -> float:
        spent = []
        for n in range(300):
            gallery.put(10**6 + n, 1, row)
            begun = time.perf_counter()
            gallery.put(2 * 10**6, 1, row)
            gallery.remove(2 * 10**6)
            gallery.remove(10**6 + n)
            spent.append(time.perf_counter() - begun)
        return float(np.median(spent))

    row = vector(1, 128)
    small, large = (
        LocalGallery(
            GROUP, 0, np.zeros((n, 128), np.float32), np.arange(n, dtype=np.int64), np.arange(n, dtype=np.int64)
        )
        for n in (1000, 100_000)
    )
    assert work(large) < 5 * work(small)


def test_searches_beside_changes_see_whole_rows() -> None:
    """Each row is its face's number throughout, so a torn one would show."""
    gallery = LocalGallery(
        GROUP, 0, np.empty((0, DIMENSIONS), np.float32), np.empty(0, np.int64), np.empty(0, np.int64)
    )
    stop = threading.Event()

    def change() -> None:
        rng = np.random.default_rng(1)
        while not stop.is_set():
            face = int(rng.integers(1, 400))
            if rng.random() < 0.5:
                gallery.put(face, face, np.full(DIMENSIONS, face, np.float32))
            else:
                gallery.remove(face)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        ones = np.ones((1, DIMENSIONS), np.float32)
        for limit in [1, 5, 50] * 150:
            for hit in gallery.search(ones, limit)[0]:
                assert hit.cosine == DIMENSIONS * hit.face_id == DIMENSIONS * hit.user_id
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("seed", range(8))
def test_shortlist_knows_every_row_exactly_once(seed: int) -> None:
    """Fewer rows than it looks at closely: so it has to name all of them, whatever happened to them."""
    rng = np.random.default_rng(seed)
    gallery = two_stages(GROUP, *rows_of(range(120)))
    gallery.tidy(lambda: False)
    for step in range(200):
        faces = gallery.copy()[1]
        kind = rng.integers(5)
        if kind == 0 and len(faces) < 200:
            gallery.put(1000 + step, 1, vector(1000 + step))
        elif kind == 1:
            gallery.put(int(rng.choice(faces)), 1, vector(1000 + step))
        elif kind == 2:
            gallery.remove(int(faces[-1]))
        elif kind == 3 and len(faces) > 80:
            gallery.remove(int(rng.choice(faces)))
        elif step % 9 == 0:
            gallery.tidy(lambda: False)
        assert gallery.shortlist is not None
        (slots,) = gallery.shortlist.find(vector(step)[None], 1)
        assert sorted(slots.tolist()) == list(range(len(gallery)))
