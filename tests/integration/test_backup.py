"""`face-server backup` and `restore`: one instant of a library that is being written to, or nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from face_server.store import migrate
from scripts.load.server import serving
from tests.baidu_client import Baidu, image, variant
from tests.postgres import Postgres

FACES = "SELECT picture FROM faces"


def command(word: str, *arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    return subprocess.run(
        [sys.executable, "-m", "face_server", word, *map(str, arguments)],
        env=inherited | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def pictures_of(folder: Path) -> set[str]:
    return {path.name for path in (folder / "pictures").glob("??/*")}


def named_in(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "faces.db")) as connection:
        return {key for (key,) in connection.execute(FACES)}


def test_of_a_server_that_is_written_to(tmp_path: Path, astronaut: bytes) -> None:
    """Rows and pictures of every backup fit, whatever comes and goes meanwhile; and what was acknowledged before it
    began is in it."""
    pictures = [variant(astronaut, number) for number in range(6)]
    ended = threading.Event()
    answers: list[int] = []
    with serving(tmp_path / "data") as server:
        baidu = Baidu(server.url, "backup")
        assert baidu("face/add", **image(pictures[0]), group_id="g", user_id="first").code == 0

        def write() -> None:
            own = Baidu(server.url, "backup")
            for number in range(1000):
                if ended.is_set():
                    return
                user = f"u{number % 7}"
                answers.append(own("face/add", **image(pictures[number % 6]), group_id="g", user_id=user).code)
                if number % 3 == 2:
                    answers.append(own("user/delete", group_id="g", user_id=user).code)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(3):
                target = tmp_path / f"backup-{number}"
                done = command("backup", target, "--data-dir", tmp_path / "data")
                assert done.returncode == 0, done.stderr
                assert "missing" not in done.stderr
        finally:
            ended.set()
            writer.join()
    assert answers.count(0) > 5
    for number in range(3):
        target, back = tmp_path / f"backup-{number}", tmp_path / f"back-{number}"
        assert pictures_of(target) == named_in(target)
        done = command("restore", target, "--data-dir", back)
        assert done.returncode == 0, done.stderr
        assert (pictures_of(back), named_in(back)) == (pictures_of(target), named_in(target))
    assert not list((tmp_path / "data").glob("backup-*"))
    with serving(tmp_path / "back-2") as server:
        answer = Baidu(server.url, "backup")("face/identify", **image(pictures[0]), group_id_list="g", max_user_num=20)
        assert "first" in {user["user_id"] for user in answer.result["user_list"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small backup that needed no server."""
    root = tmp_path_factory.mktemp("backup")
    data = root / "data"
    migrate.to_head(data / "faces.db")
    key = "ab" * 16
    (data / "pictures" / "ab").mkdir(parents=True)
    (data / "pictures" / "ab" / key).write_bytes(b"a picture")
    (data / "pictures" / "ab" / ("ab" * 15 + "cd")).write_bytes(b"nobody's")
    with closing(sqlite3.connect(data / "faces.db")) as connection, connection:
        connection.execute("INSERT INTO apps (name, seq, forgotten, embedding_id, created) VALUES ('a', 1, 0, 'm', 0)")
        connection.execute(
            "INSERT INTO groups (app_id, name, state, meta, created, updated) VALUES (1, 'g', 'active', '{}', 0, 0)"
        )
        connection.execute(
            "INSERT INTO users (group_id, name, info, meta, created, updated) VALUES (1, 'u', '', '{}', 0, 0)"
        )
        connection.execute(
            "INSERT INTO faces (app_id, group_id, user_id, token, template, spot, picture, meta, created)"
            " VALUES (1, 1, 1, 't', x'00', x'00', ?, '{}', 0)",
            (key,),
        )
    settings = {"FACE_AUTH": "apps", "FACE_REDIS_URL": "redis://:password-word@127.0.0.1/0"}
    done = command("backup", root / "backup", "--data-dir", data, **settings)
    assert done.returncode == 0, done.stderr
    assert "1 faces of 1 users and 1 pictures" in done.stdout
    return root / "backup"


def copy_of(whole: Path, target: Path) -> Path:
    subprocess.run(["cp", "-r", whole, target], check=True)
    return target


def test_what_is_in_it(whole: Path) -> None:
    assert json.loads((whole / "settings.json").read_text())["auth"] == "apps"
    assert not any(b"password-word" in path.read_bytes() for path in whole.rglob("*") if path.is_file())
    subprocess.run(["sha256sum", "--check", "--quiet", "sha256sums"], cwd=whole, check=True)
    assert pictures_of(whole) == {"ab" * 16}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("rm manifest.json", "is no backup"),
        ("echo >> sha256sums", "was changed"),
        ("rm pictures/ab/*", "is missing"),
        ("echo x >> pictures/ab/$(ls pictures/ab)", "is not what it was"),
        ("printf x | dd of=faces.db bs=1 seek=5000 conv=notrunc", "faces.db is not what it was"),
        ("touch extra", "extra was not part of it"),
    ],
)
def test_a_damaged_backup_touches_nothing(whole: Path, tmp_path: Path, harm: str, said: str) -> None:
    damaged = copy_of(whole, tmp_path / "damaged")
    subprocess.run(["sh", "-c", harm], cwd=damaged, check=True, capture_output=True)
    done = command("restore", damaged, "--data-dir", tmp_path / "back")
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "back").exists()


def test_a_folder_in_use_is_replaced_only_by_force(whole: Path, tmp_path: Path) -> None:
    back = tmp_path / "back"
    (back / "pictures" / "zz").mkdir(parents=True)
    (back / "pictures" / "zz" / "old").write_bytes(b"")
    (back / "models").mkdir()
    refused = command("restore", whole, "--data-dir", back)
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    assert pictures_of(back) == {"old"}
    assert command("restore", whole, "--data-dir", back, "--force").returncode == 0
    assert pictures_of(back) == {"ab" * 16}
    assert (back / "models").is_dir()


def test_not_under_a_running_server(whole: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "data"):
        refused = command("restore", whole, "--data-dir", tmp_path / "data", "--force")
    assert (refused.returncode, "stop it" in refused.stderr) == (1, True)


def test_a_backup_is_never_written_over_another(whole: Path, tmp_path: Path) -> None:
    done = command("backup", whole, "--data-dir", tmp_path)
    assert (done.returncode, "is there already" in done.stderr) == (1, True)


def test_postgres_comes_back(postgres: Postgres, tmp_path: Path) -> None:
    url, other = postgres.migrated_database(), postgres.new_database()
    done = command("backup", tmp_path / "b", "--data-dir", tmp_path / "data", FACE_DATABASE_URL=url)
    if "server version" in done.stderr or "not installed" in done.stderr:
        pytest.skip(f"needs a pg_dump that fits the server: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    back = ("restore", tmp_path / "b", "--data-dir", tmp_path / "back")
    done = command(*back, FACE_DATABASE_URL=other)
    assert done.returncode == 0, done.stderr
    refused = command(*back, FACE_DATABASE_URL=url)
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    assert command(*back, "--force", FACE_DATABASE_URL=other).returncode == 0


def test_postgres_without_its_programs_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.migrated_database()
    done = command("backup", tmp_path / "b", "--data-dir", tmp_path, FACE_DATABASE_URL=url, PATH="/nowhere")
    assert (done.returncode, "pg_dump is not installed" in done.stderr) == (1, True)
    assert not (tmp_path / "b").exists()
