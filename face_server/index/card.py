"""Galleries on a card: rows in half precision that stay there, searched by a graph. The rows found are compared again
in full precision, so answers are those of any other gallery."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from face_server.engine.session import open_session
from face_server.index.codes import CodesForLarge
from face_server.index.protocol import Ids, Vectors
from face_server.index.shortlist import Place, Shortlist, Untrained
from face_server.index.together import Together

if TYPE_CHECKING:  # who has no card need not load it
    import onnxruntime

LARGE = 4096  # faces: below that the way to the card takes longer than the search
BLOCK = 65_536  # rows
MB = 2**20

_LEAST = 64  # rows that are always asked for: half precision may swap the nearest ones
_MOST = 4096
_FIRST = _MOST  # rows of a gallery's first block, which doubles until it is full
_QUERIES = 64  # of one run
_AT_ONCE = 256  # blocks of one run
_SCORES = 2**24  # that the blocks of one run keep: 160 MB
_DEAD = np.float16(-60_000)


class Block:
    def __init__(self, device: Device, rows: NDArray[np.float16], bias: NDArray[np.float16]) -> None:
        self.rows, self.bias = device.value(rows), device.value(bias)
        self.capacity = len(bias)


class Device:
    """The graphs and the blocks of one card. `cpu` works as well, slowly: what is true there is true on a card."""

    def __init__(self, device: str, dimensions: int, megabytes: int, length: int = BLOCK) -> None:
        from face_server.index.graph import finding, writing

        self.dimensions, self.length = dimensions, length
        self._finding = finding
        self._device = device
        self._name, _, number = device.partition(":")
        self._number = int(number or 0)
        self._bytes = megabytes * MB
        self._write = open_session(writing(dimensions), device)
        self._finders: dict[int, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        self._nothing = self.empty_block(min(_FIRST, length))
        self._together: Together[Block] = Together(self._find, _QUERIES)
        self.cards: WeakSet[Card] = WeakSet()

    def value(self, array: NDArray[np.generic]) -> onnxruntime.OrtValue:
        import onnxruntime

        return onnxruntime.OrtValue.ortvalue_from_numpy(array, self._name, self._number)

    def empty_block(self, rows: int) -> Block:
        return Block(self, np.zeros((rows, self.dimensions), np.float16), np.full(rows, _DEAD))

    def longer(self, block: Block, rows: int) -> Block:
        """The same with room for more."""
        more = rows - block.capacity
        return Block(
            self,
            np.concatenate([block.rows.numpy(), np.zeros((more, self.dimensions), np.float16)]),
            np.concatenate([block.bias.numpy(), np.full(more, _DEAD)]),
        )

    def has_room(self, faces: int) -> bool:
        used = sum(card.size for card in list(self.cards))
        return used + 2 * self.dimensions * faces * 5 // 4 <= self._bytes

    def write(self, block: Block, at: Ids, vectors: Vectors, *, alive: bool) -> None:
        binding = self._write.io_binding()
        changes = {
            "at": at[:, None],
            "new_rows": vectors.astype(np.float16),
            "new_bias": np.full(len(at), 0 if alive else _DEAD, np.float16),
        }
        for name, array in changes.items():
            binding.bind_ortvalue_input(name, self.value(np.ascontiguousarray(array)))
        for name, value in (("rows", block.rows), ("bias", block.bias)):
            binding.bind_ortvalue_input(name, value)
            binding.bind_ortvalue_output(f"{name}_after", value)
        self._write.run_with_iobinding(binding)
        binding.synchronize_outputs()

    def find(self, blocks: Sequence[Block], queries: Vectors, wanted: int) -> list[Ids]:
        """For each query the numbers of the best rows: the blocks' length * the block's place + the row's."""
        return self._together.find(blocks, queries, min(max(wanted, _LEAST), _MOST))

    def _find(self, blocks: Sequence[Block], queries: Vectors, k: int) -> list[Ids]:
        most = max(1, _SCORES // (k * min(len(blocks), _AT_ONCE)))
        found: list[Ids] = []
        for start in range(0, len(queries), most):
            found += self._best(blocks, queries[start : start + most], k)
        return found

    def _best(self, blocks: Sequence[Block], queries: Vectors, k: int) -> list[Ids]:
        runs = []
        for first in range(0, len(blocks), _AT_ONCE):
            numbers, scores = self._run(blocks[first : first + _AT_ONCE], queries, k)
            runs.append((numbers + first * self.length, scores))
        numbers = np.concatenate([part for part, _ in runs], axis=1)
        scores = np.concatenate([part for _, part in runs], axis=1)
        if len(runs) > 1:
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            numbers, scores = np.take_along_axis(numbers, order, axis=1), np.take_along_axis(scores, order, axis=1)
        return [row[score > _DEAD / 2] for row, score in zip(numbers, scores, strict=True)]

    def _run(self, blocks: Sequence[Block], queries: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        size = 1 << (len(blocks) - 1).bit_length()  # a graph for each power of two; a block of nothing costs little
        each = min(k, self.length)
        session = self._finder(size)
        binding = session.io_binding()
        binding.bind_ortvalue_input("queries", self.value(queries.astype(np.float16)))
        for name, number in (("each", each), ("k", min(k, each * size))):
            binding.bind_cpu_input(name, np.array([number], np.int64))
        for n, block in enumerate([*blocks, *[self._nothing] * (size - len(blocks))]):
            binding.bind_ortvalue_input(f"rows{n}", block.rows)
            binding.bind_ortvalue_input(f"bias{n}", block.bias)
        for name in ("numbers", "scores"):
            binding.bind_output(name, self._name, self._number)
        session.run_with_iobinding(binding)
        numbers, scores = binding.copy_outputs_to_cpu()
        return numbers, scores

    def _finder(self, blocks: int) -> onnxruntime.InferenceSession:
        with self._lock:
            if blocks not in self._finders:
                self._finders[blocks] = open_session(self._finding(blocks, self.dimensions, self.length), self._device)
            return self._finders[blocks]

    def shortlist(self, faces: int) -> Card:
        return Card(self, faces)


class Card(Untrained):
    """The shortlist of a gallery whose rows are on a card. A slot that is empty is a tombstone there."""

    def __init__(self, device: Device, faces: int) -> None:
        self.device = device
        self._length = device.length
        self.blocks = [device.empty_block(min(max(_FIRST, 1 << faces.bit_length()), self._length))]
        device.cards.add(self)

    @property
    def memory(self) -> int:
        return 0  # in this process; on the card it is `size`

    @property
    def size(self) -> int:
        return sum(block.capacity for block in self.blocks) * 2 * (self.device.dimensions + 1)

    def put(self, slot: int, vector: Vectors) -> None:
        self.fill(np.array([slot]), vector[None])

    def move(self, source: int, target: int, vector: Vectors) -> None:
        self.put(target, vector)
        self.remove(source)

    def remove(self, slot: int) -> None:
        number, place = divmod(slot, self._length)
        if number < len(self.blocks) and place < self.blocks[number].capacity:
            nothing = np.zeros((1, self.device.dimensions), np.float32)
            self.device.write(self.blocks[number], np.array([place]), nothing, alive=False)

    def fill(self, slots: Ids, vectors: Vectors) -> None:
        if not len(slots):
            return
        self._make_room(int(slots.max()))
        for number in np.unique(slots // self._length).tolist():
            here = slots // self._length == number
            self.device.write(self.blocks[number], slots[here] % self._length, vectors[here], alive=True)

    def _make_room(self, slot: int) -> None:
        """A new block leaves those before it alone; only the first one of a gallery begins small and grows."""
        number, place = divmod(slot, self._length)
        first = self.blocks[0]
        if number or place >= first.capacity:
            room = self._length if number else min(self._length, 1 << place.bit_length())
            if room > first.capacity:
                self.blocks[0] = self.device.longer(first, room)
        while number >= len(self.blocks):
            self.blocks.append(self.device.empty_block(self._length))

    def find(self, queries: Vectors, wanted: int) -> list[Ids]:
        return self.device.find(self.blocks, queries, wanted)


class CardForLarge:
    """On the card while it has room; two stages in this process beyond that."""

    def __init__(self, place: Place, large: int = LARGE) -> None:
        self._place = place
        self._large = large
        self._codes = CodesForLarge()

    def wanted(self, faces: int) -> bool:
        return (faces >= self._large and self._place.has_room(faces)) or self._codes.wanted(faces)

    def make(self, faces: int, sample: Vectors) -> Shortlist:
        return self._place.shortlist(faces) if self._place.has_room(faces) else self._codes.make(faces, sample)

    def unpack(self, packed: bytes, dimensions: int) -> Shortlist | None:
        """Codes of a server without a card: rows go there instead."""
        return None
