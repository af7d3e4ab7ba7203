"""One search: over the galleries of its groups, which stay in memory as long as it is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from face_server.index.protocol import Gallery, Hit, Vectors


class Scan:
    """To be called by a thread that has the vectors."""

    __slots__ = ("__weakref__", "_limit", "_users", "galleries")

    def __init__(self, limit: int, users: Sequence[int] | None) -> None:
        self.galleries: list[Gallery] = []
        self._limit, self._users = limit, users

    def __call__(self, queries: Vectors) -> list[list[Hit]]:
        found = [gallery.search(queries, self._limit, self._users) for gallery in self.galleries]
        if len(found) == 1:
            return found[0]
        merged = ([hit for hits in found for hit in hits[n]] for n in range(len(queries)))
        return [sorted(hits, key=lambda hit: -hit.cosine)[: self._limit] for hits in merged]
