"""Import and export as commands on a real data folder: nothing lost, nothing twice, and every refusal told."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from face_server.cli import app
from face_server.transfer import deployment
from face_server.transfer.deployment import Deployment, Pictures, from_deployment
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import NOBODY, Baidu, image, jpeg, pixels, token, variant

DOCS = Path(__file__).parents[2] / "docs"


def environment(data: Path, **settings: object) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")}
    return inherited | {f"FACE_{name.upper()}": str(value) for name, value in {"data_dir": data, **settings}.items()}


def process(data: Path, *words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "face_server", *map(str, words)], env=environment(data))


def run(data: Path, *words: object, cwd: Path = DOCS, **settings: object) -> Result:
    """The command in this process, which has everything imported already."""
    env = dict.fromkeys(os.environ) | environment(data, **settings)
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, [str(word) for word in words], env=env)


def imported(data: Path, *words: object, status: int = 0, **settings: Any) -> dict[str, Any]:
    done = run(data, "import", *words, "--json", **settings)
    assert done.exit_code == status, done.stderr
    return dict(json.loads(done.stdout))


def faces(data: Path, app: str = "default") -> list[tuple[Any, ...]]:
    """group, user, info, token and template of every face, in order of registration."""
    query = """SELECT g.name, u.name, u.info, f.token, f.template FROM faces f JOIN users u ON u.id = f.user_id
        JOIN groups g ON g.id = f.group_id JOIN apps a ON a.id = f.app_id WHERE a.name = ? ORDER BY f.id"""
    connection = sqlite3.connect(data / "faces.db")
    try:
        return connection.execute(query, (app,)).fetchall()
    finally:
        connection.close()


def people(data: Path, app: str = "default") -> list[tuple[str, str, str, str]]:
    return sorted(face[:4] for face in faces(data, app))


def write(file: Path, data: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


@pytest.fixture
def source(tmp_path: Path, astronaut: bytes) -> Path:
    folder = tmp_path / "people"
    for number, place in enumerate(("staff/alice/1", "staff/alice/2", "staff/bob/1", "guests/carol/1")):
        write(folder / f"{place}.jpg", variant(astronaut, number))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def refusals(file: Path) -> list[tuple[str, str, str]]:
    with file.open(newline="") as stream:
        return [(row["user"], Path(row["file"]).name, row["code"]) for row in csv.DictReader(stream)]


def test_folder_is_imported_once(source: Path, data: Path) -> None:
    first = imported(data, source)
    assert (first["imported"], first["refused"], first["report"]) == (4, 0, None)
    before = faces(data)
    assert [face[:2] for face in before if face[1] == "alice"] == [("staff", "alice")] * 2
    again = imported(data, source)
    assert (again["imported"], again["skipped"]) == (0, 4)
    anew = imported(data, source, "--again")
    assert (anew["imported"], anew["already_there"]) == (0, 4)
    assert faces(data) == before


def test_a_picture_that_changed_or_was_removed_comes_again(source: Path, data: Path, astronaut: bytes) -> None:
    imported(data, source)
    write(source / "staff/bob/1.jpg", variant(astronaut, 7))
    (carol,) = [face[3] for face in faces(data) if face[1] == "carol"]
    with serving(data) as server:
        Baidu(server.url, "default")("face/delete", group_id="guests", user_id="carol", face_token=carol).result  # noqa: B018
    done = imported(data, source)
    assert (done["imported"], done["skipped"]) == (2, 2)
    assert sorted(face[1] for face in faces(data)) == ["alice", "alice", "bob", "bob", "carol"]


def test_refused_pictures_are_told_with_their_reasons(
    source: Path, data: Path, tmp_path: Path, astronaut: bytes
) -> None:
    write(source / "staff/bob/nobody.png", NOBODY)
    write(source / "staff/bob/notes.jpg", b"this is a text")
    write(source / "staff/dave/same.jpg", (source / "staff/alice/1.jpg").read_bytes())
    write(source / "staff/erin/blurred.jpg", jpeg(cv2.GaussianBlur(pixels(astronaut), (0, 0), 5)))
    write(source / "lonely.jpg", astronaut)
    write(source / "staff/bob/.hidden.jpg", b"")
    report = tmp_path / "refused.csv"
    done = imported(data, source, "--quality", "normal", "--report", report, status=1)
    assert done["imported"] == 4
    assert done["refused"] == 5
    assert sorted(refusals(report)) == [
        ("", "lonely.jpg", "no_user"),
        ("bob", "nobody.png", "no_face"),
        ("bob", "notes.jpg", "bad_picture"),
        ("dave", "same.jpg", "face_exists"),
        ("erin", "blurred.jpg", "quality_refused"),
    ]
    assert {face[1] for face in faces(data)} == {"alice", "bob", "carol"}


def test_table_with_infos(source: Path, data: Path, tmp_path: Path) -> None:
    table = tmp_path / "staff.csv"
    rows = ["group,user,file,info", 'g,ann,people/staff/alice/1.jpg,"Ann, née B"', "g,ben,people/staff/bob/1.jpg,"]
    table.write_text("\n".join([*rows, "g,eve,people/none.jpg,gone", "g,,people/staff/bob/1.jpg,", "empty,,,"]))
    done = imported(data, table, "--app", "demo", status=1)
    assert (done["imported"], done["refused"]) == (2, 2)
    assert sorted(refusals(Path(done["report"]))) == [("", "1.jpg", "bad_name"), ("eve", "none.jpg", "bad_picture")]
    assert [face[:3] for face in people(data, "demo")] == [("g", "ann", "Ann, née B"), ("g", "ben", "")]
    with serving(data) as server:
        assert sorted(Baidu(server.url, "demo")("group/list").result["group_id_list"]) == ["empty", "g"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere",), "no such folder"),
        ((), "nothing to import"),
        (("--from-url", "http://127.0.0.1:1/face-api"), "--pictures"),
        (("--from-url", "http://127.0.0.1:1/face-api", "--pictures", "."), "cannot be asked"),
        (("--from-url", "file:///etc", "--pictures", "."), "http://"),
        (("bad.csv",), "no column user, file"),
        (("broken",), "not a file of features"),
        (("bad.csv", "--quality", "best"), "best"),
    ],
)
def test_what_cannot_run_says_why(words: tuple[str, ...], told: str, data: Path, tmp_path: Path) -> None:
    write(tmp_path / "bad.csv", b"group,name\n")
    write(tmp_path / "broken/people.csv", b"group,user,file\n")
    write(tmp_path / "broken/features.npz", b"PK\3\4")
    done = run(data, "import", *words, cwd=tmp_path)
    assert done.exit_code == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def lights(folder: Path, astronaut: bytes, count: int) -> None:
    part = pixels(astronaut)[0:300, 80:380]
    for number in range(count):
        lit = np.clip(part * (0.8 + 0.4 * number / count) + number % 7, 0, 255).astype(np.uint8)
        write(folder / "g" / f"u{number}" / "p.jpg", jpeg(lit))


def test_kill_in_the_middle(tmp_path: Path, data: Path, astronaut: bytes) -> None:
    count, enough = 100, 10
    lights(tmp_path / "many", astronaut, count)
    victim = process(data, "import", tmp_path / "many")
    journal: list[bytes] = []
    until = time.monotonic() + 60
    while len(journal) < enough and time.monotonic() < until:
        assert victim.poll() is None, "the import ended before it could be killed"
        journal = [line for file in (data / "imports").glob("*.journal") for line in file.read_bytes().splitlines()]
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    acknowledged = {line.split()[1].decode() for line in journal}
    there = {face[3] for face in faces(data)}
    assert acknowledged <= there
    assert len(there) < count
    done = imported(data, tmp_path / "many")
    assert done["skipped"] >= enough
    assert done["skipped"] + done["already_there"] + done["imported"] == count
    assert done["imported"] == count - len(there)
    after = faces(data)
    assert len({face[1] for face in after}) == len({face[3] for face in after}) == len(after) == count
    assert there <= {face[3] for face in after}


def test_beside_a_running_server(source: Path, data: Path, astronaut: bytes) -> None:
    with serving(data) as server:
        call = Baidu(server.url, "default")
        other = variant(astronaut, 9)
        call("face/add", **image(other), group_id="staff", user_id="before").result  # noqa: B018
        assert (
            call("face/identify", **image(other), group_id_list="staff").result["user_list"][0]["user_id"] == "before"
        )
        assert process(data, "import", source).wait(60) == 0
        picture = (source / "staff/bob/1.jpg").read_bytes()
        found = call("face/identify", **image(picture), group_id_list="staff", max_user_num=3).result
        assert found["user_list"][0]["user_id"] == "bob"
        assert found["user_list"][0]["score"] > 99
        assert {user["user_id"] for user in found["user_list"]} == {"before", "alice", "bob"}
        stored = call("face/list", group_id="staff", user_id="bob").result["face_list"][0]["face_token"]
        assert call("face/detect", **token(stored), face_field="quality").result["face_num"] == 1


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, astronaut: bytes) -> Any:
    """Another deployment with people, and its operator's pictures."""
    folder = tmp_path_factory.mktemp("old")
    with serving(folder / "data") as server:
        call, tokens = Baidu(server.url, "demo"), {}
        for number, (group, user) in enumerate(
            [*(("big", f"u{n}") for n in range(5)), ("small", "u0"), ("small", "none")]
        ):
            body = {
                **image(variant(astronaut, number)),
                "group_id": group,
                "user_id": user,
                "user_info": f"{group} {user}",
            }
            tokens[group, user] = call("face/add", **body).result["face_token"]
        call("group/add", group_id="empty").result  # noqa: B018
        places = [
            "big/u0/any.jpg",
            "big/u1.jpg",
            "u2/any.jpg",
            "u3.jpg",
            f"{tokens['big', 'u4']}.jpg",
            "small/u0/any.jpg",
        ]
        for number, place in enumerate(places):
            write(folder / "pictures" / place, variant(astronaut, number))
        yield server, folder / "pictures", tokens


