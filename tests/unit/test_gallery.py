"""A gallery against the plainest possible one: a dictionary and NumPy."""

import threading
import time

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from face_server.index.gallery import Gallery, Hit
from tests.small_library import DIMENSIONS, vector

GROUP = 7


def gallery_of(numbers: range, users: int = 10**9, dimensions: int = DIMENSIONS) -> Gallery:
    vectors = np.stack([vector(n, dimensions) for n in numbers]) if numbers else np.empty((0, dimensions), np.float32)
    ids = np.array(numbers, np.int64)
    return Gallery(GROUP, 0, vectors, ids.copy(), ids % users)


class Oracle:
    def __init__(self, gallery: Gallery) -> None:
        templates, faces, users = gallery.copy()
        rows = zip(faces.tolist(), users.tolist(), templates.astype(np.float32), strict=True)
        self.rows = {face: (user, row) for face, user, row in rows}

    def search(self, query: NDArray[np.float32], limit: int, users: list[int] | None) -> list[Hit]:
        best: dict[int, Hit] = {}
        for face, (user, row) in self.rows.items():
            cosine = float(row @ query)
            if (users is None or user in users) and (user not in best or cosine > best[user].cosine):
                best[user] = Hit(GROUP, user, face, cosine)
        return sorted(best.values(), key=lambda hit: -hit.cosine)[:limit]


def assert_same(found: list[Hit], expected: list[Hit]) -> None:
    assert [(hit.user_id, hit.face_id) for hit in found] == [(hit.user_id, hit.face_id) for hit in expected]
    assert [hit.cosine for hit in found] == pytest.approx([hit.cosine for hit in expected], abs=1e-5)


FACES = st.integers(0, 150)
USERS = st.integers(1, 6)


class AnyHistory(RuleBasedStateMachine):
    """Whatever is done, in whatever order, gallery and oracle find the same."""

    @initialize(start=st.integers(0, 120), users=st.integers(1, 40))
    def begin(self, start: int, users: int) -> None:
        self.gallery = gallery_of(range(start), users)
        self.oracle = Oracle(self.gallery)

    @rule(face=FACES, user=USERS, seed=st.integers(200, 10_000))
    def put(self, face: int, user: int, seed: int) -> None:
        self.gallery.put(face, user, vector(seed))
        self.oracle.rows[face] = (user, vector(seed))

    @rule(faces=st.lists(FACES, max_size=40))
    def remove(self, faces: list[int]) -> None:
        for face in faces:
            self.gallery.remove(face)
            self.oracle.rows.pop(face, None)

    @rule(seed=st.integers(20_000, 30_000), limit=st.integers(1, 12), users=st.none() | st.lists(USERS, max_size=4))
    def search(self, seed: int, limit: int, users: list[int] | None) -> None:
        queries = np.stack([vector(seed), vector(seed + 1)])
        for query, found in zip(queries, self.gallery.search(queries, limit, users), strict=True):
            assert_same(found, self.oracle.search(query, limit, users))

    @invariant()
    def same_size(self) -> None:
        assert len(self.gallery) == len(self.oracle.rows)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_users_with_many_near_faces_do_not_push_others_out(limit: int) -> None:
    gallery = gallery_of(range(2000))
    centre = vector(5000)
    for face in range(3000, 3400):  # 400 faces of one user, all nearer than anybody else's
        near = centre + 0.05 * vector(face)
        gallery.put(face, 99_999, (near / np.linalg.norm(near)).astype(np.float16).astype(np.float32))
    (found,) = gallery.search(centre[None], limit)
    assert_same(found, Oracle(gallery).search(centre, limit, None))
    assert len({hit.user_id for hit in found}) == limit


@pytest.mark.serial
def test_adding_and_removing_do_not_depend_on_the_size() -> None:
    def work(gallery: Gallery) -> float:
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
        Gallery(GROUP, 0, np.zeros((n, 128), np.float32), np.arange(n, dtype=np.int64), np.arange(n, dtype=np.int64))
        for n in (1000, 100_000)
    )
    assert work(large) < 5 * work(small)


def test_searches_beside_changes_see_whole_rows() -> None:
    """Each row is its face's number throughout, so a torn one would show."""
    gallery = Gallery(GROUP, 0, np.empty((0, DIMENSIONS), np.float32), np.empty(0, np.int64), np.empty(0, np.int64))
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
