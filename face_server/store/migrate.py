"""Bringing a database to the newest schema. Alembic is loaded only when there is something to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa

WAIT_SECONDS = 3600.0  # for another process that migrates the same file
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
    """In one transaction: killed before its end, the next start finds the library as it was and begins again."""
    if current(path) != head():
        path.parent.mkdir(parents=True, exist_ok=True)
        engine = _engine(path)
        try:
            with engine.begin() as connection:
                if current_of(connection) != head():
                    _upgrade(connection)
        finally:
            engine.dispose()


def _engine(path: Path) -> sa.Engine:
    """Of its own accord the driver would begin a transaction with the first row that is changed, not with the first
    table."""
    arguments = {"isolation_level": None, "timeout": WAIT_SECONDS}
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool, connect_args=arguments)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA secure_delete=ON")  # what moves must not stay where it was
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def current_of(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if version is None else str(version)


def postgres_to_head(connection: sa.Connection) -> None:
    """Within a transaction: all of it or nothing."""
    if current_of(connection) != head():
        connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        if current_of(connection) != head():
            _upgrade(connection)


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