def test_other_deployment(old: tuple[ServerProcess, Path, dict[tuple[str, str], str]], data: Path) -> None:
    server, pictures, tokens = old
    words = ("--from-url", f"{server.url}/face-api", "--from-app", "demo", "--app", "moved", "--pictures", pictures)
    done = imported(data, *words, status=1)
    assert (done["imported"], done["refused"]) == (6, 1)
    assert refusals(Path(done["report"])) == [("none", "", "no_picture")]
    wanted = [(*key, " ".join(key), value) for key, value in tokens.items() if key != ("small", "none")]
    assert people(data, "moved") == sorted(wanted)
    assert imported(data, *words, status=1)["skipped"] == 6


def test_a_picture_named_by_a_token_keeps_it(
    old: tuple[ServerProcess, Path, dict[tuple[str, str], str]], data: Path, tmp_path: Path, astronaut: bytes
) -> None:
    server, _, tokens = old
    name = tokens["big", "u3"]
    write(tmp_path / "mine" / f"{name}.jpg", variant(astronaut, 11))
    words = ("--from-url", f"{server.url}/face-api/v3", "--app", "demo", "--pictures", tmp_path / "mine")
    assert imported(data, *words, status=1)["imported"] == 1
    assert people(data, "demo") == [("big", "u3", "big u3", name)]


