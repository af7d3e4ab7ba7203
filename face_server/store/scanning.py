"""Looking for many pieces of bytes at once, in everything that is there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from face_server.store.database import Database

LEAST = 8  # bytes: anything shorter is found by chance
LONGEST = 32
_CHUNK = 16 << 20  # bytes of a file
_ROWS = 1000
_BITS = 22  # of the table that says at once that no piece begins here
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Scanner:
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._by_start: dict[int, list[bytes]] = {}
        for piece in pieces:
            self._by_start.setdefault(int.from_bytes(piece[:LEAST], "little"), []).append(piece)
        self._table = np.zeros(1 << _BITS, np.bool_)
        self._table[_spread(np.array(list(self._by_start), np.uint64))] = True

    def found(self, data: bytes) -> set[bytes]:
        hits: set[bytes] = set()
        for offset in range(min(LEAST, len(data))):
            words = np.frombuffer(data, "<u8", (len(data) - offset) // LEAST, offset)
            for place in np.flatnonzero(self._table[_spread(words)]).tolist():
                start = offset + LEAST * place
                known = self._by_start.get(int(words[place]), ())
                hits.update(piece for piece in known if data.startswith(piece, start))
        return hits

    def in_file(self, path: Path) -> set[bytes]:
        hits: set[bytes] = set()
        last = b""
        with path.open("rb") as stream:
            while part := stream.read(_CHUNK):
                hits |= self.found(last + part)
                last = part[-LONGEST:]
        return hits


def _spread(words: Any) -> Any:
    return (words * _SPREAD) >> np.uint64(64 - _BITS)


def piece_of(data: bytes) -> bytes | None:
    """A part of some data that nothing else is likely to have, if there is one."""
    if len(data) < LEAST:
        return None
    steps = range(0, max(1, len(data) - LONGEST), max(1, len(data) // 16))
    best = max((data[start : start + LONGEST] for start in steps), key=lambda piece: len(set(piece)))
    return best if len(set(best)) >= LEAST // 2 else None


def pieces_of_text(text: str) -> set[bytes]:
    """As it is, and as it is in JSON."""
    forms = {text.encode(), json.dumps(text)[1:-1].encode()}
    return {form[:LONGEST] for form in forms if len(form) >= LEAST}


async def rows_of(database: Database, table: sa.Table, after: int = 0) -> list[Any]:
    """Some rows behind one of them; all of a table whose rows have no numbers."""
    query = sa.select(table)
    if "id" in table.c:
        query = query.where(table.c.id > after).order_by(table.c.id).limit(_ROWS)
    return list(await database.rows(query))


def bytes_of(rows: Iterable[Any]) -> bytes:
    """All texts and bytes in them."""
    values = (value for row in rows for value in row)
    return b"\0".join(
        value.encode() if isinstance(value, str) else bytes(value) for value in values if isinstance(value, str | bytes)
    )


async def in_table(scanner: Scanner, database: Database, table: sa.Table) -> tuple[int, set[bytes]]:
    """How many rows were looked at, and what was found in them."""
    hits: set[bytes] = set()
    count, rows = 0, await rows_of(database, table)
    while rows:
        count += len(rows)
        hits |= scanner.found(bytes_of(rows))
        if "id" not in table.c:
            break
        rows = await rows_of(database, table, rows[-1].id)
    return count, hits
