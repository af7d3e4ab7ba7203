"""The binary format of COPY, as far as integers and bytes go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any

from face_server.errors import StoreFailed

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER = len(SIGNATURE) + 8
TRAILER = b"\xff\xff"

_LENGTH = Struct(">i")


def unpack(chunks: Iterable[bytes], numbers: Sequence[bool]) -> Iterator[tuple[Sequence[Any], ...]]:
    """The rows of each chunk, column by column. `numbers`: which columns are integers; no value is NULL."""
    buffer = b""
    begun = ended = False
    for chunk in chunks:
        buffer += chunk
        if not begun:
            if len(buffer) < HEADER:
                continue
            if not buffer.startswith(SIGNATURE):
                raise StoreFailed("this is not the binary format of COPY")
            buffer, begun = buffer[HEADER:], True
        rows, used = _rows(buffer, numbers)
        buffer = buffer[used:]
        ended = buffer == TRAILER
        if rows:
            yield tuple(zip(*rows, strict=True))
    if not ended:
        raise StoreFailed("the rows came to an end before their end")


def _rows(buffer: bytes, numbers: Sequence[bool]) -> tuple[list[list[Any]], int]:
    """The whole rows at the beginning, and how many bytes they are."""
    rows: list[list[Any]] = []
    used = 0
    while True:
        row: list[Any] = []
        place = used + 2
        if buffer[used:place] == TRAILER:
            return rows, used
        for number in numbers:
            start = place + 4
            if start > len(buffer):
                return rows, used
            place = start + _LENGTH.unpack_from(buffer, place)[0]
            if place > len(buffer):
                return rows, used
            value = buffer[start:place]
            row.append(int.from_bytes(value, signed=True) if number else value)
        rows.append(row)
        used = place
