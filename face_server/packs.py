"""What an operator does with packs, the same for the command line and the admin API: list, install, verify, calibrate.

Everything here works in the caller's thread. `told` hears how far it is, and stops the work when it raises."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from face_server.settings import Settings
from face_server.vision import install as installing
from face_server.vision import manifest
from face_server.vision.fetch import FromNetwork
from face_server.vision.packs import BUILTIN, Pack, PackError, Problem, TooFewPairs, defined, find_pack, models_home

if TYPE_CHECKING:
    from face_server.vision.calibration import Measured

__all__ = ["CARD", "MANIFEST", "Origin", "Pack", "PackError", "Packs", "Table", "Told", "TooFewPairs"]

CARD, MANIFEST = "MODEL_CARD.md", manifest.NAME
MOST_UNPACKED = 20 << 30  # bytes of an archive of pictures

Told = Callable[[str, int, int], None]  # what it is at, how much of it is done, of how much (0: unknown)


def silent(what: str, done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the files of a pack come from: a folder, an archive, or else the network."""

    folder: Path | None = None
    archive: Path | None = None
    mirror: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: list[str]
    rows: list[list[str]]


class Packs:
    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir

    def find(self, name: str) -> Pack:
        return find_pack(name, self.models_dir)

    def overview(self) -> Iterator[dict[str, Any]]:
        """A row for each pack: those that come with the product, those installed, those that can be."""
        seen = set()
        for folder in (models_home(BUILTIN), *sorted(path for path in self.models_dir.glob("[!.]*") if path.is_dir())):
            if not (folder / manifest.NAME).exists():
                continue
            seen.add(folder.name)
            try:
                pack = Pack.load(folder)
            except PackError as error:
                yield {"name": folder.name, "state": "broken", "licence": "", "bytes": 0, "problem": str(error)}
            else:
                state = "built in" if folder == models_home(BUILTIN) else "installed"
                yield {"name": folder.name, "state": state, "licence": pack.licence, "bytes": size(pack)}
        for path in sorted(models_home("packs").glob("*.toml")):
            if path.stem not in seen:
                it = installing.Definition.load(path)
                yield {"name": it.name, "state": "available", "licence": it.licence, "bytes": it.download_bytes}

    def definition(self, name: str) -> installing.Definition:
        path = defined(name) or Path(name)
        if not path.is_file():
            known = ", ".join(path.stem for path in sorted(models_home("packs").glob("*.toml")))
            raise PackError(f"{name!r} is not a pack that can be installed; known are {known}")
        return installing.Definition.load(path)

    def install(self, definition: installing.Definition, origin: Origin, told: Told = silent) -> Pack:
        """The licence has been accepted."""
        if origin.folder:
            return installing.install(definition, installing.FromFolder(origin.folder), self.models_dir)
        if origin.archive:
            return installing.install(definition, installing.FromZip(origin.archive), self.models_dir)
        network = FromNetwork(self.models_dir / ".downloads" / definition.name, origin.mirror, _each(told))
        source: installing.Source = network
        if definition.archive:
            source = installing.FromZip(network.download(definition.archive))
        pack = installing.install(definition, source, self.models_dir)
        network.clear()
        return pack

    def verify(self, name: str, told: Told = silent) -> list[Problem]:
        """What is wrong with a pack; one that cannot be read is wrong as a whole."""
        try:
            pack = self.find(name)
        except PackError as error:
            return [Problem("", str(error))]
        count = len(pack.files())
        return pack.verify(lambda done: told("files", done, count))

    def calibrate(
        self, name: str, pictures: Path | None, pairs: Path | None, told: Told = silent, *, write: bool = True
    ) -> tuple[Measured, int]:
        """Make the table from cosine to score of an installed pack, and how many pictures show no face. `pictures`: a
        folder with one folder per person, or an archive of one."""
        if (pictures is None) == (pairs is None):
            raise PackError("name either pictures or pairs")
        pack = self.find(name)
        with _folder(pictures) as folder:
            measured, faceless = _measured(pack, folder, pairs, told)
        if write:
            table = manifest.read(pack.folder / manifest.NAME)
            table["roles"]["embed"]["calibration"] = measured.table()
            manifest.write(pack.folder / manifest.NAME, table)
        return measured, faceless