def test_deployment_is_walked_page_by_page(
    old: tuple[ServerProcess, Path, dict[tuple[str, str], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, pictures, _ = old
    monkeypatch.setattr(deployment, "PAGE", 2)
    plan = from_deployment(Deployment(f"{server.url}/face-api/", "demo"), Pictures(pictures))
    assert plan.groups == ["big", "small", "empty"]
    assert [(item.group, item.user) for item in plan.items] == [*(("big", f"u{n}") for n in range(5)), ("small", "u0")]
    assert [item.file.relative_to(pictures).as_posix() for item in plan.items if item.file][:4] == [
        "big/u0/any.jpg",
        "big/u1.jpg",
        "u2/any.jpg",
        "u3.jpg",
    ]


def test_round_trip_with_pictures(source: Path, data: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.csv"
    rows = ["group,user,file,info", '../up,"a/b: *",people/staff/bob/1.jpg,"two\nlines, ""quoted"""']
    odd.write_text("\n".join(rows))
    imported(data, source)
    imported(data, odd)
    out = tmp_path / "out"
    done = run(data, "export", out, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["faces"] == 5
    assert {path.parent.parent.parent for path in out.rglob("*.jpg")} == {out}
    assert not (tmp_path / "up").exists()
    assert out.stat().st_mode & 0o77 == 0
    with (out / "people.csv").open(newline="") as stream:
        table = [row for row in csv.DictReader(stream) if row["user"]]
    assert all(row["created"] and row["updated"] and not row["reason"] for row in table)
    assert all(Path(row["file"]).stem == row["face_token"] for row in table)
    copy = tmp_path / "copy"
    assert imported(copy, out)["imported"] == 5
    assert people(copy) == people(data)
    assert run(data, "export", out).exit_code == 2
    assert run(data, "export", out, "--overwrite").exit_code == 0
    assert run(data, "export", tmp_path / "none", "--app", "nobody").exit_code == 2


def test_round_trip_without_pictures(source: Path, data: Path, tmp_path: Path) -> None:
    imported(data, source, store_pictures="none")
    bare, full = tmp_path / "bare", tmp_path / "full"
    assert run(data, "export", bare).exit_code == 0
    assert run(data, "export", full, "--templates").exit_code == 0
    with (bare / "people.csv").open(newline="") as stream:
        assert {row["reason"] for row in csv.DictReader(stream) if row["user"]} == {"not_stored"}
    refused = imported(tmp_path / "copy", bare, status=1)
    assert {code for _, _, code in refusals(Path(refused["report"]))} == {"picture_gone"}
    done = imported(tmp_path / "copy", full)
    assert done["imported"] == 4
    assert sorted(faces(tmp_path / "copy")) == sorted(faces(data))
    assert imported(tmp_path / "copy", full, "--again")["already_there"] == 4
    with serving(tmp_path / "copy") as server:
        picture = (source / "guests/carol/1.jpg").read_bytes()
        found = Baidu(server.url, "default")("face/identify", **image(picture), group_id_list="guests").result
        assert found["user_list"][0]["user_id"] == "carol"
        assert found["user_list"][0]["score"] > 99


def test_templates_of_another_model_are_not_taken(source: Path, data: Path, tmp_path: Path) -> None:
    imported(data, source)
    out = tmp_path / "out"
    assert run(data, "export", out, "--templates").exit_code == 0
    with np.load(out / "features.npz") as file:
        parts = dict(file) | {"embedding_id": np.array("another"), "templates": np.zeros_like(file["templates"])}
    np.savez(out / "features.npz", **parts)
    assert imported(tmp_path / "copy", out)["imported"] == 4
    cosines = [np.frombuffer(face[4], np.float16).astype(np.float32) for face in faces(tmp_path / "copy")]
    assert all(abs(np.linalg.norm(vector) - 1) < 0.01 for vector in cosines)


def test_commands_of_the_manual(
    source: Path, data: Path, tmp_path: Path, old: tuple[ServerProcess, Path, dict[tuple[str, str], str]]
) -> None:
    server, pictures, _ = old
    (tmp_path / "staff.csv").write_text("group,user,file\ng,bob,people/staff/bob/1.jpg\n")
    (tmp_path / "pictures").symlink_to(pictures)
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / "moving.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("face-server ")]
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(line.replace("http://old-host:8300", server.url))[1:]
        done = run(data, *words, cwd=tmp_path)
        assert done.exit_code == (1 if "--from-url" in words else 0), (line, done.stderr)
    assert [face[1:] for face in people(data, "copy")] == [face[1:] for face in people(data, "demo")]
