"""Galleries on disk, so that a start does not read every template from the database. Only a short cut: a snapshot that
is missing, damaged or of another model is ignored and the gallery is built from the rows."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Container
from pathlib import Path

import numpy as np

from face_server.index.codes import CodesForLarge
from face_server.index.gallery import LocalGallery
from face_server.index.protocol import Gallery, Ids, Vectors
from face_server.index.shortlist import Shortlists
from face_server.store.sealed_galleries import GallerySeals
from face_server.store.sealing import NotSealed

log = logging.getLogger(__name__)

_MAGIC = b"face-gallery 1\n"
WORTH_IT = 1000  # faces: a smaller gallery is read from the database as fast


class Snapshots:
    """The shelf of galleries that are searched in this process."""

    def __init__(
        self,
        folder: Path,
        embedding_id: str,
        dimensions: int,
        shortlists: Shortlists | None = None,
        seals: GallerySeals | None = None,
    ) -> None:
        self._folder = folder
        self.embedding_id = embedding_id
        self._dimensions = dimensions
        self._shortlists = shortlists or CodesForLarge()
        self._seals = seals or GallerySeals()

    def make(self, group_id: int, seq: int, vectors: Vectors, face_ids: Ids, user_ids: Ids) -> LocalGallery:
        return LocalGallery(group_id, seq, vectors, face_ids, user_ids, self._shortlists)

    def path(self, group_id: int) -> Path:
        return self._folder / f"{group_id}.gallery"

    def save(self, gallery: Gallery, seq: int) -> bool:
        """The gallery's rows, which have come at least to write `seq` of the app. False when the disk refuses."""
        assert isinstance(gallery, LocalGallery)
        now = gallery.snapshot()
        rows = [now.templates.tobytes(), now.face_ids.tobytes(), now.user_ids.tobytes(), now.shortlist]
        head = {
            "embedding_id": self.embedding_id,
            "seq": seq,
            "count": len(now.face_ids),
            "shortlist": len(now.shortlist),
        }
        try:
            body = self._seals.seal(gallery.group_id, head, rows)
        except NotSealed:
            return False
        checksum = 0
        for part in body:
            checksum = zlib.crc32(part, checksum)
        head["crc32"] = checksum
        path = self.path(gallery.group_id)
        fresh = path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with fresh.open("wb") as stream:
                stream.writelines([_MAGIC, json.dumps(head).encode() + b"\n", *body])
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, path)
        except OSError as error:
            log.warning("a gallery's snapshot could not be written: %s", error.strerror)
            fresh.unlink(missing_ok=True)
            return False
        return True

    def load(self, group_id: int) -> LocalGallery | None:
        try:
            data = self.path(group_id).read_bytes()
            return self._parse(group_id, data)
        except (OSError, ValueError, KeyError, TypeError, NotSealed):
            return None

    def _parse(self, group_id: int, data: bytes) -> LocalGallery:
        if not data.startswith(_MAGIC):
            raise ValueError("not a snapshot")
        end = data.index(b"\n", len(_MAGIC)) + 1
        head = json.loads(data[len(_MAGIC) : end])
        body = memoryview(data)[end:]
        if head["embedding_id"] != self.embedding_id or zlib.crc32(body) != head["crc32"]:
            raise ValueError("of another model, or damaged")
        body = self._seals.open(group_id, head, body)
        count, seq = int(head["count"]), int(head["seq"])
        templates, numbers = count * self._dimensions * 2, count * 2 * 8
        vectors = np.frombuffer(body[:templates], np.float16).reshape(count, self._dimensions)
        face_ids, user_ids = np.frombuffer(body[templates : templates + numbers], np.int64).reshape(2, count).copy()
        packed = bytes(body[templates + numbers :])
        if len(packed) != head.get("shortlist", 0):
            raise ValueError("cut")
        shortlist = self._shortlists.unpack(packed, self._dimensions) if packed else None
        if shortlist is None:
            return LocalGallery(group_id, seq, vectors.astype(np.float32), face_ids, user_ids, self._shortlists)
        return LocalGallery(group_id, seq, vectors.copy(), face_ids, user_ids, self._shortlists, shortlist)

    def remove(self, group_id: int) -> None:
        self.path(group_id).unlink(missing_ok=True)

    def keep_only(self, group_ids: Container[int]) -> None:
        for path in self._folder.glob("*"):
            if not path.stem.isdecimal() or int(path.stem) not in group_ids:
                path.unlink(missing_ok=True)
