"""A second pack: the builtin one with another embedder, so that templates of the two cannot be compared."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from face_server.vision import manifest
from face_server.vision.packs import Pack, models_home
from tests import tiny_nets

KEPT = ("detect", "landmarks")


def turned(folder: Path) -> Pack:
    """The same embedder with a second, mirrored look: templates that seem alike, and are of another model."""
    return _made(folder, {"flip": True})


def tiny(folder: Path) -> Pack:
    """Another network, whose templates are of another length."""
    data = tiny_nets.embedder(256)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.onnx").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return _made(folder, {"file": "tiny.onnx", "sha256": digest, "adapter": "arcface", "dimensions": 256})


def _made(folder: Path, embedder: dict[str, object]) -> Pack:
    table = manifest.read(models_home("builtin") / manifest.NAME)
    roles = {name: table["roles"][name] for name in (*KEPT, "embed")}
    roles["embed"] |= embedder
    folder.mkdir(parents=True, exist_ok=True)
    for role in roles.values():
        source = models_home("builtin") / role["file"]
        if source.is_file() and not (folder / role["file"]).exists():
            shutil.copyfile(source, folder / role["file"])
    manifest.write(folder / manifest.NAME, table | {"name": folder.name, "roles": roles})
    return Pack.load(folder)
