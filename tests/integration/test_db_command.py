"""`face-server db`: a library moves from SQLite to Postgres as a whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from face_server.store import migrate
from face_server.store.schema import metadata, users
from face_server.store.store import Store
from tests.postgres import Postgres
from tests.small_library import APP, MODEL, face, library, open_store, token

FACES = 1200


def db(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    return subprocess.run(
        [sys.executable, "-m", "face_server", "db", *arguments],
        env=inherited | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def fill(folder: Path) -> None:
    async with library(folder) as lib:
        for number in range(40):
            await lib.store.enroll(
                APP, f"g{number % 3}", f"u{number}", face(number, name="安"), MODEL, info=f"Nr {number}"
            )
        last = await lib.store.enroll("other", "g", "u", face(1), "model-b")
        await lib.store.delete_face_by_id("other", last.face_id)
        await lib.store.delete_user(APP, "g1", "u1")

        def many(connection: sa.Connection) -> None:
            connection.execute(sa.text(ROWS.format(FACES)))

        await lib.store._database.write(many)


ROWS = """INSERT INTO faces (app_id, group_id, user_id, token, template, spot, picture, meta, created)
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {})
SELECT app_id, group_id, user_id, 't' || x, randomblob(1024), randomblob(20), '', '{{}}', created + x / 7.0
FROM n, (SELECT * FROM faces LIMIT 1)"""


async def contents(store: Store) -> dict[str, list[Any]]:
    def all_rows(connection: sa.Connection) -> dict[str, list[Any]]:
        return {
            table.name: [
                tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            ]
            for table in metadata.sorted_tables
        }

    return await store._database.read(all_rows)


async def test_a_library_moves_as_a_whole(postgres: Postgres, tmp_path: Path) -> None:
    await fill(tmp_path)
    url = postgres.new_database()
    done = db("copy", "--to", url, "--data-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"{FACES + 39:,}" in done.stdout
    assert "secret-word" not in done.stdout + done.stderr
    here, there = await open_store(tmp_path), await open_store(url)
    assert await contents(there) == await contents(here)
    # Numbers go on where they were: that of a deleted face is not given again.
    news = [(await store.enroll("other", "g", "u", face(5), "model-b")).face_id for store in (here, there)]
    assert news[0] == news[1]
    await here.close()
    await there.close()

    again = db("copy", "--data-dir", str(tmp_path), FACE_DATABASE_URL=url)
    assert again.returncode == 1
    assert "not empty" in again.stderr


async def test_what_cannot_be_copied_leaves_nothing(postgres: Postgres, tmp_path: Path) -> None:
    await fill(tmp_path)
    url = postgres.new_database()

    async def call_it(info: str) -> None:
        store = await open_store(tmp_path)
        await store._database.write(
            lambda rows: rows.execute(sa.update(users).where(users.c.name == "u5").values(info=info))
        )
        await store.close()

    await call_it("a\0b")  # a text that Postgres cannot hold
    refused = db("copy", "--to", url, "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert "nothing was copied" in refused.stderr
    assert postgres.execute("SELECT count(*) FROM apps", database=url.rpartition("/")[2]) == "0"
    await call_it("ab")
    assert db("copy", "--to", url, "--data-dir", str(tmp_path)).returncode == 0
    store = await open_store(url)
    assert await store.face_by_token(APP, token(0))
    await store.close()


async def test_migrate_makes_the_newest_schema(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    for _ in range(2):
        done = db("migrate", "--data-dir", str(tmp_path), FACE_DATABASE_URL=url)
        assert (done.returncode, migrate.head() in done.stdout) == (0, True), done.stderr
    said = postgres.execute("SELECT version_num FROM alembic_version", database=url.rpartition("/")[2])
    assert said == migrate.head()
    assert db("migrate", "--data-dir", str(tmp_path)).returncode == 0
    assert migrate.current(tmp_path / "faces.db") == migrate.head()


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("", "where to?"),
        ("mysql://u:secret-word@h/d", "postgresql://"),
        ("postgresql://u:secret-word/x@h/d", "percent-encoded"),
        ("{url}_missing", "does not exist"),
    ],
)
async def test_a_mistake_is_told_in_one_line(postgres: Postgres, tmp_path: Path, to: str, said: str) -> None:
    await (await open_store(tmp_path)).close()
    refused = db("copy", "--to", to.format(url=postgres.url()), "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert said in refused.stderr
    assert "secret-word" not in refused.stderr
    assert "Traceback" not in refused.stderr
