"""What a deployment keeps beside its database and its folder, as `face-server purge` sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from face_server.settings import Settings
from face_server.store.erasing import Evidence
from face_server.store.scanning import Scanner

if TYPE_CHECKING:  # an extra
    from face_server.index.milvus_traces import MilvusTraces, Whom

REDIS, MILVUS = "Redis", "Milvus"


class Beside:
    def __init__(self, settings: Settings) -> None:
        """Raises where something does not answer."""
        self._redis, self._folder = settings.redis, settings.data_dir
        self._milvus: MilvusTraces | None = None
        if self._redis:
            from face_server.store import in_redis

            in_redis.reach(self._redis)
        if settings.milvus_url:
            from face_server.index.milvus_traces import MilvusTraces

            self._milvus = MilvusTraces(settings.milvus_url, settings.milvus_token.get_secret_value())

    def close(self) -> None:
        if self._milvus:
            self._milvus.close()

    def erase(self, evidence: Evidence) -> None:
        """All of Redis: pictures of the last requests may show anybody."""
        if self._redis:
            from face_server.store import in_redis

            in_redis.erase(self._redis)
        if self._milvus:
            self._milvus.erase(_whom(evidence))

    def left(self, evidence: Evidence) -> dict[str, tuple[int, int]]:
        """How much was looked at, and how much of these people is in it."""
        found = {}
        if self._redis:
            from face_server.store import in_redis

            found[REDIS] = in_redis.left(self._redis, Scanner(evidence.pieces))
        if self._milvus:
            found[MILVUS] = self._milvus.left(_whom(evidence))
        return found

    def left_in_files(self, evidence: Evidence) -> dict[Path, tuple[int, int]]:
        """Of Milvus Lite, if they are not in the data folder."""
        files = self._milvus.files if self._milvus else None
        if files is None or files.absolute().is_relative_to(self._folder.absolute()):
            return {}
        scanner = Scanner(evidence.pieces)
        paths = sorted(path for path in (files, *files.rglob("*")) if path.is_file())
        return {path: (path.stat().st_size, len(scanner.in_file(path))) for path in paths}


def _whom(evidence: Evidence) -> Whom:
    from face_server.index.milvus_traces import Whom

    rows = evidence.rows
    return Whom(rows.get("groups", set()), rows.get("users", set()), rows.get("faces", set()))
