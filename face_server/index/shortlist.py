"""What finds the rows worth a closer look in a gallery that is too large to look at all of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from face_server.index.protocol import Ids, Vectors


class Shortlist(Protocol):
    """Knows rows by their slot. Changes come one at a time and never beside a search; `fill` comes beside searches
    only until the shortlist is in use."""

    @property
    def memory(self) -> int: ...

    def put(self, slot: int, vector: Vectors) -> None:
        """The slot holds this vector from now on."""

    def move(self, source: int, target: int, vector: Vectors) -> None:
        """The vector of one slot takes the place of another; the first one is empty from now on."""

    def remove(self, slot: int) -> None: ...

    def fill(self, slots: Ids, vectors: Vectors) -> None:
        """Make quick to find what these slots hold."""

    def find(self, queries: Vectors, wanted: int) -> list[Ids]:
        """For each query slots among which the `wanted` nearest ones are, in any order."""

    def waiting(self) -> Ids:
        """Slots that were put and wait for `fill`: they are always found, but slowly."""

    def worn(self, faces: int) -> bool:
        """Whether a gallery of so many faces should have a fresh one."""

    def packed(self) -> bytes:
        """For the disk, together with the rows. Empty: it is made anew as fast."""


class Untrained:
    """What a shortlist answers that holds the rows as they are: none waits, it never wears out, the disk needs none."""

    def waiting(self) -> Ids:
        return np.empty(0, np.int64)

    def worn(self, faces: int) -> bool:
        return False

    def packed(self) -> bytes:
        return b""


class Shortlists(Protocol):
    """Which shortlist a gallery should have."""

    def wanted(self, faces: int) -> bool: ...

    def make(self, faces: int, sample: Vectors) -> Shortlist:
        """An empty one, for vectors like these."""

    def unpack(self, packed: bytes, dimensions: int) -> Shortlist | None:
        """What `packed` gave, or None to make another kind. ValueError for anything else."""


class Place(Protocol):
    """Memory beside this process's own that shortlists can be in."""

    def has_room(self, faces: int) -> bool: ...

    def shortlist(self, faces: int) -> Shortlist:
        """An empty one."""


def prove(shortlist: Shortlist, dimensions: int) -> None:
    """A search whose answer is known: who cannot do it must not do any."""
    rows = np.random.default_rng(1).standard_normal((1500, dimensions)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    shortlist.fill(np.arange(len(rows)), rows)
    shortlist.remove(7)
    nearest = [slot for slot in np.argsort(-rows @ rows[8])[:11].tolist() if slot != 7]
    (few,), (every,) = shortlist.find(rows[8][None], 10), shortlist.find(rows[8][None], len(rows))
    if not set(nearest[:10]) <= set(few.tolist()) or set(every.tolist()) != set(range(len(rows))) - {7}:
        raise RuntimeError("it does not search right")
