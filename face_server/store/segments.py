"""Pictures one behind the other in a few files, the oldest of which is deleted when there is too much."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_SUFFIX = ".segment"
_PARTS = 16  # segments in the whole space: so much is lost at once when it is full
_REMEMBERED = 1000  # pictures that are recognised when they come again


class Place(NamedTuple):
    segment: int
    start: int
    size: int
    digest: bytes


class Segments:
    """One thread writes, any may read."""

    def __init__(self, folder: Path, most_bytes: int, seconds: float) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._seconds = seconds  # a segment is closed after this time, so that it does not keep old pictures long
        self._file = -1
        self._number = 0
        self._size = 0  # of the open segment
        self._begun = 0.0
        self._closed_bytes = 0  # in the other segments
        self._recent: OrderedDict[bytes, Place] = OrderedDict()

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file, self._size = -1, 0

    @property
    def _aged(self) -> bool:
        return time.monotonic() - self._begun > self._seconds

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}{_SUFFIX}"

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal())

    def keep(self, picture: bytes) -> Place:
        digest = hashlib.blake2b(picture, digest_size=16).digest()
        if self._file < 0 or self._aged or self._size + len(picture) > self._most_bytes // _PARTS:
            self._begin()
        elif digest in self._recent:
            self._recent.move_to_end(digest)
            return self._recent[digest]
        place = Place(self._number, self._size, len(picture), digest)
        self._append(picture)
        self._recent[digest] = place
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return place

    def _begin(self) -> None:
        numbers = self._numbers()
        number = max([self._number, *numbers]) + 1
        file = os.open(self._path(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        self.close()
        self._closed_bytes = sum(self._path(closed).stat().st_size for closed in numbers)
        self._file, self._number, self._size, self._begun = file, number, 0, time.monotonic()
        self._recent.clear()  # a picture that is still asked for moves on to the new segment

    def _append(self, picture: bytes) -> None:
        try:
            if os.write(self._file, picture) != len(picture):
                raise OSError("the disk is full")
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(picture)

    def read(self, place: Place) -> bytes | None:
        """None when the segment is gone or damaged."""
        try:
            with self._path(place.segment).open("rb") as stream:
                stream.seek(place.start)
                picture = stream.read(place.size)
        except OSError:
            return None
        return picture if hashlib.blake2b(picture, digest_size=16).digest() == place.digest else None

    @property
    def full(self) -> bool:
        return self._closed_bytes + self._size > self._most_bytes

    def surplus(self, alive: Collection[int]) -> list[int]:
        """What can go: all but those alive, and the oldest of these while there is too much."""
        if self._aged:
            self.close()
        closed = [number for number in self._numbers() if self._file < 0 or number != self._number]
        sizes = {number: self._path(number).stat().st_size for number in closed}
        gone = [number for number in sizes if number not in alive]
        left = sum(sizes.values()) - sum(sizes[number] for number in gone)
        for number in sizes:
            if number in alive and left + self._size > self._most_bytes:
                gone.append(number)
                left -= sizes[number]
        self._closed_bytes = left
        return gone

    def remove(self, number: int) -> None:
        self._path(number).unlink(missing_ok=True)
