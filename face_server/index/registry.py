"""Which galleries are in memory, and how they keep in step with the database."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from face_server.errors import Busy, OtherModel, Stage
from face_server.index.protocol import Gallery, Hit, Shelf, Vectors
from face_server.index.room import Room
from face_server.index.scan import Scan
from face_server.index.snapshots import WORTH_IT
from face_server.store.database import Columns
from face_server.store.index_rows import IndexRows
from face_server.store.rows import Change, GroupRef, Write
from face_server.threads import step_back

__all__ = ["Registry", "Scan"]

log = logging.getLogger(__name__)

Run = Callable[[Callable[[], list[list[Hit]]]], Coroutine[Any, Any, list[list[Hit]]]]


@dataclass(slots=True)
class _App:
    """The galleries of one app. Its feed is applied in order, by one task at a time: who holds the lock."""

    seen: int = -1  # the write that all of them have come to at least; -1: none is loaded
    galleries: dict[int, Gallery] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    loading: defaultdict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))


class Registry:
    """Galleries load at their first search. After that every write reaches them through the feed of changes, until
    memory is short: then those go that were not searched for the longest time."""

    def __init__(self, rows: IndexRows, run: Run, dimensions: int, shelf: Shelf, memory: int = 0) -> None:
        self._rows = rows
        self._run = run  # where scans happen: a lane
        self._dimensions = dimensions
        self._shelf = shelf
        self._apps: defaultdict[int, _App] = defaultdict(_App)
        self._saved: dict[int, int] = {}  # group -> the number its snapshot has
        # A change waits for running scans to end; the event loop must not.
        self._writer = ThreadPoolExecutor(1, "index-write")
        self._following: dict[int, asyncio.Task[None]] = {}
        self._room = Room(memory)  # bytes; 0: no bound
        self._making_room = asyncio.Lock()
        self._tidier = ThreadPoolExecutor(1, "index-tidy", initializer=step_back)
        self._tidying: set[int] = set()
        self._closing = threading.Event()

    async def close(self) -> None:
        for task in list(self._following.values()):
            task.cancel()
        await asyncio.gather(*self._following.values(), return_exceptions=True)
        self._closing.set()
        await asyncio.to_thread(self._tidier.shutdown, cancel_futures=True)
        await self.save()
        await asyncio.to_thread(self._writer.shutdown)

    @property
    def galleries(self) -> list[Gallery]:
        return [gallery for app in self._apps.values() for gallery in list(app.galleries.values())]

    @property
    def memory(self) -> int:
        """Bytes of all galleries."""
        return sum(gallery.memory for gallery in self.galleries)

    @property
    def evictions(self) -> int:
        return self._room.evictions

    async def search(
        self, groups: Sequence[GroupRef], queries: Vectors, limit: int, users: Sequence[int] | None = None
    ) -> list[list[Hit]]:
        """For each query the `limit` nearest users, each with its best face; a user of two groups comes twice.
        Everything that was written when the groups were read is found."""
        scan = await self.scan(groups, limit, users)
        return await self._run(lambda: scan(queries))

    async def scan(self, groups: Sequence[GroupRef], limit: int, users: Sequence[int] | None = None) -> Scan:
        """The search as a function for a thread that has the vectors; its galleries are in memory now."""
        scan = Scan(limit, users)
        for group in groups:
            if self._room.enters(scan, await self._gallery(group), group.app_id):
                await self.make_room()
        return scan

    async def applied(self, write: Write) -> None:
        """Return when the galleries in memory have come to this write."""
        app = self._apps[write.app_id]
        async with app.lock:
            if app.seen == write.seq - 1:
                await self._apply(app, write.changes)
                app.seen = write.seq
            elif 0 <= app.seen < write.seq:
                await self._catch_up(write.app_id, app)

    def heard(self, app_id: int, seq: int) -> None:
        """Another server has written: catch up now, so that the next search need not."""
        app = self._apps.get(app_id)
        if app is None or not 0 <= app.seen < seq or app_id in self._following:
            return
        task = asyncio.get_running_loop().create_task(self._follow(app_id, app))
        self._following[app_id] = task
        task.add_done_callback(lambda _: self._following.pop(app_id, None))

    async def _follow(self, app_id: int, app: _App) -> None:
        with suppress(Busy):  # a hint that is lost: the next search catches up
            async with app.lock:
                if app.seen >= 0:
                    await self._catch_up(app_id, app)

    async def save(self) -> None:
        """Write a snapshot of every gallery that has changed since its last one."""
        for app in list(self._apps.values()):
            for gallery in list(app.galleries.values()):
                await self._save(app, gallery)
        await asyncio.to_thread(self._shelf.keep_only, await self._rows.group_ids())

    async def _save(self, app: _App, gallery: Gallery) -> None:
        if app.galleries.get(gallery.group_id) is not gallery:
            return  # it has left, and does not follow to where the app is
        seq = gallery.seq
        if len(gallery) < WORTH_IT or self._saved.get(gallery.group_id) == seq:
            return
        if await asyncio.to_thread(self._shelf.save, gallery, app.seen):
            self._saved[gallery.group_id] = seq

    async def make_room(self) -> None:
        """Until the galleries fit again, the coldest leaves. It comes back from its snapshot or from the rows."""
        async with self._making_room:
            while (held := self._room.one_too_many()) is not None:
                app, cold = self._apps[held.app_id], held.gallery
                await self._save(app, cold)
                async with app.lock:
                    if app.galleries.get(cold.group_id) is not cold:
                        self._room.left(cold.group_id)
                    elif not self._room.in_use(cold):
                        del app.galleries[cold.group_id]
                        self._room.left(cold.group_id)
                        self._room.evictions += 1

    async def drop_gone(self) -> None:
        """Galleries of groups that another process has deleted, and that nobody asks for any more."""
        loaded = {gallery.group_id: app for app in self._apps.values() for gallery in list(app.galleries.values())}
        for group_id in loaded.keys() - await self._rows.still_there(list(loaded)):
            async with loaded[group_id].lock:
                loaded[group_id].galleries.pop(group_id, None)
                self._room.left(group_id)
            await asyncio.to_thread(self._shelf.remove, group_id)
        for gallery in self.galleries:  # they may have grown since their last search
            self._room.weigh(gallery)
        await self.make_room()

    async def _gallery(self, group: GroupRef) -> Gallery:
        if group.embedding_id not in ("", self._shelf.embedding_id):
            raise OtherModel(f"the app's templates are of model {group.embedding_id}")
        app = self._apps[group.app_id]
        if 0 <= app.seen < group.seq:
            async with app.lock:
                if 0 <= app.seen < group.seq:
                    await self._catch_up(group.app_id, app)
        gallery = app.galleries.get(group.id)
        return await self._load(group, app) if gallery is None else gallery

    # Following the feed, with the app's lock held

    async def _catch_up(self, app_id: int, app: _App) -> None:
        feed = await self._rows.changes(app_id, app.seen, model=self._shelf.embedding_id)
        if feed is None:  # too far behind: start again from the rows
            for group_id in app.galleries:
                self._room.left(group_id)
            app.galleries.clear()
            app.seen = -1
        else:
            await self._apply(app, feed.changes)
            app.seen = feed.seq

    async def _apply(self, app: _App, changes: Iterable[Change]) -> None:
        wanted = [change for change in changes if change.group_id in app.galleries]
        if wanted:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._writer, self._apply_now, app.galleries, wanted)
            for group_id in {change.group_id for change in wanted}:
                if (gallery := app.galleries.get(group_id)) is None:
                    self._room.left(group_id)
                else:
                    self._room.weigh(gallery)
                    self._tidy(gallery)

    def _apply_now(self, galleries: dict[int, Gallery], changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind == "drop":
                galleries.pop(change.group_id, None)
                self._shelf.remove(change.group_id)
            elif change.group_id in galleries:
                _apply_to(galleries[change.group_id], change)
        for group_id in {change.group_id for change in changes} & galleries.keys():
            galleries[group_id].seq = max(galleries[group_id].seq, changes[-1].seq)

    # Loading. It can take seconds, in which the app's writes and the searches in other groups go on

    async def _load(self, group: GroupRef, app: _App) -> Gallery:
        async with app.loading[group.id]:
            if group.id in app.galleries:
                return app.galleries[group.id]
            for source in (self._from_snapshot, self._from_rows):
                gallery = await source(group)
                if gallery is not None:
                    async with app.lock:
                        seq = await self._complete(gallery, group)
                        if seq is not None:
                            app.galleries[group.id] = gallery
                            app.seen = seq if app.seen < 0 else app.seen
                            self._tidy(gallery)
                            return gallery
            raise Busy(Stage.LOADING)

    async def _complete(self, gallery: Gallery, group: GroupRef) -> int | None:
        """Follow the feed from what was loaded to what the group is now, if it leads there; up to which write."""
        feed = await self._rows.changes(group.app_id, gallery.seq, group.id, self._shelf.embedding_id)
        if feed is None or any(change.kind == "drop" for change in feed.changes):
            return None
        if feed.changes:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._writer, _replay, gallery, feed.changes)
            gallery.seq = feed.seq
        # A snapshot and a database that do not belong together, say after restoring a backup, rarely agree in this.
        return feed.seq if len(gallery) == feed.faces else None

    async def _from_snapshot(self, group: GroupRef) -> Gallery | None:
        gallery = await asyncio.to_thread(self._shelf.load, group.id)
        if gallery is not None:
            self._saved[group.id] = gallery.seq
        return gallery

    async def _from_rows(self, group: GroupRef) -> Gallery | None:
        def build(seq: int, count: int, parts: Columns) -> Gallery | None:
            vectors = np.empty((count, self._dimensions), np.float32)
            ids = np.empty((2, count), np.int64)
            end = 0
            for face_ids, user_ids, templates in parts:
                start, end = end, end + len(face_ids)
                vectors[start:end] = np.frombuffer(b"".join(templates), np.float16).reshape(len(face_ids), -1)
                ids[:, start:end] = face_ids, user_ids
            return self._shelf.make(group.id, seq, vectors, *ids)

        self._saved.pop(group.id, None)
        return await self._rows.gallery(group, build, self._shelf.embedding_id)

    # What makes large galleries quick happens beside everything else

    def _tidy(self, gallery: Gallery) -> None:
        if gallery.group_id not in self._tidying and gallery.untidy and not self._closing.is_set():
            self._tidying.add(gallery.group_id)
            self._tidier.submit(self._tidy_now, gallery)

    def _tidy_now(self, gallery: Gallery) -> None:
        try:
            while gallery.untidy and not self._closing.is_set():
                gallery.tidy(self._closing.is_set)
        except Exception:  # it stays among those that are being tidied: it would fail again
            log.exception("a gallery of %d faces stays slow", len(gallery))
        else:
            self._tidying.discard(gallery.group_id)


def _replay(gallery: Gallery, changes: Iterable[Change]) -> None:
    for change in changes:
        _apply_to(gallery, change)


def _apply_to(gallery: Gallery, change: Change) -> None:
    """A gallery that was loaded later than its app's others has some changes already."""
    if change.seq <= gallery.seq:
        return
    if change.kind == "remove" or change.template is None:  # none: removed again since, or of another model now
        gallery.remove(change.face_id)
    else:
        gallery.put(change.face_id, change.user_id, np.frombuffer(change.template, np.float16).astype(np.float32))
