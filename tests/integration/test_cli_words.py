"""The words of the command line that look: at photos without a server, and at a real server by its admin API."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from face_server.cli import _WORDS, app
from face_server.commands.top import Rates
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import NOBODY, jpeg, pixels, variant

PASSWORD = "correct horse"
LIBRARY = "words"


def run(url: str, *words: object, answer: str = "", **settings: object) -> Result:
    """The command in this process, which has everything imported already."""
    given = {f"FACE_{name.upper()}": str(value) for name, value in settings.items()}
    env = {name: None for name in os.environ if name.startswith("FACE_")} | given | {"COLUMNS": "200"}
    at = ["--url", url] if url else []
    return CliRunner().invoke(app, [*map(str, words), *at], env=env, input=answer)


def told(url: str, *words: object, status: int = 0) -> Any:
    done = run(url, *words, "--json")
    assert done.exit_code == status, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def photo(tmp_path: Path, astronaut: bytes) -> Path:
    file = tmp_path / "astronaut.jpg"
    file.write_bytes(jpeg(pixels(astronaut)))
    return file


@pytest.fixture
def crowd(tmp_path: Path, astronaut: bytes) -> Path:
    """A sharp face, and a smaller dark and blurred one."""
    face = pixels(astronaut)[0:320, 60:380]
    weak = cv2.GaussianBlur((face * 0.2).astype(np.uint8), (0, 0), 3)
    file = tmp_path / "crowd.png"
    file.write_bytes(
        cv2.imencode(".png", np.hstack([cv2.resize(face, (480, 480)), cv2.resize(weak, (480, 480))]))[1].tobytes()
    )
    return file


# Without a server


def test_try_tells_and_draws(photo: Path, crowd: Path, tmp_path: Path) -> None:
    done = run("", "try", photo, crowd, "--save", tmp_path / "out.png")
    assert done.exit_code == 0, done.stderr
    text = done.stdout
    assert f"{photo}: 512x512, 1 face\n" in text
    assert f"{crowd}: 960x480, 2 faces\n" in text
    for word in ("yaw", "blur", "covered:", "age", "gender female", "glasses none", "eyes open", "passes HIGH"):
        assert word in text, word
    assert "refused from LOW on: illumination" in text or "refused from LOW on: blur" in text
    assert all(stage in text for stage in ("decode", "detect", "embed", "liveness"))
    for file, source in ((tmp_path / "out.png", photo), (tmp_path / "out-2.png", crowd)):
        before, after = pixels(source.read_bytes()), pixels(file.read_bytes())
        assert before.shape == after.shape
        green = np.all(after == (80, 200, 40), axis=2)  # of the boxes and numbers, BGR
        assert green.sum() > 100
        assert not np.all(before == (80, 200, 40), axis=2).any()


def test_try_draws_where_the_face_is(photo: Path, tmp_path: Path) -> None:
    (seen,) = told("", "try", photo, "--save", tmp_path / "out.png")
    (face,) = seen["faces"]
    box = face["box"]
    down, across = np.nonzero(np.all(pixels((tmp_path / "out.png").read_bytes()) == (80, 200, 40), axis=2))
    assert abs(across.min() - box["left"]) <= 2
    assert abs(across.max() - box["left"] - box["width"]) <= 2
    assert abs(down.max() - box["top"] - box["height"]) <= 2


def test_try_as_json_is_what_the_server_sees(photo: Path, server: ServerProcess) -> None:
    (here,) = told("", "try", photo)
    there = httpx.post(f"{server.url}/admin/v1/look", content=photo.read_bytes(), timeout=30).json()
    assert [face["token"] for face in here["faces"]] == [face["token"] for face in there["faces"]]
    assert here["faces"][0].keys() == there["faces"][0].keys()
    assert here["faces"][0]["attributes"]["age"] == pytest.approx(there["faces"][0]["attributes"]["age"], abs=0.01)
    assert here["stages"]["detect"] > 0
    assert here["milliseconds"] >= max(here["stages"].values())


def test_try_goes_on_after_a_bad_picture(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(NOBODY)
    (tmp_path / "text.jpg").write_bytes(b"this is a text")
    report = told("", "try", tmp_path / "text.jpg", tmp_path / "empty.png", photo, status=1)
    assert ["error" in one for one in report] == [True, False, False]
    assert [len(one["faces"]) for one in report[1:]] == [0, 1]


def test_turned_and_how_many(crowd: Path, photo: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.png"
    turned.write_bytes(
        cv2.imencode(".png", cv2.rotate(pixels(photo.read_bytes()), cv2.ROTATE_90_CLOCKWISE))[1].tobytes()
    )
    assert len(told("", "try", crowd, "--faces", 1)[0]["faces"]) == 1
    assert len(told("", "try", turned, "--turned")[0]["faces"]) == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("try",), "missing argument"),
        (("try", "nowhere.jpg"), "does not exist"),
        (("try", "PHOTO", "--pack", "nowhere"), "nowhere"),
        (("try", "PHOTO", "--save", "out.xyz"), "'.xyz'"),
        (("try", "PHOTO", "--save", "no/such/folder/out.png"), "no such file"),
        (("groups", "list", "--url", "ftp://127.0.0.1"), "http://"),
        (("jobs", "show", "none"), "integer"),
        (("jobs", "duplicates", "g", "--score", "20"), "60"),
        (("people", "add", "g", "u", "nowhere.jpg"), "does not exist"),
    ],
)
def test_what_cannot_run_is_said_in_one_line(words: tuple[str, ...], complaint: str, photo: Path) -> None:
    done = run("", *(photo if word == "PHOTO" else word for word in words))
    assert done.exit_code == 2
    assert complaint in done.stderr.lower()
    assert "Traceback" not in done.stderr


# With a server


def test_groups_people_and_jobs(server: ServerProcess, tmp_path: Path, astronaut: bytes) -> None:
    library, url = ("--app", LIBRARY), server.url
    photos = [tmp_path / f"{number}.jpg" for number in range(3)]
    for number, file in enumerate(photos):
        file.write_bytes(variant(astronaut, number))
    assert told(url, "groups", "add", "staff", *library)[0]["group"] == "staff"
    added = told(url, "people", "add", "staff", "anna", *photos[:2], "--info", "Ann, née B", *library)
    assert [one["user"] for one in added] == ["anna", "anna"]
    assert told(url, "people", "add", "staff", "twin", photos[2], *library)[0]["group"] == "staff"
    (group,) = told(url, "groups", "list", *library)
    assert (group["users"], group["faces"]) == (2, 3)
    people = told(url, "people", "list", "staff", *library)
    assert [(one["user"], one["info"], one["faces"]) for one in people] == [("anna", "Ann, née B", 2), ("twin", "", 1)]
    assert [one["user"] for one in told(url, "people", "list", "staff", "--prefix", "tw", *library)] == ["twin"]
    assert len(told(url, "people", "list", "staff", "--most", 1, *library)) == 1
    assert told(url, "people", "note", "staff", "twin", "a twin", *library)[0]["info"] == "a twin"
    told(url, "groups", "add", "guests", *library)
    assert told(url, "people", "copy", "twin", "staff", "guests", *library)[0]["user"] == "twin"
    shown = told(url, "people", "show", "staff", "twin", *library)
    assert sorted(shown["groups"]) == ["guests", "staff"]
    assert [face["picture"] for face in shown["faces"]] == [True]
    found = told(url, "people", "find", photos[0], "--group", "staff", *library)
    assert {one["user"] for one in found["faces"][0]["candidates"]} == {"anna", "twin"}
    replaced = told(url, "people", "add", "staff", "anna", photos[0], "--replace", *library)
    assert len(replaced) == 1
    assert told(url, "people", "show", "staff", "anna", *library)["faces"][0]["face_id"] == replaced[0]["face_id"]

    job = told(url, "jobs", "duplicates", "staff", "--score", 80, "--wait", *library)
    assert (job["state"], job["rows"]) == ("done", 1)
    (pair,) = told(url, "jobs", "result", job["id"])
    assert {pair["user"], pair["other_user"]} == {"anna", "twin"}
    assert told(url, "jobs", "doubtful", "staff", "--wait", *library)["state"] == "done"

    (deletion,) = told(url, "people", "delete", "staff", "twin", "--yes", *library)
    assert told(url, "jobs", "cancel", deletion["id"])[0]["state"] == "cancelled"
    assert told(url, "jobs", "show", deletion["id"], "--wait", status=1)["state"] == "cancelled"
    assert [one["id"] for one in told(url, "jobs", "list", "--kind", "delete_user", "--most", 1)] == [deletion["id"]]
    assert run(url, "groups", "delete", "guests", *library, answer="n\n").exit_code == 1
    (going,) = told(url, "groups", "delete", "guests", "--yes", *library)
    deletions = {one["group"]: one["deletion"] for one in told(url, "groups", "list", *library)}
    assert deletions == {"guests": going["id"], "staff": None}

    for words in (("groups", "list"), ("people", "list", "staff"), ("people", "show", "staff", "anna")):
        done = run(url, *words, *library)
        assert done.exit_code == 0, done.stderr
        assert "anna" in done.stdout or "staff" in done.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("groups", "list", "--app", "nobody"), "no such app"),
        (("groups", "add", "not a name"), "group"),
        (("people", "list", "nowhere"), "no such group"),
        (("people", "find", "EMPTY"), ""),
        (("people", "add", "g", "u", "EMPTY"), "face"),
        (("people", "add", "g", "u", "EMPTY", "--quality", "best"), "quality"),
        (("jobs", "show", "999999"), "no such job"),
        (("jobs", "cancel", "999999"), "no such job"),
    ],
)
def test_no_has_its_exit_code(server: ServerProcess, tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    empty = tmp_path / "empty.png"
    empty.write_bytes(NOBODY)
    done = run(server.url, *(empty if word == "EMPTY" else word for word in words))
    assert done.exit_code == 1, (done.stdout, done.stderr)
    assert complaint in done.stderr.lower()


def test_top(server: ServerProcess, photo: Path) -> None:
    told(server.url, "people", "add", "top", "anna", photo, "--app", LIBRARY)
    told(server.url, "people", "find", photo, "--app", LIBRARY)
    run(server.url, "groups", "list", "--app", "nobody")
    figures = told(server.url, "top")
    assert figures["ready"] is True
    assert figures["lanes"]["alive"] == figures["lanes"]["count"]
    done = run(server.url, "top", "--once")
    assert done.exit_code == 0, done.stderr
    for word in ("ready, up", "lanes", "memory", "add_face", "detect", "faces a batch", LIBRARY):
        assert word in done.stdout, word


def test_top_counts_what_comes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, rates, key = [100.0], Rates(), ("baidu", "detect")
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def look(*counts: int) -> dict[tuple[str, str], float]:
        labels = {"dialect": "baidu", "interface": "detect"}
        return rates.since({"requests": [{**labels, "code": str(code), "count": n} for code, n in enumerate(counts)]})

    assert look(10, 2) == {}
    now[0] += 2
    assert look(15, 3) == {key: 3.0}
    now[0] += 2
    assert look(1) == {}  # another process
    now[0] += 1
    assert look(4) == {key: 3.0}


def test_top_follows_in_a_terminal_until_it_is_interrupted(server: ServerProcess) -> None:
    import pty
    import signal
    import time

    ours, theirs = pty.openpty()
    env = {name: value for name, value in os.environ.items() if not name.startswith("FACE_")} | {"TERM": "xterm"}
    words = [sys.executable, "-m", "face_server", "top", "--url", server.url, "--every", "0.2"]
    # Whoever started the tests in the background has made them deaf to it.
    listening = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    signal.signal(signal.SIGINT, listening)
    os.close(theirs)
    shown, until = b"", time.monotonic() + 60
    while shown.count(b"ready, up") < 3 and time.monotonic() < until:
        shown += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    with_rest = threading.Thread(target=_drain, args=(ours,), daemon=True)
    with_rest.start()
    assert process.wait(30) == 0
    os.close(ours)
    assert shown.count(b"ready, up") >= 3


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        return


# Who may, and what answers


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("locked")
    for words in (("password",), ("password", "anna", "--role", "viewer")):
        done = run("", "admin", *words, "--data-dir", folder, answer=f"{PASSWORD}\n")
        assert done.exit_code == 0, done.stderr
    with serving(folder) as running:
        yield running


def test_signs_in_when_it_must(locked: ServerProcess) -> None:
    url = locked.url
    refused = run(url, "groups", "add", "staff")
    assert refused.exit_code == 4
    assert "FACE_ADMIN_PASSWORD" in refused.stderr
    assert run(url, "groups", "add", "staff", "--password", PASSWORD).exit_code == 0
    by_environment = run(url, "groups", "list", "--json", admin_password=PASSWORD)
    assert [one["group"] for one in json.loads(by_environment.stdout)] == ["staff"]
    assert run(url, "groups", "list", "--name", "anna", "--password", PASSWORD).exit_code == 0
    viewer = run(url, "groups", "add", "more", "--name", "anna", "--password", PASSWORD)
    assert viewer.exit_code == 4
    wrong = run(url, "top", "--json", "--password", "wrong horse")
    assert wrong.exit_code == 4
    assert "wrong" in wrong.stderr
    assert "wrong horse" not in wrong.stdout + wrong.stderr


def test_the_address_is_that_of_the_settings(locked: ServerProcess) -> None:
    words = ("groups", "list", "--json", "--password", PASSWORD)
    assert run("", *words, host="0.0.0.0", port=locked.port).exit_code == 0
    assert run("", *words, host="127.0.0.1", port=1).exit_code == 3


class Strange(BaseHTTPRequestHandler):
    """A web server of another kind: a redirect to `target`, a page, or nonsense, by the first part of the path."""

    target = ""

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        self.send_response({"moved": 302, "gone": 404}.get(kind, 200))
        if kind == "moved":
            self.send_header("Location", self.target)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None: ...


def test_who_is_no_face_server_is_told(server: ServerProcess) -> None:
    Strange.target = f"{server.url}/admin/v1/groups?app=default"
    web = ThreadingHTTPServer(("127.0.0.1", 0), Strange)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        for kind in ("moved", "gone", "page"):
            done = run(f"http://127.0.0.1:{web.server_port}/{kind}", "groups", "list")
            assert done.exit_code == 3, (kind, done.stdout)
            assert "Traceback" not in done.stderr
    finally:
        web.shutdown()
        web.server_close()


# Completion


def completed(line: str) -> list[str]:
    words = line.split(" ")
    env = {"_FACE_SERVER_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = CliRunner().invoke(app, [], env=env, prog_name="face-server")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("face-server ", {"serve", "try", "people", "import"}),
        ("face-server gr", {"groups"}),
        ("face-server people ", {"list", "show", "find"}),
        ("face-server import --qua", {"--quality"}),
        ("face-server jobs duplicates --s", {"--score"}),
    ],
)
def test_completion(line: str, there: set[str]) -> None:
    assert there <= set(completed(line))


def test_completion_script(tmp_path: Path) -> None:
    env = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    words = [sys.executable, "-c", "import sys; sys.argv[0] = 'face-server'; from face_server.cli import main; main()"]
    done = subprocess.run([*words, "--show-completion", "bash"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    check = subprocess.run(["bash", "-n"], input=done.stdout, text=True, capture_output=True, timeout=60)
    assert check.returncode == 0, check.stderr
    assert "complete" in done.stdout


@pytest.mark.parametrize("word", _WORDS)
def test_every_word_explains_itself(word: str) -> None:
    done = run("", word, "--help")
    assert done.exit_code == 0, done.stderr
    assert f"face-server {word}" in done.stdout or f"{word} [OPTIONS]" in done.stdout
    assert "--install-completion" not in done.stdout


# A server, a worker and a licence's service run until they are stopped; what they say meanwhile is their log.
WITHOUT_JSON: set[tuple[str, ...]] = {("serve",), ("worker",), ("license", "serve")}


def commands() -> Iterator[tuple[str, ...]]:
    for word in ("serve", "version", *_WORDS):
        if word not in _WORDS:
            yield (word,)
            continue
        module = import_module(f"face_server.commands.{word}_" if iskeyword(word) else f"face_server.commands.{word}")
        names = getattr(get_command(module.app), "commands", {})
        yield from ((word, name) for name in names)
        if not names:
            yield (word,)


@pytest.mark.parametrize("words", sorted(set(commands()) - WITHOUT_JSON))
def test_every_command_has_json(words: tuple[str, ...]) -> None:
    done = run("", *words, "--help")
    assert done.exit_code == 0, done.stderr
    assert "--json" in done.stdout


def test_what_works_on_the_data_folder_tells_it_as_json(tmp_path: Path) -> None:
    data, copy, key = tmp_path / "data", tmp_path / "copy", tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    here = ("--data-dir", data)
    told("", "db", "migrate", *here)
    told("", "apps", "create", "gate", *here)
    made = told("", "backup", copy, *here)
    assert (made["folder"], made["rows"]["faces"], made["missing"]) == (str(copy), 0, 0)
    back = told("", "restore", copy, "--data-dir", tmp_path / "back")
    assert back["sums"] == made["sums"]
    sealed = run("", "seal", "--json", *here, key_file=key)
    assert json.loads(sealed.stdout)["sealed"] == 0, sealed.stderr
    gone = run("", "purge", "--app", "gate", "--yes", "--json", *here, key_file=key)
    report = json.loads(gone.stdout)
    assert (gone.exit_code, report["clean"], report["files_with_pieces"]) == (0, True, {})
    assert told("", "license", "fingerprint")["fingerprint"]
    keys = told("", "license", "keys", tmp_path / "keys")
    issued = told(
        "", "license", "issue", "--private-key", keys["private_key"], "--fingerprint", "x", "--gpus", 2, "--holder", "h"
    )
    (tmp_path / "licence").write_text(issued["signed"])
    assert told("", "license", "inspect", tmp_path / "licence")["gpus"] == 2
    wrong = run("", "license", "verify", tmp_path / "licence", "--public-key", keys["public_key"], "--json")
    assert wrong.exit_code == 1  # of another machine


def test_json_of_what_else_there_is(tmp_path: Path) -> None:
    assert told("", "version")["version"]
    assert told("", "db", "migrate", "--data-dir", tmp_path)["schema"]
    made = run("", "admin", "password", "--json", "--data-dir", tmp_path, answer=f"{PASSWORD}\n")
    assert json.loads(made.stdout) == {"name": "admin", "role": "admin"}
