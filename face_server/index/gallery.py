"""The searchable vectors of one group in this process: contiguous rows, so adding and removing stay O(1).

Small galleries are scanned exactly by Faiss. Large ones have a shortlist in front, whose rows are compared exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from face_server.index.locks import SharedLock
from face_server.index.protocol import Hit, Ids, Templates, Vectors
from face_server.index.shortlist import Shortlist, Shortlists

__all__ = ["Hit", "Ids", "LocalGallery", "Snapshot", "Vectors"]

Rows = NDArray[np.float32] | NDArray[np.float16]
Ranked = tuple[Sequence[Ids], Sequence[Vectors]]  # of each query: rows and cosines, nearest first
Number = TypeVar("Number", bound=np.generic)

_FIRST_ROWS = 64
NEIGHBOURS = 16  # rows looked at for each wanted user: most users own fewer of the nearest faces than that
_PART = 1024  # rows that go into a shortlist at a time: a change waits as long
_SCAN = 16_384  # rows in half precision that are compared at a time
_SAMPLE = 16_384  # rows that show what a gallery's vectors are like
_WAITING = 256  # rows that wait for the shortlist before it is worth while to serve them


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A gallery as of one instant."""

    templates: Templates
    face_ids: Ids
    user_ids: Ids
    shortlist: bytes


