"""A library of an earlier version, with faces in it: everything stays, also when the upgrade is killed on its way."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from face_server.store import migrate
from face_server.store.history import Which
from face_server.store.schema import faces
from face_server.store.store import Store
from tests.postgres import Postgres
from tests.small_library import APP, MODEL

BEFORE = "0007"
ROWS = (
    f"INSERT INTO apps (id, name, seq, forgotten, embedding_id, created) VALUES (7, '{APP}', 3, 0, '{MODEL}', 1)",
    "INSERT INTO groups (id, app_id, name, state, meta, created, updated) VALUES (8, 7, 'g', 'active', '{}', 1, 1)",
    "INSERT INTO users (id, group_id, name, info, meta, created, updated) VALUES (9, 8, 'u', 'tall', '{}', 1, 1)",
    "INSERT INTO faces (id, app_id, group_id, user_id, token, template, spot, picture, meta, created)"
    " VALUES (:number, 7, 8, 9, :token, :template, :spot, '', '{}', 1)",
    "INSERT INTO audit (time, name, role, source, action, target, outcome, log_id)"
    f" VALUES (1, 'ann', 'admin', '', 'delete_group', '{{\"app\":\"{APP}\",\"group\":\"g\"}}', 'ok', 1),"
    " (2, 'ann', 'admin', '', 'login', '{}', 'ok', 2)",
)
FACES = [{"number": n, "token": f"{n:032x}", "template": bytes([n]) * 64, "spot": bytes([n]) * 40} for n in (1, 2, 3)]

KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from face_server.store import migrate

@sa.event.listens_for(sa.Engine, "after_cursor_execute")
def after(connection, cursor, statement, *_):
    if statement.startswith("UPDATE faces"):
        os.kill(os.getpid(), signal.SIGKILL)

migrate.to_head(Path(sys.argv[1]))
"""


def fill(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, BEFORE)
    for statement in ROWS:
        connection.execute(sa.text(statement.replace('":', '"\\:')), FACES if ":number" in statement else [{}])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "faces.db"
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    with engine.begin() as connection:
        fill(connection)
    assert migrate.current(path) == BEFORE
    return path


async def filled(server: Postgres) -> str:
    url = server.new_database()
    engine = create_async_engine(url.replace("postgresql", "postgresql+asyncpg"), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(fill)
    return url


async def everything_is_there(place: Path | str) -> None:
    store = Store(place)
    await store.open()
    try:
        found: list[Any] = [
            (row.id, row.token, bytes(row.template), bytes(row.spot), row.embedding_id)
            for row in await store._database.rows(sa.select(faces).order_by(faces.c.id))
        ]
        assert found == [(*face.values(), MODEL) for face in FACES]
        (group,) = await store.list_groups(APP)
        assert await store.index_rows.gallery(group, lambda seq, count, _: (seq, count), MODEL) == (3, 3)
        lines = await store.audit.page(None, 10)
        assert [(line.action, line.target) for line in lines] == [
            ("login", {}),
            ("delete_group", {"app": APP, "group": "g"}),
        ]
        assert [line.action for line in await store.audit.page(None, 10, Which(app=APP))] == ["delete_group"]
    finally:
        await store.close()


async def test_an_upgrade_keeps_all_of_a_file(file: Path) -> None:
    await everything_is_there(file)


async def test_an_upgrade_keeps_all_of_a_postgres(postgres: Postgres) -> None:
    await everything_is_there(await filled(postgres))


async def test_an_upgrade_that_was_killed_begins_again(file: Path) -> None:
    killed = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED_IN_THE_MIDDLE, str(file)], check=False, capture_output=True
    )
    assert (killed.returncode, migrate.current(file)) == (-9, BEFORE)
    await everything_is_there(file)


async def test_of_two_that_start_at_once_one_upgrades(file: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(migrate.to_head, [file, file]))
    await everything_is_there(file)
