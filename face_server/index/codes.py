"""The first of two stages: every vector as a code of 64 bytes, all of them compared in one fast pass.

Faiss' fast scan can neither remove nor skip. So codes are only ever appended, and two maps between codes and slots say
which ones count: the code of a changed row stays behind as a tombstone."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from face_server.index.protocol import Ids, Vectors

LARGE = 50_000  # faces, from which on two stages are worth it
_CODES = 128  # sub-quantisers of four bits
_SHORTEST = 300  # fewer would lose mates that are hardly alike
_SHARE = 1000  # one of so many faces is looked at closely
_TAIL = 512  # slots without a code that a search may look at without being slower
_SAMPLE = 16_384
_LEAST = 64  # vectors that training asks for


class Codes:
    def __init__(self, faces: int, sample: Vectors) -> None:
        dimensions = sample.shape[1]
        if len(sample) < _LEAST:
            sample = np.resize(sample, (_LEAST, dimensions))
        parts = max(n for n in range(1, _CODES + 1) if dimensions % n == 0)
        self._index: Any = faiss.IndexPQFastScan(dimensions, parts, 4, faiss.METRIC_INNER_PRODUCT)
        faiss.omp_set_num_threads(1)
        self._index.train(np.ascontiguousarray(sample[:_SAMPLE]))
        self._trained_for = faces
        self._slot_of = np.empty(0, np.int64)  # code -> slot; -1: a tombstone
        self._code_of = np.empty(0, np.int64)  # slot -> code; -1: none
        self._tail: set[int] = set()  # slots with a vector and without a code
        self._dead = 0

    @property
    def memory(self) -> int:
        return int(self._index.codes.size()) + self._slot_of.nbytes + self._code_of.nbytes + 100 * len(self._tail)

    def put(self, slot: int, vector: Vectors) -> None:
        self._bury(slot)
        self._tail.add(slot)

    def move(self, source: int, target: int, vector: Vectors) -> None:
        code = self._code(source)
        self._bury(target)
        if code < 0:
            self._tail.discard(source)
            self._tail.add(target)
        else:
            self._code_of[source] = -1
            self._link(np.array([code]), np.array([target]))
            self._tail.discard(target)

    def remove(self, slot: int) -> None:
        self._bury(slot)
        self._tail.discard(slot)

    def fill(self, slots: Ids, vectors: Vectors) -> None:
        new = np.array([self._code(int(slot)) < 0 for slot in slots], bool)
        slots, vectors = slots[new], np.ascontiguousarray(vectors[new])
        first = self._index.ntotal
        faiss.omp_set_num_threads(1)
        self._index.add(vectors)
        self._slot_of = _grown(self._slot_of, self._index.ntotal)
        self._link(np.arange(first, self._index.ntotal), slots)
        self._tail.difference_update(slots.tolist())

    def find(self, queries: Vectors, wanted: int) -> list[Ids]:
        count = self._index.ntotal
        wanted = max(wanted, _SHORTEST, count // _SHARE)
        tail = self.waiting()
        if not count:
            return [tail] * len(queries)
        faiss.omp_set_num_threads(1)
        k = min(wanted + wanted // 4, count)
        while True:
            _, codes = self._index.search(queries, k)
            found = [self._slot_of[row[row >= 0]] for row in codes]
            found = [slots[slots >= 0] for slots in found]
            if k == count or all(len(slots) >= wanted for slots in found):
                return [np.concatenate([slots, tail]) for slots in found]
            k = min(2 * k, count)  # many tombstones in this place, say of a user with hundreds of faces

    def waiting(self) -> Ids:
        return np.fromiter(self._tail, np.int64, len(self._tail))

    def worn(self, faces: int) -> bool:
        return self._dead > self._index.ntotal // 4 + _TAIL or faces > 2 * self._trained_for

    def packed(self) -> bytes:
        index = faiss.serialize_index(self._index).tobytes()
        maps = [self._slot_of[: self._index.ntotal], self.waiting()]
        numbers = np.array([len(index), len(maps[0]), len(maps[1]), self._trained_for], np.int64)
        return b"".join([numbers.tobytes(), index, *(part.tobytes() for part in maps)])

    @classmethod
    def unpacked(cls, packed: bytes, dimensions: int) -> Codes:
        lengths = np.frombuffer(packed, np.int64, 4)
        size, count, waiting, trained_for = lengths.tolist()
        index: Any = faiss.deserialize_index(np.frombuffer(packed, np.uint8, size, lengths.nbytes))
        maps = np.frombuffer(packed, np.int64, count + waiting, lengths.nbytes + size)
        if index.d != dimensions or index.ntotal != count:
            raise ValueError("not the codes of these rows")
        codes = cls.__new__(cls)
        codes._index, codes._trained_for = index, trained_for
        codes._slot_of, codes._code_of = maps[:count].copy(), np.empty(0, np.int64)
        alive = np.flatnonzero(codes._slot_of >= 0)
        codes._link(alive, codes._slot_of[alive])
        codes._tail, codes._dead = set(maps[count:].tolist()), count - len(alive)
        return codes

    def _code(self, slot: int) -> int:
        return int(self._code_of[slot]) if slot < len(self._code_of) else -1

    def _bury(self, slot: int) -> None:
        code = self._code(slot)
        if code >= 0:
            self._slot_of[code] = self._code_of[slot] = -1
            self._dead += 1

    def _link(self, codes: Ids, slots: Ids) -> None:
        if len(slots):
            self._code_of = _grown(self._code_of, int(slots.max()) + 1)
            self._slot_of[codes] = slots
            self._code_of[slots] = codes


class CodesForLarge:
    """Two stages from so many faces on."""

    def __init__(self, large: int = LARGE) -> None:
        self._large = large

    def wanted(self, faces: int) -> bool:
        return faces >= self._large

    def make(self, faces: int, sample: Vectors) -> Codes:
        return Codes(faces, sample)

    def unpack(self, packed: bytes, dimensions: int) -> Codes:
        return Codes.unpacked(packed, dimensions)


def _grown(array: Ids, length: int) -> Ids:
    """At least so long; what is new says -1. A quarter in reserve, so that growing stays cheap."""
    if length <= len(array):
        return array
    grown = np.full(length + length // 4, -1, np.int64)
    grown[: len(array)] = array
    return grown
