"""Packs and re-extraction as jobs of the admin API, with real packs."""

from __future__ import annotations

import io
import json
import socket
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from face_server.commands.models import app as models
from face_server.vision.install import Definition, FromFolder
from face_server.vision.packs import models_home
from scripts.load.server import ServerProcess, serving
from tests import other_pack
from tests.admin_client import Console, furnish
from tests.baidu_client import jpeg, pixels, variant
from tests.portraits import portrait_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """With accounts, and a pack that is installed beside the builtin one."""
    folder = tmp_path_factory.mktemp("packs")
    furnish(folder, accounts=True)
    other_pack.turned(folder / "models" / "turned")
    with serving(folder) as running:
        yield running


@pytest.fixture
def console(server: ServerProcess) -> Iterator[Console]:
    with Console(server.url) as client:
        assert client.sign_in("admin").status_code == 200
        yield client


def rows(console: Console) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in console.ask("GET", "/packs")["items"]}


def result(console: Console, job: dict[str, Any], state: str = "done") -> tuple[dict[str, Any], list[list[Any]]]:
    until = time.monotonic() + 120
    while (ended := console.ask("GET", f"/jobs/{job['id']}"))["state"] in ("waiting", "running"):
        assert time.monotonic() < until, "the job does not end"
        time.sleep(0.05)
    assert ended["state"] == state, ended
    return ended, console.ask("GET", f"/jobs/{job['id']}/result")["items"]


def test_packs_with_licence_version_and_card(console: Console) -> None:
    found = rows(console)
    builtin, open_ = found["builtin"], found["open"]
    assert (builtin["state"], builtin["in_use"], builtin["licence"]) == ("built in", True, "Apache-2.0")
    assert builtin["version"]
    assert builtin["calibrated"]
    assert {"detect", "embed"} <= {role["role"] for role in builtin["roles"]}
    assert (open_["state"], open_["version"]) == ("available", None)
    assert open_["terms"] == Definition.load(models_home("packs") / "open.toml").licence_text()
    assert (found["turned"]["state"], found["turned"]["in_use"]) == ("installed", False)
    tables = {one["title"]: one for one in console.ask("GET", "/packs/card", params={"pack": "builtin"})["tables"]}
    measures = {row[0] for row in tables["embed"]["rows"]}
    card = (models_home("builtin") / "MODEL_CARD.md").read_text()
    assert len(measures) > 20
    assert all(f"| {measure} |" in card for measure in measures)
    assert all(len(row) == len(one["columns"]) for one in tables.values() for row in one["rows"])
    assert console.ask("GET", "/packs/card", params={"pack": "turned"})["tables"] == []


def test_list_is_that_of_the_command(console: Console, server: ServerProcess) -> None:
    done = CliRunner().invoke(models, ["list", "--json", "--models-dir", str(server.data_dir / "models")])
    told = {row["name"]: (row["state"], row["licence"], row["bytes"]) for row in json.loads(done.stdout)}
    assert told == {name: (row["state"], row["licence"], row["bytes"]) for name, row in rows(console).items()}


def test_a_pack_is_verified_and_what_is_wrong_is_told(console: Console, server: ServerProcess) -> None:
    job = console.ask("POST", "/packs/verify", 202, json={"pack": "builtin"})
    ended, wrong = result(console, job)
    assert wrong == []
    assert ended["done"] == ended["total"] > 5
    verified = rows(console)["builtin"]["verified"]
    assert verified["problems"] == 0
    file = server.data_dir / "models" / "turned" / "embed.onnx"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    try:
        _, wrong = result(console, console.ask("POST", "/packs/verify", 202, json={"pack": "turned"}))
        assert [name for name, _ in wrong] == ["embed.onnx"]
        assert rows(console)["turned"]["verified"]["problems"] == 1
    finally:
        file.write_bytes(data)
    assert rows(console)["turned"]["verified"] is None, "it has changed since"
    _, wrong = result(console, console.ask("POST", "/packs/verify", 202, json={"pack": "nothing"}))
    assert "no such pack" in wrong[0][1]


