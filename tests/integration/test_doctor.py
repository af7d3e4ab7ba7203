"""`face-server doctor` before broken installations: it names what is wrong, says what to do, and fails."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from face_server.checks.card import Libraries, Wheel, with_card, without_card
from face_server.checks.finding import State
from face_server.engine.driver import Card, Driver
from face_server.engine.fatbinary import Code
from scripts.load.server import ServerProcess
from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]
Findings = dict[str, dict[str, Any]]
CLOSED = 9  # a port that nothing listens on
EVERYTHING = {
    *("limits", "memory", "clock", "data folder", "disk", "database", "Redis"),
    *("driver", "CUDA", "cuDNN", "card", "models", "provider", "search"),
}


def ask(folder: Path, *, before: tuple[str, ...] = (), **settings: Any) -> tuple[int, Findings]:
    """The exit status and the findings; of two about the same thing the worse one."""
    given = {"FACE_DATA_DIR": folder, "FACE_DEVICE": "cpu"} | {f"FACE_{k.upper()}": v for k, v in settings.items()}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    done = subprocess.run(
        [*before, sys.executable, "-m", "face_server", "doctor", "--json"],
        env=environment | {name: str(value) for name, value in given.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "password-word" not in done.stdout + done.stderr
    found: Findings = {}
    for finding in json.loads(done.stdout):
        assert finding["do"] or finding["state"] != "wrong"
        if finding["state"] == "wrong" or finding["what"] not in found:
            found[finding["what"]] = finding
    return done.returncode, found


def wrongs(found: Findings) -> set[str]:
    return {what for what, finding in found.items() if finding["state"] == "wrong"}


def test_beside_a_running_server_nothing_is_wrong(server: ServerProcess) -> None:
    status, found = ask(server.data_dir)
    assert (status, wrongs(found)) == (0, set()), found
    assert set(found) == EVERYTHING
    assert "faces" in found["database"]["said"]
    assert "CPUExecutionProvider" in found["provider"]["said"]
    assert "two stages of Faiss on the CPU, no card is used" in found["search"]["said"]


def test_words_for_people(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    command = [sys.executable, "-m", "face_server", "doctor", "--data-dir", str(tmp_path)]
    settings = {"FACE_PACK": str(tmp_path / "none")}
    done = subprocess.run(command, env=environment | settings, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "models       wrong  no pack in" in done.stdout
    assert "->  face-server models list" in done.stdout
    assert "1 wrong" in done.stdout


@pytest.mark.parametrize(
    ("settings", "state", "said"),
    [
        ({"GALLERY_ENGINE": "faiss"}, "wrong", "FACE_GALLERY_ENGINE is faiss, which cannot be used"),
        ({"GALLERY_ENGINE": "cpu"}, "ok", "FACE_GALLERY_ENGINE says so"),
        ({"INDEX": "milvus", "MILVUS_URL": "faces.db"}, "ok", "Milvus"),
    ],
)
def test_which_engine_searches_and_why(tmp_path: Path, settings: dict[str, Any], state: str, said: str) -> None:
    _, found = ask(tmp_path, **settings)
    assert found["search"]["state"] == state
    assert said in found["search"]["said"]


def cut(folder: Path) -> None:
    file = folder / "detect.onnx"
    file.write_bytes(file.read_bytes()[:-1000])


def changed(folder: Path) -> None:
    file = folder / "embed.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (cut, "detect.onnx: sha256 is"),
        (changed, "embed.onnx: sha256 is"),
        (lambda folder: (folder / "pack.toml").unlink(), "pack.toml is missing"),
        (lambda folder: (folder / "landmarks.onnx").unlink(), "landmarks.onnx is missing"),
    ],
    ids=["cut", "changed", "no manifest", "no file"],
)
def test_bad_model_files(tmp_path: Path, harm: Callable[[Path], None], said: str) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(ROOT / "models" / "builtin", pack)
    harm(pack)
    status, found = ask(tmp_path / "data", pack=pack)
    assert status == 1
    assert wrongs(found) == {"models"}
    assert said in found["models"]["said"]


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    status, found = ask(tmp_path / "data")
    assert status == 1
    assert "is a file" in found["data folder"]["said"]


@pytest.mark.parametrize(
    ("prepare", "wrong"),
    [
        ("mount -t tmpfs -o size=64k tmpfs {0} && head -c 65536 /dev/zero > {0}/full", {"data folder", "disk"}),
        ("mount -t tmpfs -o size=600m tmpfs {0} && mount -o remount,ro {0}", {"data folder"}),
    ],
    ids=["full", "read-only"],
)
def test_a_data_folder_that_takes_nothing(tmp_path: Path, prepare: str, wrong: set[str]) -> None:
    own = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    script = prepare.format(tmp_path)
    if subprocess.run([*own, script], capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace of its own")
    status, found = ask(tmp_path, before=(*own, f'{script} && exec "$@"', "sh"))
    assert status == 1
    assert wrongs(found) == wrong, found


def test_a_damaged_database(tmp_path: Path) -> None:
    (tmp_path / "faces.db").write_bytes(b"no database" * 1000)
    status, found = ask(tmp_path)
    assert status == 1
    assert "cannot be read" in found["database"]["said"]


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "faces.db")) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("CREATE TABLE faces (id INTEGER)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    status, found = ask(tmp_path)
    assert status == 1
    assert "newer than this program" in found["database"]["said"]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"database_url": f"postgresql://user:password-word@127.0.0.1:{CLOSED}/faces"}, "database"),
        ({"redis_url": f"redis://user:password-word@127.0.0.1:{CLOSED}/0"}, "Redis"),
        ({"redis_url": "redis://no-such-host.invalid"}, "Redis"),
    ],
    ids=["database", "Redis", "name of Redis"],
)
def test_what_cannot_be_reached(tmp_path: Path, settings: dict[str, Any], what: str) -> None:
    status, found = ask(tmp_path, **settings)
    assert status == 1
    assert wrongs(found) == {what}
    assert "does not answer" in found[what]["said"]


def test_a_postgres_without_schema_is_only_a_note(postgres: Postgres, tmp_path: Path) -> None:
    status, found = ask(tmp_path, database_url=postgres.new_database())
    assert status == 0, found
    assert found["database"]["state"] == "note"
    assert "not made yet" in found["database"]["said"]


def test_few_open_files(tmp_path: Path) -> None:
    low = ("sh", "-c", 'ulimit -n 256 && exec "$@"', "sh")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
    status, found = ask(tmp_path, before=low)
    assert status == 1
    assert wrongs(found) == {"limits"}
    assert "256 open files" in found["limits"]["said"]


@pytest.mark.parametrize(
    ("settings", "what", "said"),
    [
        ({"time_zone": "Mars/Olympus"}, "clock", "no time zone"),
        ({"lanes": "many"}, "settings", "FACE_LANES"),
        ({"laness": "1"}, "settings", "unknown setting"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, Any], what: str, said: str) -> None:
    status, found = ask(tmp_path, **settings)
    assert status == 1
    assert wrongs(found) == {what}
    assert said in found[what]["said"]


def test_a_card_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    status, found = ask(tmp_path, device="cuda")
    assert status == 1
    assert {"CUDA", "provider"} <= wrongs(found) or found["driver"]["state"] == "ok"


P4, T4, H100 = Card("P4", 61, 7611), Card("T4", 75, 15102), Card("H100", 90, 81079)
OLD_LINE = {Code(60, False), Code(70, False), Code(75, False), Code(90, False), Code(90, True)}
NEW_LINE = {Code(75, False), Code(80, False), Code(90, False), Code(120, True)}
GOOD = Libraries(cuda=True, cudnn=(9, 10, 2))


def wheel(cuda: int, codes: set[Code]) -> Wheel:
    return Wheel("1.26.0", cuda, lambda: codes)


@pytest.mark.parametrize(
    ("installed", "driver", "libraries", "number", "wrong"),
    [
        (wheel(12, OLD_LINE), Driver((12, 4), (P4,)), GOOD, 0, set()),
        (wheel(12, OLD_LINE), Driver((13, 0), (T4, H100)), Libraries(True, (9, 28, 0)), 1, set()),
        (wheel(12, OLD_LINE), Driver((12, 4), (P4,)), Libraries(True, (9, 11, 0)), 0, {"cuDNN"}),
        (wheel(13, NEW_LINE), Driver((13, 0), (P4,)), GOOD, 0, {"card"}),
        (wheel(13, NEW_LINE), Driver((12, 8), (T4,)), GOOD, 0, {"CUDA"}),
        (wheel(12, OLD_LINE), Driver((12, 4), (T4,)), Libraries(False, None), 0, {"CUDA", "cuDNN"}),
        (wheel(0, set()), Driver((12, 4), (T4,)), GOOD, 0, {"CUDA", "card"}),
        (wheel(12, OLD_LINE), None, GOOD, 0, {"driver"}),
        (wheel(12, OLD_LINE), Driver((12, 4), (), failure=803), GOOD, 0, {"driver"}),
        (wheel(12, OLD_LINE), Driver((12, 4), (T4,)), GOOD, 1, {"driver"}),
    ],
)
def test_what_is_said_about_cards(
    installed: Wheel, driver: Driver | None, libraries: Libraries, number: int, wrong: set[str]
) -> None:
    found = list(with_card(installed, driver, libraries, number))
    assert {finding.what for finding in found if finding.state is State.WRONG} == wrong
    assert all(finding.do for finding in found if finding.state is State.WRONG)


def test_a_card_that_is_not_used_is_mentioned() -> None:
    found = next(without_card(wheel(0, set()), Driver((12, 4), (T4,)), "auto"))
    assert (found.state, "T4 is here and not used" in found.said) == (State.NOTE, True)
