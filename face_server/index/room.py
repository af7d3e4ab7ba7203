"""How much memory galleries may take, and which of them goes first when it is too little."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

from face_server.index.protocol import Gallery
from face_server.index.scan import Scan

_CGROUP = Path("/sys/fs/cgroup/memory.max")


class Room:
    def __init__(self, limit: int = 0) -> None:
        self.limit = limit  # bytes; 0: none
        self.evictions = 0
        self._scans: WeakSet[Scan] = WeakSet()
        self._clock = itertools.count()
        self._last_used: dict[int, int] = {}

    def enters(self, scan: Scan, gallery: Gallery) -> bool:
        """As long as the scan is wanted, its galleries stay. True: this one is new here."""
        new = gallery.group_id not in self._last_used
        scan.galleries.append(gallery)
        self._scans.add(scan)
        self._last_used[gallery.group_id] = next(self._clock)
        return new

    def left(self, gallery: Gallery) -> None:
        self._last_used.pop(gallery.group_id, None)

    def in_use(self, gallery: Gallery) -> bool:
        return any(gallery in scan.galleries for scan in list(self._scans))

    def one_too_many(self, galleries: Iterable[Gallery]) -> Gallery | None:
        """The one that was searched the longest time ago and is not searched now, when all together are too large."""
        if not self.limit:
            return None
        loaded = list(galleries)
        if sum(gallery.memory for gallery in loaded) <= self.limit:
            return None
        cold = sorted(loaded, key=lambda gallery: self._last_used.get(gallery.group_id, -1))
        return next((gallery for gallery in cold if not self.in_use(gallery)), None)


def half_of_the_memory() -> int:
    """Of this machine, or of this container."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or one without a limit
        memory = min(memory, int(_CGROUP.read_text()))
    return memory // 2
