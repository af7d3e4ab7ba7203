"""`face-server models`: which packs there are, installing, checking and calibrating them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn, track
from rich.table import Table

from face_server.errors import FaceError
from face_server.settings import load_settings
from face_server.vision import install as installing
from face_server.vision import manifest
from face_server.vision.fetch import FromNetwork
from face_server.vision.packs import BUILTIN, Pack, PackError, defined, find_pack, models_home

if TYPE_CHECKING:
    from face_server.vision.calibration import Measured

CARD = "MODEL_CARD.md"

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Packs of models: list, install, verify, info, calibrate."
)
out = Console()
err = Console(stderr=True)

PackName = Annotated[str, typer.Argument(help="a pack's name, or the path of its folder")]
ModelsDir = Annotated[
    Path | None, typer.Option("--models-dir", help="where installed packs are [FACE_MODELS_DIR]", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command("list")
def list_packs(models_dir: ModelsDir = None, as_json: Json = False) -> None:
    """Packs that are installed, and packs that can be."""
    rows = list(_overview(_models_dir(models_dir)))
    if as_json:
        _print_json(rows)
        return
    table = Table("pack", "state", "licence", "size", box=None)
    for row in rows:
        table.add_row(row["name"], row["state"], row["licence"], _size(row["bytes"]))
    out.print(table)
    for row in rows:
        if "problem" in row:
            _say(f"{row['name']}: {row['problem']}")


@app.command()
def info(name: PackName = BUILTIN, models_dir: ModelsDir = None, as_json: Json = False) -> None:
    """Roles, files, licences and measured accuracy of an installed pack."""
    with _errors():
        pack = find_pack(name, _models_dir(models_dir))
        facts = _facts(pack)
    if as_json:
        _print_json(facts)
        return
    _say(f"{pack.name} {pack.version}, {pack.licence}, {_size(facts['bytes'])}, in {pack.folder}")
    _say(f"gives {', '.join(facts['gives'])}")
    _say(f"embedding id {pack.embedding_id or '(no embedder)'}")
    table = Table("role", "adapter", "size", "licence", box=None)
    for role, row in facts["roles"].items():
        table.add_row(role, row["adapter"], _size(row["bytes"]), row["licence"])
    out.print(table)
    for role, row in facts["roles"].items():
        if row["accuracy"]:
            _say(f"{role}: {row['accuracy']}")
    for rate, threshold in facts["far"]:
        _say(f"embed: a stranger passes once in {round(1 / rate):,} comparisons at cosine {threshold:.3f}")
    if facts["card"]:
        _say(f"measured accuracy, data and known failures: {facts['card']}")
    if pack.notice:
        _say(pack.notice.strip())


@app.command()
def verify(name: PackName = "", models_dir: ModelsDir = None, as_json: Json = False) -> None:
    """Hash every file of one pack, or of all that are installed."""
    folder = _models_dir(models_dir)
    names = [name] if name else [row["name"] for row in _overview(folder) if row["state"] != "available"]
    report: dict[str, list[dict[str, str]]] = {}
    for each in names:
        try:
            problems = [{"file": found.file, "problem": found.text} for found in find_pack(each, folder).verify()]
        except PackError as error:
            problems = [{"file": "", "problem": str(error)}]
        report[each] = problems
    if as_json:
        _print_json(report)
    else:
        for each, problems in report.items():
            _say(f"{each}: {f'{len(problems)} wrong' if problems else 'good'}")
            for problem in problems:
                _say(f"  {problem['file']} {problem['problem']}")
    if any(report.values()):
        raise typer.Exit(1)


@app.command()
def install(
    name: Annotated[str, typer.Argument(help="a pack's name (see list), or the path of a definition")],
    accept_license: Annotated[bool, typer.Option("--accept-license", help="I have read and accept it")] = False,
    from_folder: Annotated[
        Path | None, typer.Option("--from", help="take the files from this folder, by name or sha256")
    ] = None,
    zip_file: Annotated[Path | None, typer.Option("--zip", help="take the files from this local archive")] = None,
    mirror: Annotated[str, typer.Option(help="fetch from this address instead of the authors' hosts")] = "",
    models_dir: ModelsDir = None,
) -> None:
    """Fetch a pack from its authors (or a folder, an archive, a mirror), check it and make it ready."""
    with _errors():
        definition = _definition(name)
        _say(definition.licence_text())
        if not accept_license and not _accepted():
            err.print("The licence was not accepted: nothing was installed.")
            raise typer.Exit(2)
        folder = _models_dir(models_dir)
        if from_folder:
            pack = installing.install(definition, installing.FromFolder(from_folder), folder)
        elif zip_file:
            pack = installing.install(definition, installing.FromZip(zip_file), folder)
        else:
            pack = _install_from_network(definition, mirror, folder)
    _say(f"Installed {pack.name} in {pack.folder}. Start with FACE_PACK={pack.name} to use it.")
    if "embed" in pack.roles and not _measured_rates(pack):
        _say(f"Its score table is not measured; make one with `face-server models calibrate {pack.name}`.")
    for file, digest in pack.files().items():
        _say(f"  {digest}  {file.name}")


@app.command()
def calibrate(
    name: Annotated[str, typer.Argument(help="a pack's name, or the path of its folder")],
    pictures: Annotated[Path | None, typer.Option("--pictures", help="a folder with one folder per person")] = None,
    pairs: Annotated[Path | None, typer.Option("--pairs", help="CSV rows: picture, picture, 1 for one person")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="measure, write nothing")] = False,
    models_dir: ModelsDir = None,
    as_json: Json = False,
) -> None:
    """Make the table from cosine to score: 80 is a false accept rate of 1e-4 on these pictures."""
    with _errors():
        if (pictures is None) == (pairs is None):
            raise PackError("name either --pictures or --pairs")
        pack = find_pack(name, _models_dir(models_dir))
        measured = _measured(pack, pictures, pairs)
        if not dry_run:
            table = manifest.read(pack.folder / manifest.NAME)
            table["roles"]["embed"]["calibration"] = measured.table()
            manifest.write(pack.folder / manifest.NAME, table)
    if as_json:
        _print_json(measured.table())
        return
    _say(f"{measured.genuine:,} pairs of one person, {measured.impostor:,} of two")
    for point in measured.points:
        _say(f"FAR {point.rate:g}: cosine {point.cosine:.3f}, score {point.score:g}, TAR {point.recall:.3f}")
    _say("nothing written" if dry_run else f"written to {pack.folder / manifest.NAME}")


def _measured(pack: Pack, pictures: Path | None, pairs: Path | None) -> Measured:
    # Calibration runs models; the other commands do not, and the server's start should not pay for it either.
    import numpy as np

    from face_server.vision import calibration

    embed = calibration.embedder(pack)
    people = calibration.people_in(pictures) if pictures else {}
    listed = calibration.pairs_in(pairs) if pairs else []
    wanted = sorted(people or {path for pair in listed for path in pair[:2]})
    found = {
        path: vector for path in track(wanted, "Reading faces", console=err) if (vector := embed(path)) is not None
    }
    if len(found) < len(wanted):
        err.print(f"{len(wanted) - len(found)} of {len(wanted)} pictures show no face and are left out")
    if listed:
        return calibration.measure(*calibration.listed(found, listed))
    if not found:
        raise PackError(f"no face in any picture below {pictures}")
    vectors = np.stack(list(found.values()))
    return calibration.measure(*calibration.each_with_each(vectors, [people[path] for path in found]))


def _install_from_network(definition: installing.Definition, mirror: str, folder: Path) -> Pack:
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bars:

        def bar(name: str) -> Callable[[int, int], None]:
            task = bars.add_task(name, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total or None)

        network = FromNetwork(folder / ".downloads" / definition.name, mirror, bar)
        source: installing.Source = network
        if definition.archive:
            source = installing.FromZip(network.download(definition.archive))
        pack = installing.install(definition, source, folder)
    network.clear()
    return pack


def _definition(name: str) -> installing.Definition:
    path = defined(name) or Path(name)
    if not path.is_file():
        known = ", ".join(path.stem for path in sorted(models_home("packs").glob("*.toml")))
        raise PackError(f"{name!r} is not a pack that can be installed; known are {known}")
    return installing.Definition.load(path)


def _accepted() -> bool:
    """Asks a person; a script has to say --accept-license."""
    return sys.stdin.isatty() and typer.confirm("Do you accept this licence?", default=False, err=True)


def _overview(models_dir: Path) -> Iterator[dict[str, Any]]:
    """A row for each pack: those that come with the product, those installed, those that can be."""
    seen = set()
    for folder in (models_home(BUILTIN), *sorted(path for path in models_dir.glob("[!.]*") if path.is_dir())):
        if not (folder / manifest.NAME).exists():
            continue
        seen.add(folder.name)
        try:
            pack = Pack.load(folder)
        except PackError as error:
            yield {"name": folder.name, "state": "broken", "licence": "", "bytes": 0, "problem": str(error)}
        else:
            state = "built in" if folder == models_home(BUILTIN) else "installed"
            yield {"name": folder.name, "state": state, "licence": pack.licence, "bytes": _bytes(pack)}
    for path in sorted(models_home("packs").glob("*.toml")):
        if path.stem not in seen:
            it = installing.Definition.load(path)
            yield {"name": it.name, "state": "available", "licence": it.licence, "bytes": it.download_bytes}


def _facts(pack: Pack) -> dict[str, Any]:
    return {
        "name": pack.name,
        "version": pack.version,
        "licence": pack.licence,
        "source": pack.source,
        "notice": pack.notice,
        "folder": str(pack.folder),
        "embedding_id": pack.embedding_id,
        "bytes": _bytes(pack),
        "gives": _gives(pack),
        "card": str(card) if (card := pack.folder / CARD).exists() else "",
        "far": [list(pair) for pair in _measured_rates(pack)],
        "roles": {
            role.name: {
                "adapter": role.adapter,
                "files": [file.name for file in role.files],
                "bytes": sum(file.stat().st_size for file in role.files),
                "licence": role.licence,
                "accuracy": str(role.parameters.get("accuracy", "")),
            }
            for role in pack.roles.values()
        },
    }


def _gives(pack: Pack) -> list[str]:
    """What requests can ask of it. Its models know, so they are opened."""
    from face_server.vision import offline

    return [want.name.lower() for want in offline.analyzer(pack).capabilities if want.name]


def _measured_rates(pack: Pack) -> tuple[tuple[float, float], ...]:
    """False accept rates of the embedder, each with its threshold."""
    embed = pack.roles.get("embed")
    return embed.calibration.far if embed and embed.calibration else ()


def _bytes(pack: Pack) -> int:
    return sum(file.stat().st_size for file in pack.files())


def _models_dir(given: Path | None) -> Path:
    settings = load_settings()
    return given or settings.models_dir or settings.data_dir / "models"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _say(text: str) -> None:
    """As it is: nothing in it is markup, and a path is never broken in two."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


@contextmanager
def _errors() -> Iterator[None]:
    """What a user can mend is told in one line, without a stack."""
    try:
        yield
    except FaceError as error:
        err.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
