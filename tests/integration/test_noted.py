"""What is changed on the command line is in the audit log: by whom, what, and what became of it; never a secret."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from face_server.commands import admin, apps, backup, restore, seal
from face_server.commands.noted import noted
from face_server.commands.person import who
from tests.small_library import open_store

WORDS = {each.__name__.rpartition(".")[2]: each.app for each in (admin, apps, backup, restore, seal)}
KEYS = (bytes(range(32)), bytes(reversed(range(32))))


def shell(folder: Path, *words: str, typed: str = "", **settings: str) -> str:
    """What the command prints, and what it complains about."""
    done = CliRunner().invoke(WORDS[words[0]], [*words[1:], "--data-dir", str(folder)], input=typed, env=settings)
    return done.output


def lines(folder: Path) -> list[dict[str, Any]]:
    """The oldest first."""
    with closing(sqlite3.connect(folder / "faces.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM audit ORDER BY id")]


def test_every_change_has_its_line(tmp_path: Path) -> None:
    folder, begun = tmp_path / "data", time.time()
    secret = json.loads(shell(folder, "apps", "create", "gate", "--json"))["secret"]
    shell(folder, "apps", "create", "gate")  # it has a key already
    shell(folder, "apps", "rotate", "gate", "--overlap", "2")
    shell(folder, "apps", "retention", "gate")  # only tells
    shell(folder, "apps", "retention", "gate", "30")
    shell(folder, "apps", "gates", "gate")  # only tells
    shell(folder, "apps", "gates", "gate", "--set", "normal.blur=0.5")
    shell(folder, "apps", "gates", "gate", "--reset")
    shell(folder, "apps", "list")
    shell(folder, "admin", "password", "ann", "--role", "viewer", typed="a long enough one\n")
    shell(folder, "apps", "delete", "gate", "--yes")
    found = lines(folder)
    assert [(line["action"], line["app"], json.loads(line["target"]), line["outcome"]) for line in found] == [
        ("create_key", "gate", {}, "ok"),
        ("create_key", "gate", {}, "failed"),
        ("rotate_key", "gate", {"overlap_hours": "2"}, "ok"),
        ("set_retention", "gate", {"days": "30"}, "ok"),
        ("set_gates", "gate", {"own": "normal.blur=0.5"}, "ok"),
        ("set_gates", "gate", {"own": "reset"}, "ok"),
        ("set_password", "", {"name": "ann", "role": "viewer"}, "ok"),
        ("delete_app", "gate", {"groups": "0", "faces": "0"}, "ok"),
    ]
    me = who()
    assert {(line["name"], line["role"], line["source"]) for line in found} == {(me, "shell", "command line")}
    assert all(begun <= line["time"] <= time.time() for line in found)
    for word in (secret, "a long enough one"):
        assert not [path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


def test_a_backup_that_came_back_says_so(tmp_path: Path) -> None:
    shell(tmp_path / "data", "apps", "create", "gate")
    shell(tmp_path / "data", "backup", str(tmp_path / "backup"))
    shell(tmp_path / "back", "restore", str(tmp_path / "backup"))
    made, back = lines(tmp_path / "back")
    assert made == lines(tmp_path / "data")[0]
    taken = json.loads((tmp_path / "backup" / "manifest.json").read_text())["taken"]
    assert (back["action"], json.loads(back["target"]), back["outcome"]) == ("restore", {"taken": taken}, "ok")


def test_sealing_and_changing_keys(tmp_path: Path) -> None:
    folder, files = tmp_path / "data", [tmp_path / name for name in ("one.key", "other.key")]
    for path, key in zip(files, KEYS, strict=True):
        path.write_bytes(key)
    (tmp_path / "third.key").write_bytes(bytes([7]) * 32)
    shell(folder, "apps", "create", "gate")
    for words in (("seal",), ("seal", "--app", "gate"), ("seal", "--rotate", str(files[1]))):
        shell(folder, *words, FACE_KEY_FILE=str(files[0]))
    refused = shell(folder, "seal", "--rotate", str(files[0]), FACE_KEY_FILE=str(tmp_path / "one.key"))
    assert "face-server:" in refused, "the library has the other key by now"
    told = [(line["action"], line["app"], line["outcome"]) for line in lines(folder)[1:]]
    assert told == [
        ("seal", "", "ok"),
        ("seal", "gate", "ok"),
        ("rotate_key_file", "", "ok"),
        ("rotate_key_file", "", "failed"),
    ]


async def test_a_line_is_there_before_the_change_and_grows_with_it(tmp_path: Path) -> None:
    store = await open_store(tmp_path)

    async def newest() -> tuple[str, dict[str, str]]:
        (line,) = await store.audit.page(None, 1)
        return line.outcome, dict(line.target)

    async with noted(store.audit, "import", {"app": "a", "group": ""}) as told:
        assert await newest() == ("begun", {"app": "a"})
        told["imported"] = "7"
    assert await newest() == ("ok", {"app": "a", "imported": "7"})

    async def cut_off() -> None:
        async with noted(store.audit, "import", {"app": "a"}) as told:
            told["imported"] = "3"
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        await cut_off()
    assert await newest() == ("failed", {"app": "a", "imported": "3"})
    await store.close()
