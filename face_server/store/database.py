"""What the store asks of a database, whichever it is.

A transaction is a plain function of a connection: the database decides where it runs, and with which others it shares
a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

MOST_TOGETHER = 32  # writes that share one commit

H = TypeVar("H")
T = TypeVar("T")
Work = Callable[[sa.Connection], T]
Columns = Iterable[tuple[Sequence[Any], ...]]  # the rows of a query in parts, each part column by column
Heard = Callable[[int, int], None]  # the app with this id has come to this write


class Database(Protocol):
    @property
    def kind(self) -> str: ...

    @property
    def reachable(self) -> bool:
        """Could a request be answered now?"""

    async def open(self) -> None:
        """Ready for requests, with the newest schema."""

    async def close(self) -> None: ...

    async def size(self) -> int:
        """Bytes of all of it."""

    async def write(self, work: Work[T], app: str = "") -> T:
        """One unit of change, durable when this returns; any exception leaves nothing of it behind. The writes to
        one app may share a commit."""

    async def read(self, work: Work[T]) -> T:
        """One consistent view of all rows."""

    async def rows(self, query: sa.Select[Any], values: Mapping[str, Any] | None = None) -> Sequence[sa.Row[Any]]:
        """What one statement finds."""

    async def recalled(self, query: sa.Select[Any], values: Mapping[str, Any]) -> Sequence[sa.Row[Any]]:
        """The same as `rows`, for a statement of the hot path: it comes again and again with the same values."""

    async def columns(self, first: Work[H], query: sa.Select[Any], build: Callable[[H, Columns], T]) -> T:
        """What `build` makes, in a thread, of `first` and of very many rows, all as of one instant. The rows are
        integers and bytes, and never in memory at once."""

    def announce(self, app_id: int, seq: int) -> None:
        """Tell the servers beside this one how far an app has come. A hint: it may get lost."""


def attempt_each(connection: sa.Connection, works: Iterable[Work[Any]]) -> list[tuple[Any, Exception | None]]:
    """Of several writes in one transaction, one that refuses takes back only what is its own."""
    return [_attempt(connection, work) for work in works]


def _attempt(connection: sa.Connection, work: Work[Any]) -> tuple[Any, Exception | None]:
    connection.exec_driver_sql("SAVEPOINT one_write")
    try:
        result, refused = work(connection), None
    except SQLAlchemyError:
        raise
    except Exception as error:
        result, refused = None, error
        connection.exec_driver_sql("ROLLBACK TO one_write")
    connection.exec_driver_sql("RELEASE one_write")
    return result, refused
