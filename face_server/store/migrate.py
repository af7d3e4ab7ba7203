"""Bringing a database to the newest schema. Alembic is loaded only when there is something to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

FOLDER = Path(__file__).with_name("migrations")


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
    if current(path) == head():
        return
    from alembic import command
    from alembic.config import Config

    path.parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["url"] = f"sqlite:///{path}"
    command.upgrade(config, "head")
