"""All that a deployment has in Milvus, of whichever model: to take people out of it, and to look whether they are gone.
Nobody else is at work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from face_server.index.milvus import answered, open_client

_PART = 2000  # numbers in one filter
_FACES, _OWN = re.compile(r"faces_[0-9a-f]{16}"), re.compile(r"(faces|marks)_[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Whom:
    """By their numbers in the database, which are given only once."""

    groups: Iterable[int] = ()
    users: Iterable[int] = ()
    faces: Iterable[int] = ()
    names: tuple[str, ...] = field(default=("group_id", "user_id", "face_id"), init=False)

    def filters(self) -> Iterator[str]:
        for name, numbers in zip(self.names, (self.groups, self.users, self.faces), strict=True):
            ordered = sorted(numbers)
            for start in range(0, len(ordered), _PART):
                yield f"{name} in {ordered[start : start + _PART]}"


class MilvusTraces:
    def __init__(self, url: str, token: str) -> None:
        self._client = open_client(url, token)
        # Milvus Lite keeps deleted rows in its files. There everything goes: it comes back at the next searches.
        self.files = Path(url) if url.endswith(".db") else None

    def close(self) -> None:
        self._client.close()

    def _collections(self, kind: re.Pattern[str]) -> list[str]:
        with answered():
            return [name for name in self._client.list_collections() if kind.fullmatch(name)]

    def drop(self) -> None:
        """Everything. It comes back out of the database."""
        for name in self._collections(_OWN):
            with answered():
                self._client.drop_collection(name)

    def erase(self, whom: Whom) -> None:
        if self.files is not None:
            self.drop()
            return
        for name in self._collections(_FACES):
            with answered():
                self._client.load_collection(name)
                for condition in whom.filters():
                    self._client.delete(name, filter=condition)
                self._client.flush(name)
                self._client.compact(name)  # what is deleted leaves its files

    def left(self, whom: Whom) -> tuple[int, int]:
        """How many collections were looked at, and how many rows of these people are in them."""
        rows = 0
        names = self._collections(_FACES)
        for name in names:
            with answered():
                self._client.load_collection(name)
                for condition in whom.filters():
                    (found,) = self._client.query(
                        name, filter=condition, output_fields=["count(*)"], consistency_level="Strong"
                    )
                    rows += int(found["count(*)"])
        return len(names), rows