class LocalGallery:
    """See the protocol. Rows are in single precision while they are scanned, in half precision behind a shortlist:
    that is how templates are stored, so nothing is lost."""

    def __init__(
        self,
        group_id: int,
        seq: int,
        vectors: Rows,
        face_ids: Ids,
        user_ids: Ids,
        shortlists: Shortlists | None = None,
        shortlist: Shortlist | None = None,
    ) -> None:
        """The arrays belong to the gallery from now on."""
        self.group_id = group_id
        self.seq = seq
        self._vectors: NDArray[np.floating[Any]] = vectors
        self._face_ids, self._user_ids = face_ids, user_ids
        self._count = len(face_ids)
        self._slots = {face_id: row for row, face_id in enumerate(face_ids.tolist())}
        self._shortlists, self._shortlist = shortlists, shortlist
        self._next: Shortlist | None = None  # one that is being filled
        self.lock = SharedLock()

    def __len__(self) -> int:
        return self._count

    @property
    def memory(self) -> int:
        """Bytes; a fair estimate of the slot map included."""
        rows = self._vectors.nbytes + self._face_ids.nbytes + self._user_ids.nbytes + 100 * self._count
        return rows + sum(shortlist.memory for shortlist in self._both())

    @property
    def shortlist(self) -> Shortlist | None:
        return self._shortlist

    def _both(self) -> Iterable[Shortlist]:
        return (one for one in (self._shortlist, self._next) if one is not None)

    # Changes

    def put(self, face_id: int, user_id: int, vector: Vectors) -> None:
        with self.lock.writing():
            row = self._slots.get(face_id)
            if row is None:
                row = self._count
                self._make_room(row + 1)
                self._slots[face_id] = row
                self._count += 1
            self._vectors[row] = vector
            self._face_ids[row] = face_id
            self._user_ids[row] = user_id
            for shortlist in self._both():
                shortlist.put(row, vector)

    def remove(self, face_id: int) -> None:
        """The last row takes the place of the removed one."""
        with self.lock.writing():
            row = self._slots.pop(face_id, None)
            if row is None:
                return
            self._count -= 1
            last = self._count
            if row != last:
                self._vectors[row] = self._vectors[last]
                self._face_ids[row] = self._face_ids[last]
                self._user_ids[row] = self._user_ids[last]
                self._slots[int(self._face_ids[row])] = row
            for shortlist in self._both():
                if row == last:
                    shortlist.remove(row)
                else:
                    shortlist.move(last, row, self._vectors[row])

    def _make_room(self, rows: int) -> None:
        have = len(self._face_ids)
        if rows > have:
            more = max(_FIRST_ROWS, have if have < 1 << 16 else have // 4)
            self._vectors = _grown(self._vectors, have + more)
            self._face_ids = _grown(self._face_ids, have + more)
            self._user_ids = _grown(self._user_ids, have + more)

    # Searching

    def search(self, queries: Vectors, limit: int, users: Sequence[int] | None = None) -> list[list[Hit]]:
        with self.lock.reading():
            if users is not None:
                theirs = np.flatnonzero(np.isin(self._user_ids[: self._count], users))
                return self._best(self._rank(queries, theirs), limit)
            k = NEIGHBOURS * limit
            if k < self._count:
                found = self._best(self._closest(queries, k), limit)
                if all(len(hits) == limit for hits in found):
                    return found
            return self._best(self._rank(queries, np.arange(self._count)), limit)

    def best_of(self, queries: Vectors, found: Sequence[Ids], limit: int) -> list[list[Hit]]:
        """Of the rows that were found for each query. For who holds the lock for reading."""
        return self._best(self._compare(queries, found, len(self)), limit)

    def _closest(self, queries: Vectors, k: int) -> Ranked:
        if self._shortlist is not None:
            found = self._shortlist.find(queries, k)
            return self._compare(queries, found, k)
        faiss.omp_set_num_threads(1)  # of this thread: a second one would take the core of another request
        scores, rows = faiss.knn(queries, self._vectors[: self._count], k, faiss.METRIC_INNER_PRODUCT)
        return list(rows), list(scores)

    def _compare(self, queries: Vectors, found: Sequence[Ids], k: int) -> Ranked:
        """The k best of each query's rows."""
        scores = [self._vectors[rows].astype(np.float32) @ query for query, rows in zip(queries, found, strict=True)]
        orders = [np.argsort(-row, kind="stable")[:k] for row in scores]
        best = [rows[order] for rows, order in zip(found, orders, strict=True)]
        return best, [row[order] for row, order in zip(scores, orders, strict=True)]

    def _rank(self, queries: Vectors, rows: Ids) -> Ranked:
        """All of these rows in order."""
        scores = self._scores(queries, None if len(rows) == self._count else rows)
        order = np.argsort(-scores, axis=1)
        return list(rows[order]), list(np.take_along_axis(scores, order, axis=1))

    def _scores(self, queries: Vectors, rows: Ids | None) -> Vectors:
        """None: of all rows."""
        vectors = self._vectors[: self._count] if rows is None else self._vectors[rows]
        if vectors.dtype == np.float32:
            return np.asarray(queries @ vectors.T, np.float32)
        scores = np.empty((len(queries), len(vectors)), np.float32)
        for start in range(0, len(vectors), _SCAN):
            part = vectors[start : start + _SCAN].astype(np.float32)
            scores[:, start : start + _SCAN] = queries @ part.T
        return scores

    def _best(self, ranked: Ranked, limit: int) -> list[list[Hit]]:
        """For each query the nearest users, each with its best face."""
        return [self._best_per_user(rows, scores, limit) for rows, scores in zip(*ranked, strict=True)]

    def _best_per_user(self, rows: Ids, scores: Vectors, limit: int) -> list[Hit]:
        """In plain Python: for a few rows NumPy needs longer to begin than this needs in all."""
        best: dict[int, Hit] = {}
        owners, faces = self._user_ids[rows].tolist(), self._face_ids[rows].tolist()
        for user_id, face_id, score in zip(owners, faces, scores.tolist(), strict=True):
            if user_id not in best:
                best[user_id] = Hit(self.group_id, user_id, face_id, score)
                if len(best) == limit:
                    break
        return list(best.values())

    # The whole of it

    def copy(self) -> tuple[Templates, Ids, Ids]:
        with self.lock.reading():
            return self._copy()

    def snapshot(self) -> Snapshot:
        with self.lock.reading():
            return Snapshot(*self._copy(), b"" if self._shortlist is None else self._shortlist.packed())

    def _copy(self) -> tuple[Templates, Ids, Ids]:
        n = self._count
        return self._vectors[:n].astype(np.float16), self._face_ids[:n].copy(), self._user_ids[:n].copy()

    # Tidying

    @property
    def untidy(self) -> bool:
        if self._shortlist is None:
            return self._shortlists is not None and self._shortlists.wanted(self._count)
        return len(self._shortlist.waiting()) >= _WAITING or self._shortlist.worn(self._count)

    def tidy(self, stop: Callable[[], bool]) -> None:
        if self._shortlists is None:
            return
        if self._shortlist is not None and not self._shortlist.worn(self._count):
            self._serve_waiting(self._shortlist, stop)
        elif self._count:
            self._renew(self._shortlists, stop)

    def _serve_waiting(self, shortlist: Shortlist, stop: Callable[[], bool]) -> None:
        while not stop():
            with self.lock.writing():
                slots = shortlist.waiting()[:_PART]
                shortlist.fill(slots, self._vectors[slots].astype(np.float32))
            if len(slots) < _PART:
                return

    def _renew(self, shortlists: Shortlists, stop: Callable[[], bool]) -> None:
        """Fill a fresh shortlist while the old one or a full scan goes on answering; then swap."""
        fresh = shortlists.make(self._count, self._sample())
        with self.lock.writing():
            self._next = fresh
        try:
            if self._fill(fresh, stop):
                with self.lock.writing():
                    self._shortlist = fresh
                    self._halve()  # takes about a second for a million
        finally:
            self._next = None

    def _fill(self, fresh: Shortlist, stop: Callable[[], bool]) -> bool:
        """With everything there is. Changes reach it by themselves. False: stopped."""
        start = 0
        while not stop():
            with self.lock.reading():  # keeps changes out, not searches
                slots = np.arange(start, min(start + _PART, self._count))
                fresh.fill(slots, self._vectors[slots].astype(np.float32))
            if len(slots) < _PART:
                return True
            start += _PART
        return False

    def _halve(self) -> None:
        if self._vectors.dtype != np.float16:
            halves = np.empty(self._vectors.shape, np.float16)
            halves[: self._count] = self._vectors[: self._count]
            self._vectors = halves

    def _sample(self) -> Vectors:
        with self.lock.reading():
            chosen = np.random.default_rng(self._count).permutation(self._count)[:_SAMPLE]
            return self._vectors[chosen].astype(np.float32)


def _grown(array: NDArray[Number], rows: int) -> NDArray[Number]:
    grown = np.empty((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
