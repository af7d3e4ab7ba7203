"""A library for tests of the store and the index: real files, random templates."""

from __future__ import annotations

import asyncio
import functools
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_server.index.gallery import Hit
from face_server.index.registry import Registry
from face_server.index.snapshots import Snapshots
from face_server.store import migrate
from face_server.store.reading import Reading
from face_server.store.rows import Enrolled, FaceRow, NewFace
from face_server.store.store import Store

DIMENSIONS = 16
MODEL = "model-a"
APP = "app"


def vector(number: int, dimensions: int = DIMENSIONS) -> NDArray[np.float32]:
    """Always the same one for the same number, of unit length, and exact in half precision."""
    drawn = np.random.default_rng(number).standard_normal(dimensions)
    return (drawn / np.linalg.norm(drawn)).astype(np.float16).astype(np.float32)


def token(number: int) -> str:
    return f"{number:032x}"


def face(number: int, picture: str = "", **meta: Any) -> NewFace:
    return NewFace(token(number), vector(number).astype(np.float16).tobytes(), b"spot", picture, meta)


async def scan(work: Callable[[], list[list[Hit]]]) -> list[list[Hit]]:
    return await asyncio.to_thread(work)


async def rows_of(store: Reading, app: str = APP) -> list[FaceRow]:
    """Every face of an app, in the order of their numbers."""
    found = [row for group in await store.list_groups(app) for row in await store.faces_after(group, 0, 100_000)]
    return sorted(found, key=lambda row: row.id)


@dataclass
class Library:
    store: Store
    registry: Registry

    async def enroll(self, number: int, group: str = "g", user: str | None = None, **more: Any) -> Enrolled:
        more = {"embedding_id": MODEL} | more
        done = await self.store.enroll(APP, group, user or f"u{number}", face(number), **more)
        await self.registry.applied(done.write)
        return done

    async def search(self, number: int, *groups: str, limit: int = 1, users: list[int] | None = None) -> list[Hit]:
        refs = await self.store.groups(APP, groups or ("g",))
        return (await self.registry.search(refs, vector(number)[None], limit, users))[0]

    async def found(self, number: int, *groups: str) -> bool:
        """Is exactly this face in there?"""
        hits = await self.search(number, *groups)
        return bool(hits) and hits[0].cosine > 0.999


def registry(store: Store, folder: Path, embedding_id: str = MODEL) -> Registry:
    return Registry(store.index_rows, scan, DIMENSIONS, Snapshots(folder / "galleries", embedding_id, DIMENSIONS))


@functools.cache
def _empty_database() -> bytes:
    """Migrating takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.db"
        migrate.to_head(path)
        return path.read_bytes()


async def open_store(place: Path | str) -> Store:
    """SQLite in a folder, or the Postgres of an address."""
    if isinstance(place, Path):
        place = place / "faces.db"
        if not place.exists():
            place.write_bytes(_empty_database())
    store = Store(place)
    await store.open()
    return store


@asynccontextmanager
async def library(folder: Path, place: Path | str | None = None) -> AsyncIterator[Library]:
    store = await open_store(place or folder)
    index = registry(store, folder)
    try:
        yield Library(store, index)
    finally:
        await index.close()
        await store.close()


@contextmanager
def full_disk(longest_file: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes: the kernel refuses the write, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest_file, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    def wait() -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.005)

    await asyncio.to_thread(wait)
