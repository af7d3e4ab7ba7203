"""Knowing whether a commit happened whose answer never came.

Every writer has a row, and each of its transactions puts a new mark into it last. Who asks for the row with its lock
waits for a transaction that still has it: the mark that is there then is the truth.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

import sqlalchemy as sa

OLD = 7 * 24 * 3600.0  # seconds after which a row was left behind by a server that was killed

commits = sa.table("commits", sa.column("writer"), sa.column("mark", sa.BigInteger), sa.column("at", sa.Float))

_PUT = sa.insert(commits)
_SET = (
    sa.update(commits)
    .where(commits.c.writer == sa.bindparam("who"))
    .values(mark=sa.bindparam("new"), at=sa.bindparam("now"))
)
_SEEN = sa.select(commits.c.mark).where(commits.c.writer == sa.bindparam("who")).with_for_update()


class Marker:
    """The row of one writer; who has it writes alone."""

    def __init__(self) -> None:
        self.there = False
        self._writer = ""
        self._mark = 0

    def put(self, connection: sa.Connection) -> None:
        connection.execute(sa.delete(commits).where(commits.c.at < time.time() - OLD))
        self._writer = secrets.token_hex(16)
        connection.execute(_PUT, {"writer": self._writer, "mark": 0, "at": time.time()})
        self.there = True

    def set(self, connection: sa.Connection) -> None:
        self._mark = secrets.randbits(62)
        done = connection.execute(_SET, {"who": self._writer, "new": self._mark, "now": time.time()})
        if done.rowcount != 1:  # swept as an old one, or the database is another
            self.there = False
            raise ConnectionResetError("the writer's row is gone")

    def is_there(self, connection: sa.Connection) -> bool:
        return bool(connection.execute(_SEEN, {"who": self._writer}).scalar() == self._mark)

    @staticmethod
    def forget(connection: sa.Connection, markers: Iterable[Marker]) -> None:
        connection.execute(sa.delete(commits).where(commits.c.writer.in_([each._writer for each in markers])))
