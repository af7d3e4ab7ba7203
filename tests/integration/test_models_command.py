"""`face-server models` against a real HTTP server: an archive of insightface's layout, and connections that break."""

import hashlib
import io
import json
import os
import pty
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from typer.testing import CliRunner, Result

from face_server.commands.models import app
from face_server.vision import fetch, manifest
from face_server.vision.packs import Pack, models_home
from tests import tiny_nets
from tests.conftest import ROOT

NETS = {
    "det_10g.onnx": tiny_nets.scrfd(),
    "w600k_r50.onnx": tiny_nets.embedder(),
    "2d106det.onnx": tiny_nets.landmarks_106(),
    "genderage.onnx": tiny_nets.gender_age(),
}


@dataclass
class Host:
    """Serves `files` by path. The next `breaks` replies end after half of what they promised."""

    files: dict[str, bytes]
    breaks: int = 0
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    address: str = ""


@pytest.fixture
def host() -> Iterator[Host]:
    served = Host({})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range") if served.ranges else None
            served.asked.append((self.path, self.headers.get("Range")))
            data = served.files.get(self.path)
            if data is None:
                return self.send_error(404)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
            if start >= len(data):
                return self.send_error(416)
            body = data[start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if served.breaks:
                served.breaks -= 1
                body = body[: len(body) // 2]
            self.wfile.write(body)
            return None

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0.0)


def archive(prefix: str = "") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        for name, data in NETS.items():
            files.writestr(prefix + name, data)
    return packed.getvalue()


def definition(folder: Path, host: Host, data: bytes, **known: str) -> Path:
    """buffalo_l's definition with these small nets in the place of the real ones; `known` hashes replace theirs."""
    table = manifest.read(models_home("packs") / "buffalo_l.toml")
    table["archive"] |= {"url": f"{host.address}/pack.zip", "bytes": len(data), "sha256": sha(data)}
    for file in table["files"]:
        file |= {"bytes": len(NETS[file["name"]]), "sha256": known.get(file["name"], sha(NETS[file["name"]]))}
    path = folder / "buffalo_l.toml"
    manifest.write(path, table)
    return path


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def models(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("prefix", ["", "buffalo_l/"], ids=["flat", "in a folder"])
def test_an_archive_becomes_a_pack(tmp_path: Path, host: Host, prefix: str) -> None:
    data = archive(prefix)
    host.files["/pack.zip"] = data
    installed = tmp_path / "models"
    result = models("install", definition(tmp_path, host, data), "--accept-license", "--models-dir", installed)
    assert result.exit_code == 0, result.output
    assert "non-commercial research only" in result.output
    assert left_behind(installed) == sorted([*NETS, "LICENCE.txt", "pack.toml"])

    pack = Pack.load(installed / "buffalo_l")
    assert pack.verify() == []
    assert pack.roles["detect"].made_from == (sha(NETS["det_10g.onnx"]),)
    assert pack.roles["embed"].sha256 == (sha(NETS["w600k_r50.onnx"]),)
    detector = ort.InferenceSession(pack.roles["detect"].file, providers=["CPUExecutionProvider"])
    rows = detector.run(None, {"input.1": np.zeros((5, 3, 32, 32), np.float32)})
    assert {len(part) for part in rows} == {5}


def test_a_broken_download_goes_on_where_it_broke(tmp_path: Path, host: Host) -> None:
    data = archive()
    host.files["/pack.zip"], host.breaks = data, 2
    result = models(
        "install", definition(tmp_path, host, data), "--accept-license", "--models-dir", tmp_path / "models"
    )
    assert result.exit_code == 0, result.output
    begun = [int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0 for _, asked in host.asked]
    assert begun == [0, len(data) // 2, len(data) - (len(data) - len(data) // 2 + 1) // 2]


def test_the_next_command_continues_what_the_last_one_kept(tmp_path: Path, host: Host) -> None:
    data = archive()
    host.files["/pack.zip"], host.breaks = data, 99
    arguments = ("install", definition(tmp_path, host, data), "--accept-license", "--models-dir", tmp_path / "models")
    assert models(*arguments).exit_code == 1
    assert not (tmp_path / "models" / "buffalo_l").exists()
    host.breaks, host.asked = 0, []
    assert models(*arguments).exit_code == 0
    assert [asked is not None for _, asked in host.asked] == [True]


def test_a_server_without_ranges_starts_again(tmp_path: Path, host: Host) -> None:
    data = archive()
    host.files["/pack.zip"], host.breaks, host.ranges = data, 1, False
    result = models(
        "install", definition(tmp_path, host, data), "--accept-license", "--models-dir", tmp_path / "models"
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("wrong", ["archive", "file"])
def test_a_changed_file_is_refused_and_nothing_stays(tmp_path: Path, host: Host, wrong: str) -> None:
    data = archive()
    known = {"genderage.onnx": "0" * 64} if wrong == "file" else {}
    path = definition(tmp_path, host, data, **known)
    host.files["/pack.zip"] = data if wrong == "file" else data + b"!"
    result = models("install", path, "--accept-license", "--models-dir", tmp_path / "models")
    assert result.exit_code == 1
    assert "not the published file" in result.output
    assert not (tmp_path / "models" / "buffalo_l").exists()


def test_a_missing_file_is_told_at_once(tmp_path: Path, host: Host) -> None:
    result = models(
        "install", definition(tmp_path, host, archive()), "--accept-license", "--models-dir", tmp_path / "models"
    )
    assert result.exit_code == 1
    assert "404" in result.output
    assert len(host.asked) == 1


def test_the_licence_must_be_accepted(tmp_path: Path, host: Host) -> None:
    result = models("install", definition(tmp_path, host, archive()), "--models-dir", tmp_path / "models")
    assert result.exit_code == 2
    assert "non-commercial research only" in result.output
    assert not (tmp_path / "models").exists()
    assert host.asked == []


@pytest.mark.parametrize(("answer", "accepts"), [(b"y\n", True), (b"n\n", False)], ids=["yes", "no"])
def test_a_person_is_asked(tmp_path: Path, host: Host, answer: bytes, accepts: bool) -> None:
    path, target = definition(tmp_path, host, archive()), tmp_path / "models"
    (tmp_path / "local.zip").write_bytes(archive())
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-m", "face_server.commands.models", "install", path, "--zip", tmp_path / "local.zip"]
    with subprocess.Popen(
        [*map(str, command), "--models-dir", str(target)],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        os.write(keyboard, answer)
        said, asked = process.communicate(timeout=60)
    os.close(keyboard)
    os.close(terminal)
    assert b"non-commercial research only" in said
    assert b"Do you accept" in asked
    assert process.returncode == (0 if accepts else 2)
    assert (target / "buffalo_l").exists() is accepts


def test_a_mirror_takes_the_place_of_the_host(tmp_path: Path, host: Host) -> None:
    data = archive()
    path = definition(tmp_path, host, data)
    table = manifest.read(path)
    table["archive"]["url"] = "https://models.invalid/releases/pack.zip"
    manifest.write(path, table)
    host.files["/cache/releases/pack.zip"] = data
    mirror = f"{host.address}/cache/"
    result = models("install", path, "--accept-license", "--mirror", mirror, "--models-dir", tmp_path / "models")
    assert result.exit_code == 0, result.output


def test_a_local_archive_and_a_folder_serve_too(tmp_path: Path, host: Host) -> None:
    path = definition(tmp_path, host, archive())
    (tmp_path / "local.zip").write_bytes(archive())
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    for number, data in enumerate(NETS.values()):
        (tmp_path / "folder" / "deep" / f"renamed_{number}").write_bytes(data)
    made = []
    for option, source in (("--zip", "local.zip"), ("--from", "folder")):
        target = tmp_path / option
        result = models("install", path, "--accept-license", option, tmp_path / source, "--models-dir", target)
        assert result.exit_code == 0, result.output
        made.append(Pack.load(target / "buffalo_l"))
    assert made[0].embedding_id == made[1].embedding_id
    assert host.asked == []


def test_a_pack_without_published_hashes_records_the_first_it_sees(tmp_path: Path, host: Host) -> None:
    path = definition(tmp_path, host, archive(), **{"w600k_r50.onnx": ""})
    (tmp_path / "local.zip").write_bytes(archive())
    result = models(
        "install", path, "--accept-license", "--zip", tmp_path / "local.zip", "--models-dir", tmp_path / "models"
    )
    assert result.exit_code == 0, result.output
    assert f"{sha(NETS['w600k_r50.onnx'])}  w600k_r50.onnx" in result.output


def test_list_info_and_verify(tmp_path: Path, host: Host) -> None:
    path, folder = definition(tmp_path, host, archive()), tmp_path / "models"
    (tmp_path / "local.zip").write_bytes(archive())
    models("install", path, "--accept-license", "--zip", tmp_path / "local.zip", "--models-dir", folder)

    rows = {row["name"]: row for row in read_json(models("list", "--json", "--models-dir", folder))}
    assert rows["buffalo_l"]["state"] == "installed"
    assert rows["open"]["state"] == rows["antelopev2"]["state"] == "available"
    assert "builtin" in rows
    facts = read_json(models("info", "buffalo_l", "--json", "--models-dir", folder))
    assert set(facts["roles"]) == {"detect", "landmarks", "embed", "age_gender"}
    assert set(facts["gives"]) >= {"embedding", "landmarks", "age", "gender"}
    assert not {"liveness", "emotion", "parsing"} & set(facts["gives"])
    assert facts["embedding_id"] == Pack.load(folder / "buffalo_l").embedding_id
    assert "scrfd" in models("info", "buffalo_l", "--models-dir", folder).output

    assert read_json(models("verify", "buffalo_l", "--json", "--models-dir", folder)) == {"buffalo_l": []}
    weights = folder / "buffalo_l" / "w600k_r50.onnx"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    broken = models("verify", "--models-dir", folder)
    assert broken.exit_code == 1
    assert "w600k_r50.onnx sha256 is" in broken.output


def test_a_model_that_cannot_be_opened_is_told_in_one_line(tmp_path: Path, host: Host) -> None:
    nets = {**NETS, "genderage.onnx": b"not a network"}
    path = definition(tmp_path, host, archive(), **{"genderage.onnx": sha(nets["genderage.onnx"])})
    for name, data in nets.items():
        (tmp_path / name).write_bytes(data)
    assert models("install", path, "--accept-license", "--from", tmp_path, "--models-dir", tmp_path).exit_code == 0
    result = models("info", "buffalo_l", "--models-dir", tmp_path)
    assert result.exit_code == 1
    assert "genderage.onnx cannot be opened" in result.output
    assert len(result.output.splitlines()) == 1


def test_open_is_made_from_its_authors_files(tmp_path: Path, foreign_models: Path) -> None:
    result = models("install", "open", "--accept-license", "--from", foreign_models, "--models-dir", tmp_path)
    assert result.exit_code == 0, result.output
    pack = Pack.load(tmp_path / "open")
    assert pack.verify() == []
    assert pack.embedding_id == "2d9e4e90bd0db16a"  # whatever writes the files, templates stay comparable
    assert {"detect", "landmarks", "pose", "embed", "liveness", "age_gender", "expression"} <= set(pack.roles)
    for file in pack.files():
        inputs = ort.InferenceSession(file, providers=["CPUExecutionProvider"]).get_inputs()
        assert not any(isinstance(value.shape[0], int) for value in inputs)


def test_calibrate_writes_a_table_that_80_stands_for(
    tmp_path: Path, foreign_models: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One photo, turned, scaled and lit many ways, is no measurement of people: enough to see the table made."""
    models("install", "open", "--accept-license", "--from", foreign_models, "--models-dir", tmp_path)
    names = ["id_obama_1.jpg", "id_rose_leslie_1.jpg", "id_clapton_1.jpg", "id_nasa_leroy_chiao.jpg"]
    for number, name in enumerate(names):
        folder = tmp_path / "people" / str(number)
        folder.mkdir(parents=True)
        photo = cv2.imread(str(photos / name))
        assert photo is not None
        pixels = cv2.resize(photo, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
        for light in (0.6, 0.8, 1.0):
            cv2.imwrite(str(folder / f"{light}.jpg"), np.clip(pixels * light, 0, 255).astype(np.uint8))
    few = models("calibrate", "open", "--pictures", tmp_path / "people", "--models-dir", tmp_path)
    assert few.exit_code == 1
    assert "54 pairs of different people" in few.output

    rows = [f"people/0/1.0.jpg,people/{other}/{light}.jpg,0" for other in (1, 2, 3) for light in (0.6, 0.8, 1.0)]
    same = ["people/0/0.6.jpg,people/0/1.0.jpg,1", "people/1/0.6.jpg,people/1/1.0.jpg,1"]
    (tmp_path / "pairs.csv").write_text("\n".join([*rows * 12_000, *same]))
    result = models("calibrate", "open", "--pairs", tmp_path / "pairs.csv", "--json", "--models-dir", tmp_path)
    report = read_json(result)
    assert (report["genuine_pairs"], report["impostor_pairs"]) == (2, 108_000)
    calibration = Pack.load(tmp_path / "open").roles["embed"].calibration
    assert calibration is not None
    assert list(calibration.raw) == report["cosine"]
    threshold = dict(calibration.far)[1e-4]
    assert 0 < threshold < 0.6
    assert np.interp(threshold, calibration.raw, calibration.score) == pytest.approx(80)


def read_json(result: Result) -> Any:
    return json.loads(result.stdout)
