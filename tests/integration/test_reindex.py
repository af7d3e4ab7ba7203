"""A change of the pack: new templates out of stored pictures, by the command, beside a server and after a kill."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from face_server.commands.reindex import app
from face_server.store.rows import FaceRow, NewFace
from face_server.store.store import Store
from face_server.vision.packs import BUILTIN, Pack
from scripts.load.server import ServerProcess, serving
from tests import other_pack
from tests.admin_client import Console
from tests.baidu_client import jpeg, pixels, variant
from tests.portraits import portrait_of
from tests.small_library import rows_of

SAME = 0.985  # cosine of two templates of one face, of which one was made from its cut-out: a JPEG of a part
CROWD = 150


@dataclass(frozen=True)
class Home:
    folder: Path
    pack: Pack
    portrait: bytes

    def run(self, *words: str, pack: str = "", **settings: object) -> Result:
        """In this process, which has everything imported already."""
        others = {name: None for name in os.environ if name.startswith("FACE_")}
        return CliRunner().invoke(app, words, env={**others, **self.settings(pack, **settings)})

    def reindex(self, *words: str, pack: str = "", **settings: object) -> dict[str, Any]:
        done = self.run(*words, "--json", pack=pack, **settings)
        assert done.exit_code in (0, 1), done.stderr
        summary: dict[str, Any] = json.loads(done.stdout)
        assert (done.exit_code == 1) == bool(summary["left"])
        return summary

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "face_server", "reindex", *words]

    def settings(self, pack: str = "", **settings: object) -> dict[str, str]:
        own = {"data_dir": self.folder, "pack": pack or self.pack.folder, **settings}
        return {f"FACE_{name.upper()}": str(value) for name, value in own.items()}

    def rows(self) -> dict[str, FaceRow]:
        return {row.user: row for row in asyncio.run(_rows(self.folder))}

    def vector(self, user: str) -> np.ndarray[Any, Any]:
        return np.frombuffer(self.rows()[user].template, np.float16).astype(np.float32)


async def _rows(folder: Path) -> list[FaceRow]:
    store = Store(folder / "faces.db")
    await store.open()
    try:
        return [row for app in await store.apps() for row in await rows_of(store, app)]
    finally:
        await store.close()


@pytest.fixture(autouse=True)
def _as_quick_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command makes itself nice, which the process of the tests cannot take back."""
    monkeypatch.setattr(os, "nice", lambda _: 0)


@pytest.fixture
def home(tmp_path: Path, astronaut: bytes) -> Home:
    return Home(tmp_path / "data", other_pack.turned(tmp_path / "turned"), portrait_of(astronaut))


def register(server: ServerProcess, user: str, picture: bytes, group: str = "staff") -> int:
    with Console(server.url) as console:
        query = {"app": "default", "group": group, "user": user}
        return int(console.ask("POST", "/faces", 201, params=query, content=picture)["face_id"])


def found(server: ServerProcess, picture: bytes, group: str = "staff") -> set[str]:
    """Who is found by a picture, however little alike."""
    with Console(server.url) as console:
        query = {"app": "default", "group": group, "threshold": 0, "most": 50}
        answer = console.ask("POST", "/search", params=query, content=picture)
    return {one["user"] for one in answer["faces"][0]["candidates"]}


def refused(server: ServerProcess, picture: bytes) -> str:
    with Console(server.url) as console:
        answer = console.post("/search", params={"app": "default", "group": "staff"}, content=picture)
    return str(answer.json()["error"]["code"]) if answer.status_code >= 400 else ""


def spoil(home: Home, user: str) -> None:
    """What is kept of this face shows none."""
    grey = cv2.imencode(".jpg", np.full((200, 200, 3), 127, np.uint8))[1].tobytes()
    key = home.rows()[user].picture
    (home.folder / "pictures" / key[:2] / key).write_bytes(grey)


