"""Which database, and where face tokens are: each has a form that needs nothing, and one for several servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from face_server.store.database import Database, Heard
from face_server.store.tokens import TokenCache

if TYPE_CHECKING:
    from face_server.store.shared_tokens import SharedTokens


def database_at(place: Path | str, connections: int, heard: Heard, present: bool = False) -> Database:
    """SQLite in a file, or Postgres at an address; neither is loaded before it is needed."""
    if isinstance(place, Path):
        from face_server.store.sqlite import SqliteDatabase

        return SqliteDatabase(place)
    from face_server.store.postgres import PostgresDatabase

    return PostgresDatabase(place, connections, heard, present)


def tokens_at(folder: Path, redis: str, minutes: int, megabytes: int) -> TokenCache | SharedTokens:
    """In files of a folder, or in the Redis at an address, whose client is not loaded without it."""
    if not redis:
        return TokenCache(folder, minutes, megabytes)
    from face_server.store.shared_tokens import SharedTokens

    return SharedTokens(redis, minutes, megabytes)
