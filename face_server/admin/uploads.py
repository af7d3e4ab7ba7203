"""Archives that a job will read: they come in parts and are never in memory."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request

from face_server.admin.failures import Refusal
from face_server.errors import Cancelled

MOST = 8 << 30  # bytes of one
KEPT = 24 * 3600.0  # seconds; a job that has used one takes it away at once
PART = 4 << 20


class Upload(BaseModel):
    upload: str
    bytes: int


class Uploads:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def add(self, request: Request) -> Upload:
        """The body as it is. It is kept for a day."""
        name = secrets.token_hex(16)
        path = self._folder / name
        stream = await asyncio.to_thread(self._open, path)
        try:
            size = await _write(request, stream)
        except ClientDisconnect:
            path.unlink(missing_ok=True)
            raise Cancelled from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            await asyncio.to_thread(stream.close)
        return Upload(upload=name, bytes=size)

    def path(self, name: str) -> Path:
        path = self._folder / name
        if not path.is_file():
            raise Refusal(404, "upload_missing", "There is no such upload, or no longer.", "upload")
        return path

    def forget_old(self) -> None:
        for old in self._folder.glob("*"):
            with suppress(FileNotFoundError):  # a job has used it just now
                if old.stat().st_mtime < time.time() - KEPT:
                    old.unlink()

    def _open(self, path: Path) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.forget_old()
        return path.open("xb")


async def _write(request: Request, stream: BinaryIO) -> int:
    size, part = 0, bytearray()
    async for chunk in request.stream():
        part += chunk
        size += len(chunk)
        if size > MOST:
            raise Refusal(413, "body_too_large", f"The body is larger than {MOST} bytes.")
        if len(part) >= PART:
            await asyncio.to_thread(stream.write, bytes(part))
            part.clear()
    await asyncio.to_thread(stream.write, bytes(part))
    if not size:
        raise Refusal(400, "bad_parameter", "The body is empty, an archive is expected.")
    return size
