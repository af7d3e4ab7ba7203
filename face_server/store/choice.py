"""Which database: SQLite in a file, or Postgres at an address."""

from __future__ import annotations

from pathlib import Path

from face_server.store.database import Database, Heard


def database_at(place: Path | str, connections: int, heard: Heard, present: bool = False) -> Database:
    """SQLite in a file, or Postgres at an address; neither is loaded before it is needed."""
    if isinstance(place, Path):
        from face_server.store.sqlite import SqliteDatabase

        return SqliteDatabase(place)
    from face_server.store.postgres import PostgresDatabase

    return PostgresDatabase(place, connections, heard, present)
