"""What a backup says about itself: when, of what, how much, and the checksum of every file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from face_server.errors import StoreFailed

NAME, SUMS = "manifest.json", "sha256sums"  # the second is what `sha256sum --check` reads
PICTURES, SETTINGS = "pictures", "settings.json"
SQLITE, POSTGRES = "faces.db", "faces.pgdump"
FORM = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    database: Literal["sqlite", "postgres"]
    schema: str
    rows: dict[str, int]  # by table
    pictures: int
    missing: int  # pictures that rows name and that were not there
    sealed: bool  # the key is not in the backup
    taken: str
    version: str
    sums: str  # sha256 of the file with the checksums
    form: int = FORM

    def write(self, folder: Path) -> None:
        (folder / NAME).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        try:
            facts = json.loads((folder / NAME).read_text())
            if facts["form"] != FORM:
                raise StoreFailed(f"{folder} was made by another version of face-server: {facts['version']}")
            return cls(**facts)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StoreFailed(f"{folder} is no backup: {NAME} is missing or cannot be read") from error


def digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_sums(folder: Path) -> str:
    """Checksums of all files in the folder; returns that of the list itself."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with (folder / SUMS).open("w") as stream:
        stream.writelines(f"{digest(path)}  {path.relative_to(folder)}\n" for path in files)
    return digest(folder / SUMS)


def verify(folder: Path) -> Manifest:
    """The manifest of a backup in which every file is what it was."""
    found = Manifest.read(folder)
    sums = folder / SUMS
    if not sums.is_file() or digest(sums) != found.sums:
        raise StoreFailed(f"{folder} was changed: {SUMS} is missing or another one")
    listed = dict(_lines(sums))
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {NAME, SUMS}
    if extra := there - listed.keys():
        raise StoreFailed(f"{folder} was changed: {min(extra)} was not part of it")
    for name, sum_ in listed.items():
        if name not in there:
            raise StoreFailed(f"{folder} is not complete: {name} is missing")
        if digest(folder / name) != sum_:
            raise StoreFailed(f"{folder} is damaged: {name} is not what it was")
    return found


def _lines(sums: Path) -> Iterator[tuple[str, str]]:
    for line in sums.read_text().splitlines():
        sum_, _, name = line.partition("  ")
        yield name, sum_
