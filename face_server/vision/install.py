"""Installing a pack that is not shipped: its definition, where the files come from, and the folder made of them."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from face_server.vision import manifest
from face_server.vision.packs import Pack, PackError, sha256

LICENCE = "LICENCE.txt"


def recipe(name: str) -> Callable[[Mapping[str, bytes]], bytes]:
    """What makes one file of a pack of its upstream files."""
    # The onnx package is large: only an installation pays for it.
    from face_server.vision import convert, faceapi

    known = {
        "batchable": convert.batchable,
        "faceapi_age_gender": faceapi.age_gender,
        "faceapi_emotion": faceapi.emotion,
    }
    if name not in known:
        raise PackError(f"unknown recipe {name!r}; known are {', '.join(known)}")
    return known[name]


@dataclass(frozen=True, slots=True)
class Upstream:
    """One file as its author publishes it; `sha256` is empty where nobody has published one."""

    name: str
    url: str
    bytes: int
    sha256: str
    licence: str
    author: str


@dataclass(frozen=True, slots=True)
class Definition:
    """How a pack is made: files, or one archive that holds them, and the manifest to be written."""

    name: str
    licence: str
    notice: str
    archive: Upstream | None
    files: tuple[Upstream, ...]
    made: Mapping[str, Mapping[str, Any]]  # file of the pack -> its recipe and what it is made from
    manifest: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path) -> Definition:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
            archive = table.pop("archive", None)
            files = tuple(_upstream(entry, table) for entry in table.pop("files"))
            return cls(
                name=table["name"],
                licence=table["licence"],
                notice=table.get("notice", "").strip(),
                archive=_upstream(archive, table) if archive else None,
                files=files,
                made=table.pop("made", {}),
                manifest=table,
            )
        except (OSError, ValueError, KeyError) as error:
            raise PackError(f"{path}: {error}") from error

    @property
    def download_bytes(self) -> int:
        return self.archive.bytes if self.archive else sum(file.bytes for file in self.files)

    def licence_text(self) -> str:
        """What is shown before anything is fetched, and kept beside the models."""
        lines = [f"Pack {self.name}: {self.licence}", *([self.notice] if self.notice else [])]
        lines += [f"  {file.name}: {file.licence}, {file.author}" for file in self.files]
        return "\n".join(lines)


class Source(Protocol):
    """Where upstream files come from. `get` puts one at `target`, or raises PackError."""

    def get(self, file: Upstream, target: Path) -> None: ...


class FromFolder:
    """Files somebody else fetched: found by name or by content, wherever they lie below the folder."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise PackError(f"{folder} is not a folder")
        self._files = [path for path in sorted(folder.rglob("*")) if path.is_file()]

    def get(self, file: Upstream, target: Path) -> None:
        likely = sorted(self._files, key=lambda path: path.name != file.name)
        for path in likely:
            same_name = path.name == file.name
            if (same_name and not file.sha256) or (
                (same_name or path.stat().st_size == file.bytes) and sha256(path) == file.sha256
            ):
                shutil.copyfile(path, target)
                return
        raise PackError(f"{file.name} is not in the folder (looked for its name and for sha256 {file.sha256[:16]}...)")


class FromZip:
    """Members of an archive, by base name: some archives hold a folder, some do not."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise PackError(f"{path}: {error}") from error
        self._members = {Path(name).name: name for name in self._zip.namelist() if not name.endswith("/")}

    def get(self, file: Upstream, target: Path) -> None:
        member = self._members.get(file.name)
        if member is None:
            raise PackError(f"the archive holds no {file.name}, only {', '.join(sorted(self._members))}")
        try:
            with self._zip.open(member) as packed, target.open("wb") as out:
                shutil.copyfileobj(packed, out)
        except zipfile.BadZipFile as error:
            raise PackError(f"{file.name}: {error}") from error


def install(definition: Definition, source: Source, models_dir: Path) -> Pack:
    """Fetch, check, convert, and put the finished folder in place at once: nobody ever sees half a pack."""
    models_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models_dir, prefix=f".{definition.name}.") as room:
        upstream, fresh = Path(room) / "upstream", Path(room) / definition.name
        upstream.mkdir()
        fresh.mkdir()
        found = {file.name: _checked(file, source, upstream / file.name) for file in definition.files}
        contents = {name: upstream / name for name in found}
        manifest.write(fresh / manifest.NAME, _manifest(definition, found, contents, fresh))
        (fresh / LICENCE).write_text(definition.licence_text() + "\n", encoding="utf-8")
        Pack.load(fresh)
        _swap(fresh, models_dir / definition.name)
    return Pack.load(models_dir / definition.name)


def _checked(file: Upstream, source: Source, target: Path) -> Upstream:
    """The file with the sha256 it really has: the published one, or, where there is none, the first one seen."""
    source.get(file, target)
    digest = sha256(target)
    if file.sha256 and digest != file.sha256:
        raise PackError(f"{file.name}: sha256 is {digest}, not {file.sha256}: not the published file")
    return replace(file, sha256=digest)


def _manifest(
    definition: Definition, found: Mapping[str, Upstream], contents: Mapping[str, Path], folder: Path
) -> dict[str, Any]:
    """The pack's manifest; the files it names are put in the folder on the way."""
    table = dict(definition.manifest)
    table["roles"] = {
        name: _role(definition, dict(role), found, contents, folder) for name, role in table["roles"].items()
    }
    return table


def _role(
    definition: Definition,
    role: dict[str, Any],
    found: Mapping[str, Upstream],
    contents: Mapping[str, Path],
    folder: Path,
) -> dict[str, Any]:
    names = [_plain(name) for name in role.get("files") or [role["file"]]]
    origins: list[Upstream] = []
    for name in names:
        made = definition.made.get(name, {"from": [name]})
        parts = [found[part] for part in made["from"]]
        origins += parts
        if (folder / name).exists():
            continue
        if "recipe" in made:
            sources = {part.name: contents[part.name].read_bytes() for part in parts}
            (folder / name).write_bytes(recipe(made["recipe"])(sources))
        else:
            shutil.move(contents[name], folder / name)
    digests = [sha256(folder / name) for name in names]
    sizes = [(folder / name).stat().st_size for name in names]
    about = {
        "sha256": digests if "files" in role else digests[0],
        "bytes": sizes if "files" in role else sizes[0],
        "licence": " AND ".join(sorted({part.licence for part in origins})),
        "source": [part.url for part in origins if part.url],
    }
    if any(name in definition.made for name in names):
        about["made_from"] = [part.sha256 for part in origins]
    parameters = {key: value for key, value in role.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in role.items() if isinstance(value, Mapping)}
    return {**parameters, **about, **tables}


def _swap(fresh: Path, target: Path) -> None:
    """Put the new folder where the old one was; a rename each, the old one away last."""
    if not target.exists():
        os.rename(fresh, target)
        return
    old = fresh.with_name("old")
    os.rename(target, old)
    os.rename(fresh, target)


def _upstream(entry: Mapping[str, Any], pack: Mapping[str, Any]) -> Upstream:
    return Upstream(
        name=_plain(entry["name"]),
        url=entry.get("url", ""),
        bytes=entry["bytes"],
        sha256=entry.get("sha256", ""),
        licence=entry.get("licence", pack["licence"]),
        author=entry.get("author", pack.get("source", "")),
    )


def _plain(name: str) -> str:
    """A name that stays in the folder it is put into."""
    if Path(name).name != name:
        raise PackError(f"{name!r} is not a plain file name")
    return name
