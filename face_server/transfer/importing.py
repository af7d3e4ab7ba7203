"""Bringing what a plan names into the library, as fast as the lanes can look at pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from face_server.errors import BadPicture, Busy, FaceError, GroupExists, GroupMissing, PictureGone, PictureTooLarge
from face_server.faces.asks import Ask, Place
from face_server.faces.bulk import Brought, Bulk
from face_server.faces.library import Library
from face_server.model import Gates, Picture
from face_server.store.rows import NewFace
from face_server.transfer.features import Features
from face_server.transfer.journal import Journal
from face_server.transfer.plan import Item, Plan, Refusal
from face_server.transfer.reasons import is_refusal, reason
from face_server.transfer.report import Report

AT_LEAST = 32  # users at once: so many writes share a commit
PER_LANE = 4
PAUSE = 0.2  # seconds, before another try where a queue is full or a server beside this writes
TRIES = 150


@dataclass(frozen=True, slots=True)
class Options:
    app: str
    gates: Gates = field(default_factory=Gates)
    most_bytes: int = 24 << 20  # of one picture


@dataclass(slots=True)
class Counts:
    imported: int = 0
    already: int = 0  # the user had the face before
    skipped: int = 0  # an earlier run did it


class Importer:
    def __init__(self, library: Library, bulk: Bulk, features: Features, options: Options, lanes: int) -> None:
        self._library, self._bulk, self._features, self._options = library, bulk, features, options
        self._at_once = max(AT_LEAST, PER_LANE * lanes)
        self.counts = Counts()

    async def run(self, plan: Plan, journal: Journal, report: Report, told: Callable[[], None]) -> None:
        """Raises what would fail for every picture; what was done until then stays."""
        await self._bulk.check(self._options.app, self._options.gates)
        for refusal in plan.refused:
            report.add(refusal)
        for group in plan.groups:
            await self._make_group(group)
        known = await self._known(plan.items)
        room = asyncio.Semaphore(self._at_once)

        async def one_after_the_other(items: Iterable[Item]) -> None:
            """The pictures of a user stay in order."""
            try:
                for item in items:
                    await self._bring(item, known, journal, report)
                    told()
            finally:
                room.release()

        async with asyncio.TaskGroup() as tasks:
            for items in _by_user(plan.items):
                await room.acquire()
                tasks.create_task(one_after_the_other(items))

    async def _make_group(self, group: str) -> None:
        with suppress(GroupExists):
            await self._library.add_group(self._options.app, group)

    async def _known(self, items: Iterable[Item]) -> dict[str, set[str]]:
        """The tokens that each group has: somebody may have removed what an earlier run brought."""
        known: dict[str, set[str]] = {}
        for group in {item.group for item in items}:
            try:
                known[group] = await self._library.tokens(self._options.app, group)
            except GroupMissing:
                known[group] = set()
        return known

    async def _bring(self, item: Item, known: dict[str, set[str]], journal: Journal, report: Report) -> None:
        if journal.token(item) in known[item.group]:
            self.counts.skipped += 1
            return
        try:
            brought = await self._patiently(item)
        except FaceError as error:
            if not is_refusal(error):
                raise
            report.add(Refusal(item.group, item.user, str(item.file or item.token), *reason(error)))
            return
        journal.note(item, brought.token)
        if brought.again:
            self.counts.already += 1
        else:
            self.counts.imported += 1

    async def _patiently(self, item: Item) -> Brought:
        for _ in range(TRIES):
            try:
                return await self._brought(item)
            except Busy:
                await asyncio.sleep(PAUSE)
        return await self._brought(item)

    async def _brought(self, item: Item) -> Brought:
        picture = None if item.file is None else await asyncio.to_thread(_read, item.file, self._options.most_bytes)
        place = Place(item.group, item.user, item.info, describe=(lambda _: item.meta) if item.meta else None)
        kept = self._features.find(item.group, item.token) if item.token else None
        if kept is not None and self._features.embedding_id == self._bulk.embedding_id:
            face = NewFace(item.token, *kept, meta=dict(item.meta))
            return await self._bulk.restore(self._options.app, face, picture, place)
        if picture is None:
            raise PictureGone
        ask = Ask(Picture(picture), gates=self._options.gates, remembered=False)
        return await self._bulk.add(self._options.app, ask, place, item.token)


def _by_user(items: Iterable[Item]) -> Iterator[list[Item]]:
    for _, together in groupby(items, lambda item: (item.group, item.user)):
        yield list(together)


def _read(file: Path, most: int) -> bytes:
    try:
        if file.stat().st_size > most:
            raise PictureTooLarge(f"more than {most >> 20} MB")
        return file.read_bytes()
    except OSError as error:
        raise BadPicture(f"it cannot be read: {error.strerror}") from error
