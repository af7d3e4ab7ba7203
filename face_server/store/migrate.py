"""Bringing a database to the newest schema. Alembic is loaded only when there is something to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

FOLDER = Path(__file__).with_name("migrations")
LOCK = 0x66616365  # of Postgres: of several servers that start at once, one migrates


def head() -> str:
    """Revisions are numbered files: the newest is the last."""
    return max(path.stem.split("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def current(path: Path) -> str | None:
    if not path.exists():
        return None
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()
    return str(row[0]) if row else None


def to_head(path: Path) -> None:
    if current(path) != head():
        path.parent.mkdir(parents=True, exist_ok=True)
        _upgrade(url=f"sqlite:///{path}")


def current_of(connection: sa.Connection) -> str | None:
    if connection.execute(sa.text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if version is None else str(version)


def postgres_to_head(connection: sa.Connection) -> None:
    """Within a transaction: all of it or nothing."""
    if current_of(connection) != head():
        connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        if current_of(connection) != head():
            _upgrade(connection=connection)


def _upgrade(**attributes: Any) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes.update(attributes)
    command.upgrade(config, "head")
