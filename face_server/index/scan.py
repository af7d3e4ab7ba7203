"""One search: over the galleries of its groups, which stay in memory as long as it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from face_server.index.card import Card
from face_server.index.gallery import NEIGHBOURS, LocalGallery
from face_server.index.protocol import Gallery, Hit, Vectors

Found = list[list[Hit]]  # for each query


class Scan:
    """To be called by a thread that has the vectors."""

    __slots__ = ("__weakref__", "_limit", "_users", "galleries")

    def __init__(self, limit: int, users: Sequence[int] | None) -> None:
        self.galleries: list[Gallery] = []
        self._limit, self._users = limit, users

    def __call__(self, queries: Vectors) -> Found:
        if len(self.galleries) == 1:
            return self.galleries[0].search(queries, self._limit, self._users)
        together = self._on_one_card() if self._users is None else []
        found = _in_one_run(together, queries, self._limit) if len(together) > 1 else None
        rest = self.galleries
        if found is not None:
            rest = [gallery for gallery in rest if gallery not in together]
        every = [gallery.search(queries, self._limit, self._users) for gallery in rest] + (found or [])
        merged = ([hit for hits in every for hit in hits[n]] for n in range(len(queries)))
        return [sorted(hits, key=lambda hit: -hit.cosine)[: self._limit] for hits in merged]

    def _on_one_card(self) -> list[LocalGallery]:
        """In the order of their groups, in which everybody locks them."""
        local = {g.group_id: g for g in self.galleries if isinstance(g, LocalGallery) and isinstance(g.shortlist, Card)}
        return [local[group_id] for group_id in sorted(local)]


def _in_one_run(galleries: Sequence[LocalGallery], queries: Vectors, limit: int) -> list[Found] | None:
    """What each gallery adds to the nearest users of all. None: they may be fewer than wanted."""
    with ExitStack() as locks:
        for gallery in galleries:
            locks.enter_context(gallery.lock.reading())
        cards = [gallery.shortlist for gallery in galleries]
        blocks = [block for card in cards if isinstance(card, Card) for block in card.blocks]
        owners = np.repeat(np.arange(len(cards)), [len(card.blocks) for card in cards if isinstance(card, Card)])
        device = next(card.device for card in cards if isinstance(card, Card))
        wanted = NEIGHBOURS * limit
        numbers = device.find(blocks, queries, wanted)
        found = []
        for place, gallery in enumerate(galleries):
            first = int(np.searchsorted(owners, place)) * device.length
            mine = [row[owners[row // device.length] == place] - first for row in numbers]
            found.append(gallery.best_of(queries, mine, limit))
        users = [sum(len(hits[n]) for hits in found) for n in range(len(queries))]
        return found if min(users, default=0) >= limit else None
