"""The shortlist of a gallery in indexes of Faiss that can only be appended to, as those on a card: rows lie in blocks,
and what is overwritten or removed stays behind as a tombstone until its block is made compact."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from face_server.index.protocol import Ids, Vectors
from face_server.index.shortlist import Untrained

LENGTH = 262_144  # rows of a block: Faiss copies the last one whenever something is appended
LEAST, MOST = 64, 2048  # rows asked of a block; Faiss on a card cannot tell more than 2,048
MB = 2**20
_NOTHING = -1


class Index(Protocol):
    """What is used of Faiss: GpuIndexFlat has it, and so have its flat indexes of the processor."""

    ntotal: int

    def add(self, vectors: Vectors) -> None: ...

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]: ...

    def reconstruct_n(self, first: int, count: int) -> Vectors: ...

    def reset(self) -> None: ...


class Place:
    """Where the blocks are: how an index is made there, and how much of it there may be."""

    def __init__(self, make: Callable[[], Index], dimensions: int, megabytes: int, length: int = LENGTH) -> None:
        self.make, self.dimensions, self.length = make, dimensions, length
        self.lock = threading.Lock()  # the resources of a card are for one thread at a time
        self.shortlists: WeakSet[Appended] = WeakSet()
        self._bytes = megabytes * MB

    def shortlist(self, faces: int) -> Appended:
        return Appended(self)

    def has_room(self, faces: int) -> bool:
        used = sum(shortlist.size for shortlist in list(self.shortlists))
        return used + 2 * self.dimensions * faces * 5 // 4 <= self._bytes


class Block:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._index = place.make()
        self.slots = np.full(place.length, _NOTHING, np.int64)  # of each row; nothing: a tombstone
        self.alive = 0

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    @property
    def room(self) -> int:
        return len(self.slots) - self.rows

    def append(self, slots: Ids, vectors: Vectors) -> Ids:
        """The rows that they are in now."""
        first = self.rows
        with self._place.lock:
            self._index.add(np.ascontiguousarray(vectors, np.float32))
        rows = np.arange(first, first + len(slots))
        self.slots[rows] = slots
        self.alive += len(slots)
        return rows

    def bury(self, row: int) -> None:
        self.slots[row] = _NOTHING
        self.alive -= 1

    def compact(self) -> Ids:
        """Without its tombstones: the slots of its rows from now on."""
        alive = np.flatnonzero(self.slots[: self.rows] != _NOTHING)
        slots = self.slots[alive]
        with self._place.lock:
            vectors = self._index.reconstruct_n(0, self.rows)[alive]
            self._index.reset()
            if len(alive):
                self._index.add(np.ascontiguousarray(vectors))
        self.slots[:] = _NOTHING
        self.slots[: len(slots)] = slots
        return slots

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        with self._place.lock:
            scores, rows = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        return scores, rows


class Appended(Untrained):
    """See `Shortlist`. Every row of it is found at once, so nothing waits to be filled in."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.blocks: list[Block] = []
        self._row_of = np.empty(0, np.int64)  # slot -> length * block + row
        place.shortlists.add(self)

    @property
    def memory(self) -> int:
        return self._row_of.nbytes + sum(block.slots.nbytes for block in self.blocks)

    @property
    def size(self) -> int:
        """Bytes on the card."""
        return sum(block.rows for block in self.blocks) * 2 * self._place.dimensions

    def put(self, slot: int, vector: Vectors) -> None:
        self.remove(slot)
        self._append(np.array([slot]), vector[None])

    def move(self, source: int, target: int, vector: Vectors) -> None:
        self.remove(target)
        row = self._row(source)
        if row != _NOTHING:
            self._row_of[source] = _NOTHING
            number, place = divmod(row, self._place.length)
            self.blocks[number].slots[place] = target
            self._link(np.array([target]), np.array([row]))

    def remove(self, slot: int) -> None:
        row = self._row(slot)
        if row != _NOTHING:
            number, place = divmod(row, self._place.length)
            self.blocks[number].bury(place)
            self._row_of[slot] = _NOTHING

    def fill(self, slots: Ids, vectors: Vectors) -> None:
        new = np.array([self._row(slot) == _NOTHING for slot in slots.tolist()], bool)
        self._append(slots[new], vectors[new])

    def _append(self, slots: Ids, vectors: Vectors) -> None:
        start = 0
        while start < len(slots):
            number = self._with_room()
            end = start + self.blocks[number].room
            rows = self.blocks[number].append(slots[start:end], vectors[start:end])
            self._link(slots[start:end], rows + number * self._place.length)
            start = end

    def _with_room(self) -> int:
        """A full block that is half tombstones gets room; if none has any, there is a new one."""
        for number, block in enumerate(self.blocks):
            if not block.room and 2 * block.alive <= block.rows:
                slots = block.compact()
                self._link(slots, np.arange(len(slots)) + number * self._place.length)
            if block.room:
                return number
        self.blocks.append(Block(self._place))
        return len(self.blocks) - 1

    def find(self, queries: Vectors, wanted: int) -> list[Ids]:
        wanted = min(max(wanted, LEAST), MOST)
        alive = sum(block.alive for block in self.blocks)
        k = min(wanted + wanted // 4, MOST)
        while True:
            found = self._find(queries, wanted, k)
            if k == MOST or all(len(slots) >= min(wanted, alive) for slots in found):
                return found
            k = min(2 * k, MOST)  # many tombstones in this place

    def _find(self, queries: Vectors, wanted: int, k: int) -> list[Ids]:
        """Only slots with none missing between them: what may be nearer than one that a block did not tell is left
        out. So they can be fewer than wanted, and never are the wrong ones."""
        slots, scores = [], []
        least = np.full(len(queries), -np.inf, np.float32)
        for block in self.blocks:
            told, rows = block.search(queries, min(k, block.rows)) if block.rows else _none(len(queries))
            if k < block.rows:
                least = np.maximum(least, told[:, -1])
            slots.append(np.where(rows >= 0, block.slots[rows], _NOTHING))
            scores.append(told)
        if not slots:
            return [np.empty(0, np.int64)] * len(queries)
        near, which = np.concatenate(scores, axis=1), np.concatenate(slots, axis=1)
        kept = (which != _NOTHING) & (near >= least[:, None])
        return [_best(which[n][kept[n]], near[n][kept[n]], wanted) for n in range(len(queries))]

    def _row(self, slot: int) -> int:
        return int(self._row_of[slot]) if slot < len(self._row_of) else _NOTHING

    def _link(self, slots: Ids, rows: Ids) -> None:
        if len(slots) and int(slots.max()) >= len(self._row_of):
            length = int(slots.max()) + 1
            grown = np.full(length + length // 4, _NOTHING, np.int64)
            grown[: len(self._row_of)] = self._row_of
            self._row_of = grown
        self._row_of[slots] = rows


def _none(queries: int) -> tuple[Vectors, Ids]:
    return np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64)


def _best(slots: Ids, scores: NDArray[np.float32], wanted: int) -> Ids:
    return slots if len(slots) <= wanted else slots[np.argpartition(-scores, wanted - 1)[:wanted]]


def on_card(number: int, dimensions: int) -> Callable[[], Index]:
    """Makes indexes on a card, with rows in half precision. For a Faiss that is built for it."""
    import faiss

    resources: Any = faiss.StandardGpuResources()
    resources.setTempMemory(256 * MB)
    config: Any = faiss.GpuIndexFlatConfig()
    config.device, config.useFloat16 = number, True

    def make() -> Index:
        index: Index = faiss.GpuIndexFlatIP(resources, dimensions, config)
        return index

    return make
