"""How much memory galleries may take, and which of them goes first when it is too little."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import finalize

from face_server.index.protocol import Gallery
from face_server.index.scan import Scan

_CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(slots=True)
class Held:
    gallery: Gallery
    app_id: int
    bytes: int = 0  # when it was weighed last


class Room:
    """For one thread. Every step takes as long with ten thousand galleries as with one."""

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit  # bytes; 0: none
        self.evictions = 0
        self.bytes = 0  # of all together, when each was weighed last
        self._held: dict[int, Held] = {}  # by group
        self._idle: OrderedDict[int, Held] = OrderedDict()  # those of no search, the coldest first
        self._searches: Counter[int] = Counter()  # by the identity of a gallery: how many have it now
        self._ended: deque[list[Gallery]] = deque()  # searches end in any thread

    def enters(self, scan: Scan, gallery: Gallery, app_id: int) -> bool:
        """As long as the scan is wanted, its galleries stay. True: this one is new here."""
        self._end_searches()
        if not scan.galleries:
            finalize(scan, self._ended.append, scan.galleries).atexit = False
        scan.galleries.append(gallery)
        self._searches[id(gallery)] += 1
        held = self._held.get(gallery.group_id)
        new = held is None or held.gallery is not gallery
        if new:
            self.left(gallery.group_id)
            self._held[gallery.group_id] = Held(gallery, app_id)
        self._idle.pop(gallery.group_id, None)
        self.weigh(gallery)
        return new

    def left(self, group_id: int) -> None:
        held = self._held.pop(group_id, None)
        self._idle.pop(group_id, None)
        self.bytes -= held.bytes if held else 0

    def weigh(self, gallery: Gallery) -> None:
        """It may have grown."""
        held = self._held.get(gallery.group_id)
        if held is not None and held.gallery is gallery:
            before, held.bytes = held.bytes, gallery.memory
            self.bytes += held.bytes - before

    def in_use(self, gallery: Gallery) -> bool:
        self._end_searches()
        return id(gallery) in self._searches

    def one_too_many(self) -> Held | None:
        """The one that was searched the longest time ago and is not searched now, when all together are too large."""
        self._end_searches()
        if not self.limit or self.bytes <= self.limit:
            return None
        return next(iter(self._idle.values()), None)

    def _end_searches(self) -> None:
        while self._ended:
            for gallery in self._ended.popleft():
                self._searches[id(gallery)] -= 1
                if self._searches[id(gallery)]:
                    continue
                del self._searches[id(gallery)]
                held = self._held.get(gallery.group_id)
                if held is not None and held.gallery is gallery:
                    self._idle[gallery.group_id] = held


def half_of_the_memory() -> int:
    """Of this machine, or of this container."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no container, or one without a limit
        memory = min(memory, int(_CGROUP.read_text()))
    return memory // 2