def test_a_new_pack_finds_everybody_again(home: Home) -> None:
    with serving(home.folder) as server:
        for number, user in enumerate(("anna", "bert", "carl", "dora")):
            register(server, user, home.portrait if user == "anna" else variant(home.portrait, number + 1))
    spoil(home, "carl")
    forget_picture(home, "dora")
    before = {user: home.vector(user) for user in home.rows()}
    with serving(home.folder, pack=home.pack.folder) as server:
        assert refused(server, home.portrait) == "other_model"
        done = home.reindex()
        assert (done["faces"], done["renewed"]) == (4, 2)
        assert done["left"] == {"not_stored": 1, "no_face": 1}
        with Path(done["report"]).open(newline="") as stream:
            listed = {(row["user"], row["reason"]) for row in csv.DictReader(stream)}
        assert listed == {("dora", "not_stored"), ("carl", "no_face")}
        assert found(server, home.portrait) == {"anna", "bert"}, "the others would be compared with another model's"
        assert others(server, *before) == {"carl", "dora"}
        register(server, "anew", home.portrait, "fresh")
        assert float(home.vector("anna") @ home.vector("anew")) > SAME
        assert all((home.vector(user) == before[user]).all() for user in ("carl", "dora"))
        assert not (home.vector("anna") == before["anna"]).all()
        again = home.reindex("--app", "default", "--group", "staff")
        assert (again["faces"], again["renewed"]) == (2, 0)
    assert home.reindex(pack=BUILTIN)["renewed"] == 3, "back: anna, bert and who came meanwhile"
    assert not Path(done["report"]).exists(), "nobody is left"
    with serving(home.folder) as server:
        assert found(server, home.portrait) == {"anna", "bert", "carl", "dora"}
        assert others(server, *before) == set()


def test_a_whole_picture_gives_the_same_template(home: Home) -> None:
    with serving(home.folder, store_pictures="picture") as server:
        register(server, "anna", home.portrait)
    assert home.reindex()["renewed"] == 1
    with serving(home.folder, pack=home.pack.folder) as server:
        register(server, "anew", home.portrait, "fresh")
    assert (home.vector("anna") == home.vector("anew")).all()


@pytest.mark.parametrize("sealed", [False, True])
def test_a_pack_with_longer_templates(tmp_path: Path, astronaut: bytes, sealed: bool) -> None:
    home = Home(tmp_path / "data", other_pack.tiny(tmp_path / "tiny"), portrait_of(astronaut))
    settings: dict[str, Any] = {}
    if sealed:
        settings["key_file"] = key = tmp_path / "key"
        key.write_bytes(os.urandom(32))
        key.chmod(0o600)
    with serving(home.folder, **settings) as server:
        register(server, "anna", home.portrait)
    assert home.reindex("--app", "default", "--group", "staff", **settings)["renewed"] == 1
    with serving(home.folder, pack=home.pack.folder, **settings) as server:
        assert found(server, home.portrait) == {"anna"}


@pytest.mark.parametrize(
    ("words", "told"), [(("--group", "staff"), "--app"), (("--app", "nobody"), "no app"), (("--report",), "report")]
)
def test_what_cannot_be_done(home: Home, words: tuple[str, ...], told: str) -> None:
    done = home.run(*words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_what_is_killed_goes_on(home: Home) -> None:
    with serving(home.folder) as server:
        register(server, "u0", jpeg(cv2.resize(pixels(home.portrait), None, fx=0.4, fy=0.4)))
    asyncio.run(_copies(home.folder))
    old = home.vector("u0")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FACE_")}
    words = [sys.executable, "-m", "face_server", "reindex"]
    process = subprocess.Popen(words, env=inherited | home.settings())
    while not 0 < renewed(home) < CROWD:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    part = renewed(home)
    assert 0 < part < CROWD
    for row in home.rows().values():
        template = np.frombuffer(row.template, np.float16).astype(np.float32)
        assert (row.embedding_id == home.pack.embedding_id) != bool((template == old).all())
    done = home.reindex()
    assert (done["faces"], done["renewed"]) == (CROWD - part, CROWD - part)
    assert renewed(home) == CROWD


async def _copies(folder: Path) -> None:
    """Many faces that share one stored picture."""
    store = Store(folder / "faces.db")
    await store.open()
    row = (await rows_of(store, "default"))[0]
    model = row.embedding_id
    await asyncio.gather(
        *(
            store.enroll("default", "staff", f"u{n}", NewFace(f"{n:032x}", row.template, row.spot, row.picture), model)
            for n in range(1, CROWD)
        )
    )
    await store.close()


def renewed(home: Home) -> int:
    query = "SELECT count(*) FROM faces WHERE embedding_id = ?"
    return int(sql(home, query, home.pack.embedding_id)[0][0])


def forget_picture(home: Home, user: str) -> None:
    """As where the operator kept none when this face came."""
    sql(home, "UPDATE faces SET picture = '' WHERE user_id = (SELECT id FROM users WHERE name = ?)", user)


def sql(home: Home, statement: str, *values: str) -> list[Any]:
    connection = sqlite3.connect(home.folder / "faces.db", timeout=30)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def others(server: ServerProcess, *users: str) -> set[str]:
    """Whose face is told to be of another pack."""
    where = {"app": "default", "group": "staff"}
    with Console(server.url) as console:
        return {
            user
            for user in users
            if console.ask("GET", "/faces", params=where | {"user": user})["items"][0]["other_model"]
        }