def test_a_pack_is_installed_from_an_upload(console: Console, tmp_path: Path, foreign_models: Path) -> None:
    source, packed = FromFolder(foreign_models), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in Definition.load(models_home("packs") / "open.toml").files:
            source.get(file, tmp_path / file.name)
            archive.write(tmp_path / file.name, f"open/{file.name}")
    new = {"pack": "open", "accept_license": True, "upload": upload(console, packed.getvalue())}
    _, files = result(console, console.ask("POST", "/packs/install", 202, json=new))
    assert rows(console)["open"]["state"] == "installed"
    assert {"embed", "detect"} <= {role["role"] for role in rows(console)["open"]["roles"]}
    assert len(files) >= 3
    console.ask("POST", "/packs/install", 404, json=new)


def upload(console: Console, data: bytes) -> str:
    made = console.ask("POST", "/uploads", 201, content=data)
    assert made["bytes"] == len(data)
    return str(made["upload"])


def test_an_upload_that_is_cut_off_leaves_nothing(console: Console, server: ServerProcess) -> None:
    def outcomes() -> list[str]:
        lines = console.ask("GET", "/audit?action=upload&limit=100")["items"]
        return [line["outcome"] for line in lines if line["outcome"] != "begun"]

    kept, before = set((server.data_dir / "uploads").glob("*")), len(outcomes())
    request = console.build_request("POST", "/uploads", headers={"Content-Length": "5000"})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection((str(request.url.host), int(request.url.port or 0))) as connection:
        connection.sendall(f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n".encode() + b"x" * 1000)
    until = time.monotonic() + 60
    while len(outcomes()) == before:
        assert time.monotonic() < until, "nobody has noticed"
        time.sleep(0.05)
    assert outcomes()[0] == "busy"
    assert set((server.data_dir / "uploads").glob("*")) == kept
    assert "unexpected failure" not in server.log.read_text()


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("install", {"pack": "buffalo_l"}, 422, "licence"),
        ("install", {"pack": "unknown", "accept_license": True}, 422, "pack"),
        ("install", {"pack": "../x", "accept_license": True}, 400, "bad_parameter"),
        ("install", {"pack": "open", "accept_license": True, "zip": "/a", "folder": "/b"}, 400, "bad_parameter"),
        ("install", {"pack": "open", "accept_license": True, "upload": "0" * 32}, 404, "upload_missing"),
        ("install", {"pack": "open", "accept_license": True, "upload": "../../etc/passwd"}, 400, "bad_parameter"),
        ("calibrate", {"pack": "turned"}, 400, "bad_parameter"),
        ("calibrate", {"pack": "unknown", "pictures": "/a"}, 422, "pack"),
    ],
)
def test_what_is_refused(console: Console, path: str, body: dict[str, Any], status: int, code: str) -> None:
    answer = console.post(f"/packs/{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def test_what_fails_is_told_by_the_job(console: Console, tmp_path: Path) -> None:
    new = {"pack": "open", "accept_license": True, "folder": str(tmp_path)}
    ended, _ = result(console, console.ask("POST", "/packs/install", 202, json=new), "failed")
    assert "is not in the folder" in ended["error"]


def test_only_admins_work_with_packs(server: ServerProcess) -> None:
    with Console(server.url) as console:
        console.sign_in("operator")
        assert rows(console)["builtin"]["in_use"]
        for path, body in (("verify", {"pack": "builtin"}), ("install", {"pack": "open"}), ("calibrate", {})):
            assert console.post(f"/packs/{path}", json=body).status_code == 403
        assert console.post("/uploads", content=b"x").status_code == 403
    with Console(server.url) as console:
        console.sign_in("admin")
        console.headers.pop("X-CSRF-Token")
        assert console.post("/uploads", content=b"x").status_code == 403
        assert console.post("/packs/verify", json={"pack": "builtin"}).status_code == 403
    with Console(server.url) as console:
        console.sign_in("admin")
        console.ask("POST", "/packs/verify", 202, json={"pack": "builtin"})
        line = console.ask("GET", "/audit", params={"action": "verify_pack"})["items"][0]
        assert (line["target"]["pack"], line["name"]) == ("builtin", "admin")


def archive_of(people: int, portrait: bytes) -> bytes:
    """name/photo: many strangers by one face would be too alike, so these are few, which is told."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(people):
            archive.writestr(f"people/p{number}/a.jpg", variant(portrait, number))
    return packed.getvalue()


def test_calibration_of_too_few_is_told(console: Console, server: ServerProcess, astronaut: bytes) -> None:
    packed = archive_of(3, portrait_of(astronaut))
    new = {"pack": "turned", "upload": upload(console, packed)}
    ended, _ = result(console, console.ask("POST", "/packs/calibrate", 202, json=new), "failed")
    assert "pairs of different people" in ended["error"]
    assert not (server.data_dir / "uploads" / str(new["upload"])).exists(), "pictures of people go in any case"


def test_calibration_is_written_and_stays(console: Console, server: ServerProcess, astronaut: bytes) -> None:
    """Pairs are named; a hundred thousand of them with strangers' places taken by changed pictures of one face."""
    folder = server.data_dir / "pairs"
    folder.mkdir()
    portrait = portrait_of(astronaut)
    small = [jpeg(pixels(variant(portrait, number))[::2, ::2]) for number in range(4)]
    for number, data in enumerate(small):
        (folder / f"{number}.jpg").write_bytes(data)
    lines = ["0.jpg,1.jpg,1"] * 10 + ["2.jpg,3.jpg,0"] * 100_000
    (folder / "pairs.csv").write_text("\n".join(lines))
    new = {"pack": "turned", "pairs": str(folder / "pairs.csv")}
    ended, points = result(console, console.ask("POST", "/packs/calibrate", 202, json=new))
    assert ended["columns"][0] == "false_accept_rate"
    assert [rate for rate, *_ in points] == [0.01, 0.001, 0.0001]
    assert [[rate, pytest.approx(cosine, abs=1e-3)] for rate, cosine, *_ in points] == rows(console)["turned"]["far"]


def test_re_extraction_as_a_job_goes_on_after_a_restart(tmp_path: Path, astronaut: bytes) -> None:
    pack = other_pack.turned(tmp_path / "turned")
    portrait = portrait_of(astronaut)
    folder = tmp_path / "data"
    where = {"app": "default", "group": "staff"}
    with serving(folder) as server, Console(server.url) as console:
        for number in range(12):
            query = where | {"user": f"u{number:02}"}
            console.ask("POST", "/faces", 201, params=query, content=variant(portrait, number))
    with serving(folder, store_pictures="none") as server, Console(server.url) as console:
        console.ask("POST", "/faces", 201, params=where | {"user": "bare"}, content=variant(portrait, 20))
    new = {"kind": "reextract", "app": "default"}
    with serving(folder, pack=pack.folder) as server, Console(server.url) as console:
        job = console.ask("POST", "/jobs", 202, json=new)
        stopped = console.ask("POST", f"/jobs/{job['id']}/cancel")
        assert stopped["state"] == "cancelled"
        job = console.ask("POST", "/jobs", 202, json=new | {"group": "staff"})
    with serving(folder, pack=pack.folder) as server, Console(server.url) as console:
        ended, left = result(console, job)
        assert ended["columns"] == ["app", "group", "user", "face_id", "token", "reason"]
        assert [(row[2], row[5]) for row in left] == [("bare", "not_stored")]
        shown = {
            user["user"]: console.ask("GET", "/faces", params=where | {"user": user["user"]})["items"][0]["other_model"]
            for page in console.pages("/users", **where)
            for user in page
        }
        assert [user for user, other in shown.items() if other] == ["bare"]
        seen = console.ask("POST", "/search", params=where | {"threshold": 0, "most": 50}, content=portrait)
        assert len(seen["faces"][0]["candidates"]) == 12


def test_a_job_that_reads_pictures_is_cancelled(console: Console, server: ServerProcess, astronaut: bytes) -> None:
    folder = server.data_dir / "many"
    portrait = portrait_of(astronaut)
    for number in range(300):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "a.jpg").write_bytes(portrait)
    before = (server.data_dir / "models" / "turned" / "pack.toml").read_bytes()
    job = console.ask("POST", "/packs/calibrate", 202, json={"pack": "turned", "pictures": str(folder)})
    until = time.monotonic() + 120
    while console.ask("GET", f"/jobs/{job['id']}")["done"] == 0:
        assert time.monotonic() < until
    console.ask("POST", f"/jobs/{job['id']}/cancel")
    ended, _ = result(console, job, "cancelled")
    assert ended["done"] < 300
    verified = console.ask("POST", "/packs/verify", 202, json={"pack": "turned"})
    result(console, verified)
    assert (server.data_dir / "models" / "turned" / "pack.toml").read_bytes() == before
