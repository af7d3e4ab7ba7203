"""The plainest possible gallery, a dictionary and NumPy, and the tests that every other one has to pass beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from face_server.index.protocol import Gallery, Hit, Ids, Vectors
from tests.small_library import DIMENSIONS, vector

GROUP = 7
Make = Callable[[int, Vectors, Ids, Ids], Gallery]


def gallery_of(make: Make, numbers: range, users: int = 10**9, dimensions: int = DIMENSIONS) -> Gallery:
    return make(GROUP, *rows_of(numbers, users, dimensions))


def rows_of(numbers: range, users: int = 10**9, dimensions: int = DIMENSIONS) -> tuple[Vectors, Ids, Ids]:
    vectors = np.stack([vector(n, dimensions) for n in numbers]) if numbers else np.empty((0, dimensions), np.float32)
    ids = np.array(numbers, np.int64)
    return vectors, ids, ids % users


class Oracle:
    def __init__(self, gallery: Gallery) -> None:
        templates, faces, users = gallery.copy()
        rows = zip(faces.tolist(), users.tolist(), templates.astype(np.float32), strict=True)
        self.rows = {face: (user, row) for face, user, row in rows}

    def best(self, query: NDArray[np.float32], users: Sequence[int] | None) -> dict[int, float]:
        """Of each user."""
        found: dict[int, float] = {}
        for user, row in self.rows.values():
            if users is None or user in users:
                found[user] = max(found.get(user, -2.0), float(row @ query))
        return found

    def check(self, hits: list[Hit], query: NDArray[np.float32], limit: int, users: Sequence[int] | None) -> None:
        """What is equally near may come in any order."""
        best = self.best(query, users)
        expected = sorted(best.values(), reverse=True)[:limit]
        np.testing.assert_allclose([hit.cosine for hit in hits], expected, atol=1e-5)
        assert len({hit.user_id for hit in hits}) == len(hits)
        for hit in hits:
            user, row = self.rows[hit.face_id]
            assert (hit.group_id, hit.user_id) == (GROUP, user)
            assert abs(float(row @ query) - hit.cosine) < 1e-5
            assert abs(best[user] - hit.cosine) < 1e-5


FACES = st.integers(0, 150)
USERS = st.integers(1, 6)


class AnyHistory(RuleBasedStateMachine):
    """Whatever is done, in whatever order, gallery and oracle find the same."""

    make: Make

    @initialize(start=st.integers(0, 20) | st.integers(40, 150), users=st.integers(1, 40))
    def begin(self, start: int, users: int) -> None:
        self.gallery = gallery_of(type(self).make, range(start), users)
        self.oracle = Oracle(self.gallery)
        self.touched: list[Vectors] = []
        self.gone: list[Vectors] = []

    @rule(face=FACES, user=USERS, seed=st.integers(200, 10_000))
    def put(self, face: int, user: int, seed: int) -> None:
        self.gallery.put(face, user, vector(seed))
        if face in self.oracle.rows:
            self.gone.append(self.oracle.rows[face][1])
        self.oracle.rows[face] = (user, vector(seed))
        self.touched.append(vector(seed))

    @rule(faces=st.lists(FACES, max_size=40))
    def remove(self, faces: list[int]) -> None:
        for face in faces:
            self.gallery.remove(face)
            if face in self.oracle.rows:
                self.gone.append(self.oracle.rows.pop(face)[1])

    @rule(stops_after=st.integers(0, 3))
    def tidy(self, stops_after: int) -> None:
        asked = iter(range(stops_after))
        self.gallery.tidy(lambda: next(asked, None) is None)

    @rule(seed=st.integers(20_000, 30_000), limit=st.integers(1, 12), users=st.none() | st.lists(USERS, max_size=4))
    def search(self, seed: int, limit: int, users: list[int] | None) -> None:
        queries = np.stack([vector(seed), vector(seed + 1)])
        for query, hits in zip(queries, self.gallery.search(queries, limit, users), strict=True):
            self.oracle.check(hits, query, limit, users)

    @rule(which=st.integers(0, 10**6), limit=st.integers(1, 3))
    def look_for_a_face(self, which: int, limit: int) -> None:
        """One that is there, one that was touched just now, and one that is gone."""
        looked_for = [*self.touched[-4:], *self.gone[-4:]]
        if self.oracle.rows:
            faces = sorted(self.oracle.rows)
            looked_for.append(self.oracle.rows[faces[which % len(faces)]][1])
        for query in looked_for:
            self.oracle.check(self.gallery.search(query[None], limit)[0], query, limit, None)

    @invariant()
    def same_size(self) -> None:
        assert len(self.gallery) == len(self.oracle.rows)

    def teardown(self) -> None:
        self.look_for_a_face(0, 1)
        templates, faces, users = self.gallery.copy()
        rows = zip(faces.tolist(), users.tolist(), templates.astype(np.float32), strict=True)
        kept = {face: (user, row.tobytes()) for face, user, row in rows}
        assert kept == {face: (user, row.tobytes()) for face, (user, row) in self.oracle.rows.items()}
