"""Writing a library to a folder: its pictures, a table of people that an import reads, and templates if asked for."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from face_server.faces.rules import format_of
from face_server.store.blobs import Blobs
from face_server.store.reading import Reading
from face_server.store.rows import FaceRow, GroupRef, UserRow
from face_server.transfer import features
from face_server.transfer.features import FeatureWriter
from face_server.transfer.files import TABLE
from face_server.transfer.journal import digest

COLUMNS = ("group", "user", "file", "info", "face_token", "created", "updated", "reason", "meta")
PART = 500  # faces
LONGEST_PART = 200  # bytes of a file's or folder's name
_NOT_IN_PATHS = re.compile(r'[\x00-\x1f/\\:*?"<>|%]|^\.|[. ]$')


class Exporter:
    def __init__(self, store: Reading, blobs: Blobs, app: str, folder: Path) -> None:
        self._store, self._blobs, self._app, self._folder = store, blobs, app, folder
        self.faces = self.without_picture = 0

    async def count(self) -> int:
        return sum((await self._store.count_faces(await self._store.list_groups(self._app))).values())

    async def run(self, templates: bool, told: Callable[[], None]) -> None:
        """The table comes last and as a whole: while it is not there, the export is not done."""
        groups = await self._store.list_groups(self._app)
        writer = FeatureWriter(next((group.embedding_id for group in groups), "")) if templates else None
        half = self._folder / f".{TABLE}"
        with half.open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, COLUMNS, restval="")
            table.writeheader()
            for group in groups:
                table.writerow({"group": group.name, "created": _time(group.created), "updated": _time(group.updated)})
                people = {user.name: user for user in await self._store.list_users(self._app, group.name)}
                async for face in self._faces(group):
                    table.writerow(await self._row(face, people.get(face.user)))
                    if writer is not None:
                        writer.add(face)
                    told()
        if writer is not None:
            await asyncio.to_thread(writer.save, self._folder / features.FILE)
        os.replace(half, self._folder / TABLE)

    async def _faces(self, group: GroupRef) -> AsyncIterator[FaceRow]:
        last = 0
        while part := await self._store.faces_after(group, last, PART):
            for face in part:
                yield face
            last = part[-1].id

    async def _row(self, face: FaceRow, user: UserRow | None) -> dict[str, Any]:
        picture = await self._blobs.load(face.picture) if face.picture else None
        self.faces += 1
        self.without_picture += picture is None
        reason = "" if picture is not None else "lost" if face.picture else "not_stored"
        return {
            "group": face.group,
            "user": face.user,
            "file": "" if picture is None else await asyncio.to_thread(self._save, face, picture),
            "info": user.info if user else "",
            "face_token": face.token,
            "created": _time(face.created),
            "updated": _time(user.updated) if user else "",
            "reason": reason,
            "meta": json.dumps(face.meta) if face.meta else "",
        }

    def _save(self, face: FaceRow, picture: bytes) -> str:
        kind = format_of(picture) or "jpg"
        path = Path(_safe(face.group), _safe(face.user), f"{face.token}.{kind}")
        (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / path).write_bytes(picture)
        return path.as_posix()


def _safe(name: str) -> str:
    """A name as one part of a path on any system; the table has it as it is."""
    quoted = _NOT_IN_PATHS.sub(lambda found: quote(found[0], safe="").replace(".", "%2E"), name)
    return quoted if len(quoted.encode()) <= LONGEST_PART else digest(name)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
