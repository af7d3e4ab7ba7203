"""Searches that come while the card is busy are one run afterwards: rows are read once for all of their queries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from face_server.index.protocol import Ids, Vectors

Where = TypeVar("Where")


@dataclass(slots=True, eq=False)
class _Ticket(Generic[Where]):
    where: Sequence[Where]
    queries: Vectors
    k: int
    found: list[Ids] | None = field(default=None)


class Together(Generic[Where]):
    """`run` answers queries of one place, at most `most` of them, by rows from the best on."""

    def __init__(self, run: Callable[[Sequence[Where], Vectors, int], list[Ids]], most: int) -> None:
        self._run, self._most = run, most
        self._waiting: list[_Ticket[Where]] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def find(self, where: Sequence[Where], queries: Vectors, k: int) -> list[Ids]:
        ticket = _Ticket(where, queries, k)
        with self._lock:
            self._waiting.append(ticket)
        with self._turn:  # who gets it answers all who wait for the same
            if ticket.found is None:
                self._answer_with(ticket)
        return ticket.found or []

    def _answer_with(self, mine: _Ticket[Where]) -> None:
        taken = self._take(mine)
        try:
            self._answer(taken)
        except Exception:
            if len(taken) == 1:
                raise
            self._answer([mine])  # the others get a turn of their own

    def _take(self, mine: _Ticket[Where]) -> list[_Ticket[Where]]:
        with self._lock:
            taken, queries = [mine], len(mine.queries)
            for ticket in self._waiting:
                if ticket is not mine and _same(ticket, mine) and queries + len(ticket.queries) <= self._most:
                    taken.append(ticket)
                    queries += len(ticket.queries)
            self._waiting = [ticket for ticket in self._waiting if ticket not in taken]
        return taken

    def _answer(self, tickets: Sequence[_Ticket[Where]]) -> None:
        queries = np.concatenate([ticket.queries for ticket in tickets])
        k = max(ticket.k for ticket in tickets)
        found: list[Ids] = []
        for start in range(0, len(queries), self._most):
            found += self._run(tickets[0].where, queries[start : start + self._most], k)
        start = 0
        for ticket in tickets:
            end = start + len(ticket.queries)
            ticket.found = [rows[: ticket.k] for rows in found[start:end]]
            start = end


def _same(one: _Ticket[Where], other: _Ticket[Where]) -> bool:
    """Most searches want as many; one that wants far more would make the others wait."""
    if one.k != other.k or len(one.where) != len(other.where):
        return False
    return all(a is b for a, b in zip(one.where, other.where, strict=True))
