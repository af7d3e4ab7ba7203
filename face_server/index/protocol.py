"""What the registry asks of a gallery, and of the shelf that galleries come from. There are several of each."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Templates = NDArray[np.float16]
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hit:
    group_id: int
    user_id: int
    face_id: int
    cosine: float


class Gallery(Protocol):
    """The searchable faces of one group. Everything that happened to the group up to write `seq` of its app is in here.
    Searches may run beside each other and beside one change."""

    group_id: int
    seq: int

    def __len__(self) -> int: ...

    @property
    def memory(self) -> int:
        """Bytes of this process."""

    def put(self, face_id: int, user_id: int, vector: Vectors) -> None:
        """Add a face, or overwrite it in place."""

    def remove(self, face_id: int) -> None:
        """A face that is not there is no error."""

    def search(self, queries: Vectors, limit: int, users: Sequence[int] | None = None) -> list[list[Hit]]:
        """For each query the best face of each of the `limit` nearest users, nearest first."""

    def copy(self) -> tuple[Templates, Ids, Ids]:
        """Templates, face ids and user ids as of one instant."""

    @property
    def untidy(self) -> bool:
        """Whether `tidy` would make searches faster."""

    def tidy(self, stop: Callable[[], bool]) -> None:
        """Work for a quiet thread, beside searches and changes. Ends early when `stop` says so."""


class Shelf(Protocol):
    """Where galleries come from when they are needed, and go when they are not."""

    embedding_id: str

    def make(self, group_id: int, seq: int, vectors: Vectors, face_ids: Ids, user_ids: Ids) -> Gallery:
        """The arrays belong to the gallery from now on."""

    def load(self, group_id: int) -> Gallery | None:
        """As it was saved, or None: then it is made from the rows of the database."""

    def save(self, gallery: Gallery, seq: int) -> bool:
        """So that `load` finds what has come at least to write `seq` of the app. False when that is not possible."""

    def remove(self, group_id: int) -> None:
        """The group is gone."""

    def keep_only(self, group_ids: Container[int]) -> None:
        """All other groups are gone."""
