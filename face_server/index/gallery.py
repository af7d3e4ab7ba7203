"""The searchable vectors of one group. Faiss scans our own contiguous rows, so adding and removing stay O(1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from face_server.index.locks import SharedLock

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]
Number = TypeVar("Number", np.float32, np.int64)

_FIRST_ROWS = 64
_NEIGHBOURS = 16  # rows looked at for each wanted user: most users own fewer of the nearest faces than that


@dataclass(frozen=True, slots=True)
class Hit:
    group_id: int
    user_id: int
    face_id: int
    cosine: float


class Gallery:
    """Everything that happened to the group up to write `seq` of its app is in here."""

    def __init__(self, group_id: int, seq: int, vectors: Vectors, face_ids: Ids, user_ids: Ids) -> None:
        """The arrays belong to the gallery from now on."""
        self.group_id = group_id
        self.seq = seq
        self._vectors, self._face_ids, self._user_ids = vectors, face_ids, user_ids
        self._count = len(face_ids)
        self._slots = {face_id: row for row, face_id in enumerate(face_ids.tolist())}
        self._lock = SharedLock()

    def __len__(self) -> int:
        return self._count

    @property
    def memory(self) -> int:
        """Bytes; a fair estimate of the slot map included."""
        return self._vectors.nbytes + self._face_ids.nbytes + self._user_ids.nbytes + 100 * self._count

    def put(self, face_id: int, user_id: int, vector: Vectors) -> None:
        """Add a face, or overwrite it in place."""
        with self._lock.writing():
            row = self._slots.get(face_id)
            if row is None:
                row = self._count
                self._make_room(row + 1)
                self._slots[face_id] = row
                self._count += 1
            self._vectors[row] = vector
            self._face_ids[row] = face_id
            self._user_ids[row] = user_id

    def remove(self, face_id: int) -> None:
        """The last row takes the place of the removed one."""
        with self._lock.writing():
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

    def _make_room(self, rows: int) -> None:
        have = len(self._face_ids)
        if rows > have:
            more = max(_FIRST_ROWS, have if have < 1 << 16 else have // 4)
            self._vectors = _grown(self._vectors, have + more)
            self._face_ids = _grown(self._face_ids, have + more)
            self._user_ids = _grown(self._user_ids, have + more)

    def search(self, queries: Vectors, limit: int, users: Sequence[int] | None = None) -> list[list[Hit]]:
        """For each query the best face of each of the `limit` nearest users, nearest first."""
        with self._lock.reading():
            if users is not None:
                ranked = self._rank(queries, np.flatnonzero(np.isin(self._user_ids[: self._count], users)))
            else:
                ranked = self._nearest(queries, limit)
            return [self._best_per_user(rows, scores, limit) for rows, scores in zip(*ranked, strict=True)]

    def _nearest(self, queries: Vectors, limit: int) -> tuple[Ids, Vectors]:
        """Rows and cosines, nearest first, enough of them for `limit` users where the group has as many."""
        k = _NEIGHBOURS * limit
        if k < self._count:
            faiss.omp_set_num_threads(1)  # of this thread: a second one would take the core of another request
            scores, rows = faiss.knn(queries, self._vectors[: self._count], k, faiss.METRIC_INNER_PRODUCT)
            if all(len(np.unique(self._user_ids[found])) >= limit for found in rows):
                return rows, scores
        return self._rank(queries, np.arange(self._count))

    def _rank(self, queries: Vectors, rows: Ids) -> tuple[Ids, Vectors]:
        """All of these rows in order."""
        vectors = self._vectors[: self._count] if len(rows) == self._count else self._vectors[rows]
        scores = queries @ vectors.T
        order = np.argsort(-scores, axis=1)
        return rows[order], np.take_along_axis(scores, order, axis=1)

    def _best_per_user(self, rows: Ids, scores: Vectors, limit: int) -> list[Hit]:
        _, first = np.unique(self._user_ids[rows], return_index=True)
        best = np.sort(first)[:limit]
        users, faces = self._user_ids[rows[best]].tolist(), self._face_ids[rows[best]].tolist()
        found = zip(users, faces, scores[best].tolist(), strict=True)
        return [Hit(self.group_id, user_id, face_id, score) for user_id, face_id, score in found]

    def copy(self) -> tuple[NDArray[np.float16], Ids, Ids]:
        """Templates, face ids and user ids as of one instant."""
        with self._lock.reading():
            n = self._count
            return self._vectors[:n].astype(np.float16), self._face_ids[:n].copy(), self._user_ids[:n].copy()


def _grown(array: NDArray[Number], rows: int) -> NDArray[Number]:
    grown = np.empty((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
