"""Beside the requests: clearing deleted groups, saving snapshots, forgetting old changes, sweeping, freeing memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from face_server.errors import Busy, FaceError
from face_server.index.registry import Registry
from face_server.ops.serving import give_memory_back
from face_server.store import history, work
from face_server.store.blobs import Blobs
from face_server.store.history import Entry
from face_server.store.store import Store

CLEAR_EVERY = 2.0  # seconds
DROP_EVERY = 5.0
TRIM_EVERY = 10.0
SAVE_EVERY = 300.0
FORGET_EVERY = 600.0
SWEEP_EVERY = 3600.0
SWEEP_FIRST = 90.0  # what a crash left is old enough by then
EXPIRE_FIRST = 60.0
EXPIRE_EVERY = 3600.0
FORGET_WORK_FIRST = 120.0
FORGET_WORK_EVERY = 3600.0
BETWEEN = 0.05  # seconds between two parts, in which others can write
FORGET_KEYS_EVERY = 60.0
DAY = 86400.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Memory:
    """After how many days what was noted goes; 0: never."""

    audit_days: int = 0
    job_days: int = 0


@asynccontextmanager
async def kept_in_order(
    store: Store, registry: Registry, blobs: Blobs, memory: Memory = Memory()
) -> AsyncIterator[None]:
    """While the context lasts. What is not finished at its end goes on after the next start."""
    chores = (
        (lambda: clear_deleted(store, blobs), CLEAR_EVERY, CLEAR_EVERY),
        (registry.drop_gone, DROP_EVERY, DROP_EVERY),
        (lambda: asyncio.to_thread(give_memory_back), TRIM_EVERY, TRIM_EVERY),
        (registry.save, SAVE_EVERY, SAVE_EVERY),
        (store.upkeep.forget_changes, FORGET_EVERY, FORGET_EVERY),
        (lambda: sweep(store, blobs), SWEEP_FIRST, SWEEP_EVERY),
        (lambda: end_old_faces(store, registry, blobs, time.time()), EXPIRE_FIRST, EXPIRE_EVERY),
        (lambda: forget_keys(store), FORGET_KEYS_EVERY, FORGET_KEYS_EVERY),
        (lambda: forget_work(store, memory, time.time()), FORGET_WORK_FIRST, FORGET_WORK_EVERY),
    )
    tasks = [asyncio.create_task(_again_and_again(chore, first, every)) for chore, first, every in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def clear_deleted(store: Store, blobs: Blobs) -> None:
    """A group that cannot be cleared now must not hold up those behind it."""
    failures: list[FaceError] = []
    for app, group in await store.upkeep.deleting_groups():
        try:
            await _clear(store, blobs, app, group)
        except FaceError as error:
            failures.append(error)
    if failures:
        raise failures[0]


async def _clear(store: Store, blobs: Blobs, app: str, group: int) -> None:
    done = False
    while not done:
        done, pictures = await store.upkeep.purge(app, group)
        await blobs.remove(pictures)


async def sweep(store: Store, blobs: Blobs) -> None:
    """Pictures whose row a crash prevented."""
    now = time.time()
    await blobs.sweep(await store.picture_keys(), now)


async def forget_keys(store: Store) -> None:
    """Of apps that another process has deleted."""
    store.sealer.forget_all_but(await store.app_ids())


async def end_old_faces(store: Store, registry: Registry, blobs: Blobs, now: float) -> None:
    """As long as each app keeps them, and a line in the audit log for each app that had some."""
    for app, days in (await store.access.retentions()).items():
        before, ended = now - days * DAY, 0
        while await store.upkeep.expired(app, before):
            count, removed = await store.upkeep.expire(app, before)
            await registry.applied(removed.write)
            await blobs.remove(removed.pictures)
            ended += count
        if ended:
            told = {"app": app, "days": str(days), "faces": str(ended)}
            await store.audit.add(Entry("retention", "server", "", "retention", told, "ok", 0))


async def forget_work(store: Store, memory: Memory, now: float) -> None:
    """Old lines of the audit log and jobs that ended long ago, in parts."""
    for days, part, forget in (
        (memory.audit_days, history.PART, store.audit.forget),
        (memory.job_days, work.PART, store.jobs.forget),
    ):
        left = days > 0
        while left:
            left = await forget(now - days * DAY) == part
            await asyncio.sleep(BETWEEN)


async def _again_and_again(chore: Callable[[], Awaitable[None]], first: float, every: float) -> None:
    await asyncio.sleep(first)
    while True:
        try:
            await chore()
        except Busy as busy:
            log.warning("a chore waits: %s", busy)
        except Exception:
            log.exception("a chore failed, it is tried again in %g s", every)
        await asyncio.sleep(every)
