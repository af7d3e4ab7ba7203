"""Making a backup beside a running server.

A picture is on the disk before the row that names it, and goes only after that row. So all pictures are held by hard
links first, then the database is copied, then the few that came between are held too. One that went in between was
deleted with its face: then the database is copied again, until rows and pictures are of one instant.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from face_server import __version__
from face_server.backup import dump, manifest
from face_server.backup.manifest import Manifest
from face_server.errors import StoreFailed
from face_server.settings import Settings
from face_server.store import migrate
from face_server.store.occupied import occupied

TRIES = 5


def save(settings: Settings, target: Path) -> Manifest:
    """All or nothing: the folder has its name only when it is whole."""
    if target.exists():
        raise StoreFailed(f"{target} is there already")
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    partial.mkdir(mode=0o700)
    try:
        with occupied(settings.data_dir):
            made = _fill(settings, partial)
        _sync(partial)
        partial.rename(target)
        return made
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(settings: Settings, folder: Path) -> Manifest:
    pictures = settings.data_dir / "pictures"
    with tempfile.TemporaryDirectory(dir=settings.data_dir, prefix="backup-") as scratch:
        held = Path(scratch)
        _hold(pictures, (path.name for path in pictures.glob("??/*")), held)
        for _ in range(TRIES):
            instant = dump.take(settings.database, folder)
            wanting = _hold(pictures, instant.keys - set(os.listdir(held)), held)
            if not wanting:
                break
        for key in instant.keys - wanting:
            place = folder / manifest.PICTURES / key[:2] / key
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(held / key, place)
    (folder / manifest.SETTINGS).write_text(json.dumps(without_secrets(settings), indent=2, sort_keys=True) + "\n")
    made = Manifest(
        database="sqlite" if isinstance(settings.database, Path) else "postgres",
        schema=migrate.head(),
        rows=instant.rows,
        pictures=len(instant.keys - wanting),
        missing=len(wanting),
        sealed=instant.sealed,
        taken=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        sums=manifest.write_sums(folder),
    )
    made.write(folder)
    return made


def _hold(pictures: Path, keys: Iterable[str], held: Path) -> set[str]:
    """Link them; what is not there comes back."""
    wanting = set()
    for key in keys:
        try:
            os.link(pictures / key[:2] / key, held / key)
        except FileNotFoundError:
            wanting.add(key)
    return wanting


def without_secrets(settings: Settings) -> dict[str, object]:
    """What was set, by names of the TOML file. Addresses with passwords are never part of it."""
    facts: dict[str, object] = settings.model_dump(mode="json", exclude_defaults=True)
    secret = {name for name, field in type(settings).model_fields.items() if "Secret" in str(field.annotation)}
    return {name: value for name, value in facts.items() if name not in secret}


def _sync(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
