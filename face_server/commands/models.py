"""`face-server models`: which packs there are, installing, checking and calibrating them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from face_server.commands.said import print_json
from face_server.errors import FaceError
from face_server.packs import CARD, Origin, Packs, Told, gives, measured_rates, packs_of, size
from face_server.settings import load_settings
from face_server.vision import manifest
from face_server.vision.packs import BUILTIN, Pack

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
    rows = list(_packs(models_dir).overview())
    if as_json:
        print_json(rows)
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
        pack = _packs(models_dir).find(name)
        facts = _facts(pack)
    if as_json:
        print_json(facts)
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
    packs = _packs(models_dir)
    names = [name] if name else [row["name"] for row in packs.overview() if row["state"] != "available"]
    report = {each: [{"file": one.file, "problem": one.text} for one in packs.verify(each)] for each in names}
    if as_json:
        print_json(report)
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
    as_json: Json = False,
) -> None:
    """Fetch a pack from its authors (or a folder, an archive, a mirror), check it and make it ready."""
    with _errors():
        packs = _packs(models_dir)
        definition = packs.definition(name)
        (err if as_json else out).print(definition.licence_text(), markup=False, highlight=False, soft_wrap=True)
        if not accept_license and not _accepted():
            err.print("The licence was not accepted: nothing was installed.")
            raise typer.Exit(2)
        with _downloads() as told:
            pack = packs.install(definition, Origin(from_folder, zip_file, mirror), told)
    if as_json:
        print_json(_facts(pack))
        return
    _say(f"Installed {pack.name} in {pack.folder}. Start with FACE_PACK={pack.name} to use it.")
    if "embed" in pack.roles and not measured_rates(pack):
        _say(f"Its score table is not measured; make one with `face-server models calibrate {pack.name}`.")
    for file, digest in pack.files().items():
        _say(f"  {digest}  {file.name}")


@app.command()
def calibrate(
    name: Annotated[str, typer.Argument(help="a pack's name, or the path of its folder")],
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="a folder with one folder per person, or a zip of one")
    ] = None,
    pairs: Annotated[Path | None, typer.Option("--pairs", help="CSV rows: picture, picture, 1 for one person")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="measure, write nothing")] = False,
    models_dir: ModelsDir = None,
    as_json: Json = False,
) -> None:
    """Make the table from cosine to score: 80 is a false accept rate of 1e-4 on these pictures."""
    with _errors():
        packs = _packs(models_dir)
        with _reading() as told:
            measured, faceless = packs.calibrate(name, pictures, pairs, told, write=not dry_run)
        if faceless:
            err.print(f"{faceless} pictures show no face and are left out")
    if as_json:
        print_json(measured.table())
        return
    _say(f"{measured.genuine:,} pairs of one person, {measured.impostor:,} of two")
    for point in measured.points:
        _say(f"FAR {point.rate:g}: cosine {point.cosine:.3f}, score {point.score:g}, TAR {point.recall:.3f}")
    _say("nothing written" if dry_run else f"written to {packs.find(name).folder / manifest.NAME}")


@contextmanager
def _downloads() -> Iterator[Told]:
    """A bar for each file that comes from the network."""
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bars:
        yield _bars(bars)


@contextmanager
def _reading() -> Iterator[Told]:
    with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), console=err) as bars:
        yield _bars(bars)


def _bars(bars: Progress) -> Told:
    tasks: dict[str, TaskID] = {}

    def told(name: str, done: int, total: int) -> None:
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=None)
        bars.update(tasks[name], completed=done, total=total or None)

    return told


def _accepted() -> bool:
    """Asks a person; a script has to say --accept-license."""
    return sys.stdin.isatty() and typer.confirm("Do you accept this licence?", default=False, err=True)


def _facts(pack: Pack) -> dict[str, Any]:
    return {
        "name": pack.name,
        "version": pack.version,
        "licence": pack.licence,
        "source": pack.source,
        "notice": pack.notice,
        "folder": str(pack.folder),
        "embedding_id": pack.embedding_id,
        "bytes": size(pack),
        "gives": gives(pack),
        "card": str(card) if (card := pack.folder / CARD).exists() else "",
        "far": [list(pair) for pair in measured_rates(pack)],
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


def _packs(models_dir: Path | None) -> Packs:
    return Packs(models_dir) if models_dir else packs_of(load_settings())


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _say(text: str) -> None:
    """As it is: nothing in it is markup, and a path is never broken in two."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


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
