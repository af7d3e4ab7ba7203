"""Pictures of registered faces, as files. A picture is durable before the row that names it is written."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from face_server.errors import Busy, FaceError, StoreFailed
from face_server.store.sealing import PLAIN, NotSealed, Seal, app_of, key_in

log = logging.getLogger(__name__)

_YOUNG = 60.0  # seconds a file may be without its row: the row's transaction may still run


class Home(Protocol):
    """Who knows the seals of the apps."""

    async def home(self, app: str) -> int: ...

    async def seal(self, app_id: int) -> Seal: ...


class Blobs:
    """Sealed pictures have the number of their app in their key."""

    def __init__(self, folder: Path, home: Home | None = None) -> None:
        """Without a home for their seals pictures are written as they are."""
        self._folder = folder
        self._home = home

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    async def save(self, data: bytes, app: str = "") -> str:
        key, seal = secrets.token_hex(16), PLAIN
        if self._home is not None:
            app_id = await self._home.home(app)
            key, seal = key_in(key, app_id), await self._home.seal(app_id)
        await asyncio.to_thread(self._save, key, data, seal)
        return key

    async def load(self, key: str) -> bytes | None:
        """None when it is gone, or not what was saved under this key."""
        seal = PLAIN
        if self._home is not None:
            seal = await self._home.seal(app_of(key))
        return await asyncio.to_thread(self._load, key, seal)

    async def remove(self, keys: Iterable[str]) -> None:
        await asyncio.to_thread(self._remove, list(keys))

    async def remove_refused(self, keys: Iterable[str], error: FaceError) -> None:
        """Pictures whose row was not written. When the database was busy nobody knows: the next sweep does."""
        if not isinstance(error, Busy):
            await self.remove(key for key in keys if key)

    async def sweep(self, used: set[str], read_at: float) -> int:
        """Remove what a crash left between a picture and its row. Returns how many. `read_at`: when reading the keys
        that are used began; pictures may have got their rows since."""
        return await asyncio.to_thread(self._sweep, used, read_at - _YOUNG)

    def _load(self, key: str, seal: Seal) -> bytes | None:
        try:
            return seal.open(self._path(key).read_bytes(), key)
        except OSError:
            return None
        except NotSealed as error:
            log.warning("a picture cannot be read: %s", error)
            return None

    def _save(self, key: str, data: bytes, seal: Seal) -> None:
        path = self._path(key)
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                _sync_folder(self._folder)
            with path.open("xb") as stream:
                stream.write(seal.seal(data, key))
                stream.flush()
                os.fsync(stream.fileno())
            _sync_folder(path.parent)
        except OSError as error:
            self._remove([key])
            raise StoreFailed(f"a picture could not be stored: {error.strerror}") from error

    def _remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            try:
                self._path(key).unlink(missing_ok=True)
            except OSError as error:  # the row is gone, so the next sweep tries again
                log.warning("a picture could not be deleted: %s", error.strerror)

    def _sweep(self, used: set[str], before: float) -> int:
        unused = [path for path in self._folder.glob("??/*") if path.name not in used and _written(path) < before]
        self._remove(path.name for path in unused)
        return len(unused)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # deleted meanwhile
        return time.time()


def _sync_folder(folder: Path) -> None:
    """The name of a new file is durable only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
