"""A pack: a folder of models with a manifest that says what each is for. Found, read, checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import face_server
from face_server.errors import FaceError
from face_server.vision import manifest

BUILTIN = "builtin"
ROLES = (
    "detect",
    "landmarks",
    "pose",
    "embed",
    "liveness",
    "age_gender",
    "attributes",
    "expression",
    "glasses",
    "mask",
    "occlusion",
    "parsing",
    "dewater",
    "quality",
)
# What a role table says about the files; everything else are parameters of the adapter.
_ABOUT_FILES = frozenset({"file", "files", "sha256", "bytes", "made_from", "adapter", "licence"})
# Parameters that leave the embedding as it is.
_ABOUT_SCORES = frozenset({"calibration", "accuracy", "note", "source"})


class PackError(FaceError):
    """A pack that is missing, or cannot be used as it is."""


class TooFewPairs(FaceError):
    """Not enough pictures of different people to measure the rate that 80 stands for."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Raw model value -> score, piecewise linear between knots."""

    raw: tuple[float, ...]
    score: tuple[float, ...]
    far: tuple[tuple[float, float], ...] = ()  # measured: false accept rate, its threshold on the raw scale


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    adapter: str
    files: tuple[Path, ...]
    sha256: tuple[str, ...]
    licence: str
    parameters: Mapping[str, Any]
    made_from: tuple[str, ...] = ()  # sha256 of the files it was made from, where this machine made it

    @property
    def file(self) -> Path:
        """Of a role with one model."""
        return self.files[0]

    @property
    def calibration(self) -> Calibration | None:
        table = self.parameters.get("calibration")
        if table is None:
            return None
        raw = table.get("cosine", table.get("raw"))
        return Calibration(tuple(raw), tuple(table["score"]), tuple((rate, at) for rate, at in table.get("far", ())))

    @property
    def identity(self) -> str:
        """Digest of what decides the model's answers: the weights, the adapter and its preprocessing.

        A model that install rewrites (another batch size, another container) counts by what it was made from: the
        writer's version must not change the identity.
        """
        parameters = {key: value for key, value in self.parameters.items() if key not in _ABOUT_SCORES}
        facts = [list(self.made_from or self.sha256), self.adapter, parameters]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Problem:
    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Pack:
    folder: Path
    name: str
    version: str
    licence: str
    source: str
    notice: str  # what a user must know before using it; may be empty
    roles: Mapping[str, Role]

    @classmethod
    def load(cls, folder: Path) -> Pack:
        """Read the manifest and see that its files are there. Their contents are `verify`'s business."""
        path = folder / manifest.NAME
        try:
            table = manifest.read(path)
        except FileNotFoundError:
            raise PackError(f"no pack in {folder}: {manifest.NAME} is missing") from None
        except (OSError, ValueError) as error:
            raise PackError(f"{path}: {error}") from error
        roles = {name: _role(path, name, entry) for name, entry in _tables(path, table.get("roles", {}))}
        if "detect" not in roles:
            raise PackError(f"{path}: roles.detect is missing: a pack without a detector finds no face")
        return cls(
            folder=folder,
            name=_text(path, table, "name"),
            version=_text(path, table, "version"),
            licence=_text(path, table, "licence"),
            source=str(table.get("source", "")),
            notice=str(table.get("notice", "")),
            roles=roles,
        )

    @property
    def embedding_id(self) -> str:
        """Templates of different ids never mix. Empty for a pack without an embedder."""
        embed = self.roles.get("embed")
        return embed.identity if embed else ""

    def files(self) -> dict[Path, str]:
        """Every model file with the sha256 the manifest gives."""
        return {
            file: digest for role in self.roles.values() for file, digest in zip(role.files, role.sha256, strict=True)
        }

    def verify(self, told: Callable[[int], None] = lambda done: None) -> list[Problem]:
        """Hash every file; what is wrong, or nothing. `told` hears how many are done, and stops it when it raises."""
        problems = []
        for number, (file, should) in enumerate(self.files().items(), 1):
            if (digest := sha256(file)) != should:
                problems.append(Problem(file.name, f"sha256 is {digest}, not {should}"))
            told(number)
        return problems


def models_home(kind: str) -> Path:
    """The folder of what comes with the product: `builtin` (a pack) or `packs` (definitions of others)."""
    package = Path(face_server.__file__).resolve().parent
    # In a wheel the models lie inside the package, in a checkout beside it.
    for root in (package / "models", package.parent / "models"):
        if (root / kind).is_dir():
            return root / kind
    return package.parent / "models" / kind


def find_pack(name_or_path: str, models_dir: Path) -> Pack:
    """The pack of that name, or in that folder."""
    return Pack.load(pack_folder(name_or_path, models_dir))


def pack_folder(name_or_path: str, models_dir: Path) -> Path:
    if name_or_path == BUILTIN:
        return models_home(BUILTIN)
    if "/" in name_or_path or name_or_path.startswith(("~", ".")):
        return Path(name_or_path).expanduser()
    folder = models_dir / name_or_path
    if not (folder / manifest.NAME).exists():
        hint = f"`face-server models install {name_or_path}` fetches it" if defined(name_or_path) else "no such pack"
        raise PackError(f"pack {name_or_path!r} is not in {models_dir}: {hint}")
    return folder


def defined(name: str) -> Path | None:
    """The definition of a pack that can be installed by name."""
    path = models_home("packs") / f"{name}.toml"
    return path if path.is_file() else None


def sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _tables(path: Path, roles: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(roles, dict) or not all(isinstance(entry, dict) for entry in roles.values()):
        raise PackError(f"{path}: roles must be tables")
    unknown = sorted(roles.keys() - set(ROLES))
    if unknown:
        raise PackError(f"{path}: unknown role {', '.join(unknown)}; known are {', '.join(ROLES)}")
    yield from roles.items()


def _role(path: Path, name: str, table: dict[str, Any]) -> Role:
    where = f"{path}: roles.{name}"
    names = table.get("files") or [_text(path, table, "file", name)]
    digests = table.get("sha256", "")
    digests = [digests] if isinstance(digests, str) else digests
    if len(digests) != len(names) or not all(isinstance(d, str) and len(d) == 64 for d in digests):
        raise PackError(f"{where}: needs one sha256 (64 hex digits) for each file")
    sizes = table.get("bytes", [])
    files = tuple(_file(where, path.parent, str(file)) for file in names)
    for file, size in zip(files, [sizes] if isinstance(sizes, int) else sizes, strict=False):
        if file.stat().st_size != size:
            raise PackError(f"{file}: {file.stat().st_size} bytes, not {size}: it was changed or copied in part")
    return Role(
        name=name,
        adapter=_text(path, table, "adapter", name),
        files=files,
        sha256=tuple(digests),
        licence=_text(path, table, "licence", name),
        parameters={key: value for key, value in table.items() if key not in _ABOUT_FILES},
        made_from=tuple(table.get("made_from", ())),
    )


def _file(where: str, folder: Path, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise PackError(f"{where}: {name} lies outside the pack")
    file = folder / name
    if not file.is_file():
        raise PackError(f"{where}: {name} is missing")
    return file


def _text(path: Path, table: dict[str, Any], key: str, role: str = "") -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise PackError(f"{path}: {f'roles.{role}.' if role else ''}{key} is missing or not a text")
    return value
