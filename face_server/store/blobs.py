"""Pictures of registered faces, as files. A picture is durable before the row that names it is written."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from face_server.errors import StoreFailed

log = logging.getLogger(__name__)

_YOUNG = 60.0  # seconds a file may be without its row: the row's transaction may still run


class Blobs:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    async def save(self, data: bytes) -> str:
        return await asyncio.to_thread(self._save, data)

    async def load(self, key: str) -> bytes | None:
        try:
            return await asyncio.to_thread(self._path(key).read_bytes)
        except OSError:
            return None

    async def remove(self, keys: Iterable[str]) -> None:
        await asyncio.to_thread(self._remove, list(keys))

    async def sweep(self, used: set[str]) -> int:
        """Remove what a crash left between a picture and its row. Returns how many."""
        return await asyncio.to_thread(self._sweep, used)

    def _save(self, data: bytes) -> str:
        key = secrets.token_hex(16)
        path = self._path(key)
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                _sync_folder(self._folder)
            with path.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            _sync_folder(path.parent)
        except OSError as error:
            self._remove([key])
            raise StoreFailed(f"a picture could not be stored: {error.strerror}") from error
        return key

    def _remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            try:
                self._path(key).unlink(missing_ok=True)
            except OSError as error:  # the row is gone, so the next sweep tries again
                log.warning("a picture could not be deleted: %s", error.strerror)

    def _sweep(self, used: set[str]) -> int:
        before = time.time() - _YOUNG
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