def packs_of(settings: Settings) -> Packs:
    return Packs(settings.models_dir or settings.data_dir / "models")


def size(pack: Pack) -> int:
    return sum(file.stat().st_size for file in pack.files())


def gives(pack: Pack) -> list[str]:
    """What requests can ask of it. Its models know, so they are opened."""
    from face_server.vision import offline

    return [want.name.lower() for want in offline.analyzer(pack).capabilities if want.name]


def measured_rates(pack: Pack) -> tuple[tuple[float, float], ...]:
    """False accept rates of the embedder, each with its threshold."""
    embed = pack.roles.get("embed")
    return embed.calibration.far if embed and embed.calibration else ()


def card(pack: Pack) -> list[Table]:
    """The tables of the model card: what was measured of each role."""
    path = pack.folder / CARD
    found: list[Table] = []
    title, inside = "", False
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        if line.startswith("#"):
            title = line.lstrip("# ")
        if not line.startswith("|"):
            inside = False
        elif set(line) <= set("|-: "):
            continue  # between the head and the rows
        elif inside:
            found[-1].rows.append(_cells(line))
        else:
            found.append(Table(title, _cells(line), []))
            inside = True
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _each(told: Told) -> Callable[[str], Callable[[int, int], None]]:
    return lambda name: lambda done, total: told(name, done, total)


def _measured(pack: Pack, pictures: Path | None, pairs: Path | None, told: Told) -> tuple[Measured, int]:
    # Calibration runs models; the other commands do not, and the server's start should not pay for it either.
    import numpy as np

    from face_server.vision import calibration

    embed = calibration.embedder(pack)
    people = calibration.people_in(pictures) if pictures else {}
    listed = calibration.pairs_in(pairs) if pairs else []
    wanted = sorted(people or {path for pair in listed for path in pair[:2]})
    found = {}
    for number, path in enumerate(wanted):
        told("pictures", number, len(wanted))
        vector = embed(path)
        if vector is not None:
            found[path] = vector
    told("pictures", len(wanted), len(wanted))
    if listed:
        return calibration.measure(*calibration.listed(found, listed)), len(wanted) - len(found)
    if not found:
        raise PackError(f"no face in any picture below {pictures}")
    vectors = np.stack(list(found.values()))
    both = calibration.each_with_each(vectors, [people[path] for path in found])
    return calibration.measure(*both), len(wanted) - len(found)


@contextmanager
def _folder(pictures: Path | None) -> Iterator[Path | None]:
    """As it is, or what an archive holds of folders with pictures."""
    if pictures is None or pictures.is_dir():
        yield pictures
        return
    try:
        with tempfile.TemporaryDirectory(prefix="calibrate.") as room, zipfile.ZipFile(pictures) as archive:
            _unpack(archive, Path(room))
            yield Path(room)
    except (OSError, zipfile.BadZipFile) as error:
        raise PackError(f"{pictures} is neither a folder nor an archive: {error}") from error


def _unpack(archive: zipfile.ZipFile, room: Path) -> None:
    """name/photo, whatever folders are around them; names are made anew, so that none leads out of the room."""
    members = [one for one in archive.infolist() if not one.is_dir() and len(PurePosixPath(one.filename).parts) > 1]
    if sum(one.file_size for one in members) > MOST_UNPACKED:
        raise PackError(f"the archive holds more than {MOST_UNPACKED >> 30} GB")
    people: dict[PurePosixPath, Path] = {}
    for number, member in enumerate(members):
        name = PurePosixPath(member.filename)
        home = people.setdefault(name.parent, room / str(len(people)))
        home.mkdir(exist_ok=True)
        (home / f"{number}{name.suffix.lower()}").write_bytes(archive.read(member))
