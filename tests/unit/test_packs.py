"""Packs: the manifest, what makes an embedding id, checking, finding."""

from pathlib import Path
from typing import Any

import pytest

from face_server.vision import manifest
from face_server.vision.adapters.base import _REGISTRY
from face_server.vision.install import Definition, recipe
from face_server.vision.packs import ROLES, Pack, PackError, find_pack, models_home, sha256

DEFINITIONS = sorted(models_home("packs").glob("*.toml"))


def write_pack(folder: Path, **changes: Any) -> Path:
    """A whole pack of two text files; `changes` replace tables of the manifest (role__key = value), None drops."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("detect.onnx", "embed.onnx"):
        (folder / name).write_text(name)
    table: dict[str, Any] = {"name": "mine", "version": "1", "licence": "MIT", "roles": {}}
    for role, more in (("detect", {}), ("embed", {"flip": True, "std": [58.395, 57.12]})):
        file = folder / f"{role}.onnx"
        table["roles"][role] = {"file": file.name, "sha256": sha256(file), "adapter": "a", "licence": "MIT", **more}
    for key, value in changes.items():
        head, _, tail = key.partition("__")
        target = table["roles"][head] if tail else table
        target[tail or head] = value
        if value is None:
            del target[tail or head]
    manifest.write(folder / "pack.toml", table)
    return folder


def test_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    table = {
        "text": 'quotes " and \\ and\nnew lines, 人脸 \x7f',
        "numbers": [1, -2.5, 1e-05, True],
        "pairs": [[0.01, 0.25], []],
        "a": {"b": {"deep": "yes", "empty": {}}, "plain": 1},
        "made": {"x.onnx": {"from": ["a b"]}},
        "files": [{"name": "x.onnx", "the size": 1}],
    }
    manifest.write(tmp_path / "pack.toml", table)
    assert manifest.read(tmp_path / "pack.toml") == table
    assert [path.name for path in tmp_path.iterdir()] == ["pack.toml"]


def test_roles_are_files_and_parameters(tmp_path: Path) -> None:
    pack = Pack.load(write_pack(tmp_path, embed__calibration={"cosine": [-1, 0.4, 1], "score": [0, 80, 100]}))
    embed = pack.roles["embed"]
    assert embed.file == tmp_path / "embed.onnx"
    assert embed.parameters["flip"] is True
    assert "sha256" not in embed.parameters
    assert embed.calibration is not None
    assert (embed.calibration.raw, embed.calibration.score) == ((-1, 0.4, 1), (0, 80, 100))
    assert pack.roles["detect"].calibration is None


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": None}, "version is missing"),
        ({"roles": {}}, "roles.detect is missing"),
        ({"roles": {"detcet": {}}}, "unknown role detcet"),
        ({"detect__adapter": None}, "roles.detect.adapter is missing"),
        ({"detect__file": "gone.onnx"}, "gone.onnx is missing"),
        ({"detect__file": "../x.onnx"}, "outside the pack"),
        ({"detect__sha256": "12"}, "sha256"),
        ({"detect__bytes": 3}, "11 bytes, not 3"),
    ],
)
def test_a_wrong_manifest_is_told_by_what_is_wrong(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PackError, match=complaint):
        Pack.load(write_pack(tmp_path, **changes))


def test_no_manifest_and_no_toml_are_told(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"pack\.toml is missing"):
        Pack.load(tmp_path)
    (tmp_path / "pack.toml").write_text("roles = [")
    with pytest.raises(PackError, match="Invalid value"):
        Pack.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"embed__calibration": {"cosine": [-1, 1], "score": [0, 100]}}, True),
        ({"embed__licence": "Apache-2.0"}, True),
        ({"embed__accuracy": "better than before"}, True),
        ({"detect__threshold": 0.7}, True),
        ({"embed__flip": False}, False),
        ({"embed__std": [1.0, 1.0]}, False),
        ({"embed__adapter": "b"}, False),
        ({"embed__sha256": "0" * 64}, False),
    ],
)
def test_embedding_id_is_weights_and_preprocessing(tmp_path: Path, changes: dict[str, Any], same: bool) -> None:
    before = Pack.load(write_pack(tmp_path / "a")).embedding_id
    after = Pack.load(write_pack(tmp_path / "b", **changes)).embedding_id
    assert (before == after) is same
    assert len(before) == 16


def test_a_rewritten_model_counts_by_what_it_was_made_from(tmp_path: Path) -> None:
    made = {"embed__made_from": ["f" * 64]}
    packs = [Pack.load(write_pack(tmp_path / each, **made, embed__sha256=each * 64)) for each in "01"]
    assert packs[0].embedding_id == packs[1].embedding_id
    assert packs[0].embedding_id != Pack.load(write_pack(tmp_path / "2")).embedding_id


def test_verify_finds_one_changed_byte(tmp_path: Path) -> None:
    pack = Pack.load(write_pack(tmp_path))
    assert pack.verify() == []
    (tmp_path / "embed.onnx").write_text("embeD.onnx")
    assert [problem.file for problem in pack.verify()] == ["embed.onnx"]


def test_a_pack_is_found_by_name_or_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pack(tmp_path / "models" / "mine")
    assert find_pack("mine", tmp_path / "models").name == "mine"
    assert find_pack(str(tmp_path / "models" / "mine"), tmp_path / "none").name == "mine"
    monkeypatch.chdir(tmp_path / "models")
    assert find_pack("./mine", tmp_path / "none").name == "mine"
    with pytest.raises(PackError, match="models install open"):
        find_pack("open", tmp_path / "models")
    with pytest.raises(PackError, match="no such pack"):
        find_pack("nobody", tmp_path / "models")


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
def test_a_definition_is_whole(path: Path) -> None:
    definition = Definition.load(path)
    assert definition.name == path.stem
    names = {file.name for file in definition.files}
    for file in (*definition.files, *([definition.archive] if definition.archive else [])):
        assert len(file.sha256) == 64
        assert file.url.startswith("https://") or definition.archive
    for made in definition.made.values():
        assert set(made["from"]) <= names
        recipe(made["recipe"])  # it is known
    used = set()
    for role, table in definition.manifest["roles"].items():
        assert role in ROLES
        assert table["adapter"] in _REGISTRY
        used |= {part for name in table.get("files") or [table["file"]] for part in _parts(definition, name)}
    assert used == names
    assert definition.licence in definition.licence_text()


@pytest.mark.parametrize("name", ["../x.onnx", "/etc/x.onnx", "a/b.onnx"])
def test_a_definition_writes_nowhere_else(tmp_path: Path, name: str) -> None:
    files = [{"name": name, "bytes": 1, "url": "https://x.invalid/x", "sha256": "0" * 64}]
    manifest.write(tmp_path / "x.toml", {"name": "x", "version": "1", "licence": "MIT", "files": files})
    with pytest.raises(PackError, match="plain file name"):
        Definition.load(tmp_path / "x.toml")


def test_insightface_says_what_its_models_may_be_used_for() -> None:
    for name in ("buffalo_l", "buffalo_s", "antelopev2"):
        assert "non-commercial research only" in Definition.load(models_home("packs") / f"{name}.toml").licence_text()


def _parts(definition: Definition, name: str) -> list[str]:
    return list(definition.made.get(name, {"from": [name]})["from"])
