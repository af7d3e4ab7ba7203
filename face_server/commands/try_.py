"""`face-server try`: what the models see in a photo. Needs no server."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from face_server.admin import shapes
from face_server.commands import remote
from face_server.commands.drawing import drawn, written
from face_server.commands.said import fail, print_json
from face_server.errors import FaceError, PictureError
from face_server.model import Analysis, Task, Want
from face_server.request import RequestContext, current
from face_server.settings import Settings, load_settings
from face_server.vision import offline
from face_server.vision.analyzer import Analyzer, Limits
from face_server.vision.packs import find_pack

app = typer.Typer(add_completion=False)

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Seen:
    file: Path
    analysis: Analysis
    stages: dict[str, float]
    milliseconds: float


@app.command(name="try")
def try_(
    photos: Annotated[list[Path], typer.Argument(help="photos", exists=True, dir_okay=False)],
    save: Annotated[
        Path | None,
        typer.Option("--save", help="draw boxes and points here; a second photo goes to OUT-2.png", dir_okay=False),
    ] = None,
    faces: Annotated[int, typer.Option(min=1, help="so many of a photo at most, the largest first")] = 100,
    turned: Annotated[bool, typer.Option("--turned", help="also look for faces that lie on a side")] = False,
    pack: Annotated[str, typer.Option(help="the models [FACE_PACK]", show_default=False)] = "",
    as_json: remote.Json = False,
) -> None:
    """Look at photos: every face with its box, angles, quality, attributes, liveness, and how long it took.

    Exit code 1 when a photo shows no face or cannot be read.
    """
    try:
        settings = load_settings()
        if save:
            written(np.zeros((1, 1, 3), np.uint8), save.suffix)
        analyzer = _analyzer(settings, pack or settings.pack)
    except (FaceError, ValueError, OSError) as error:
        fail(str(error), remote.WRONG_WORDS)
    want = analyzer.capabilities & ~Want.PARSING & (Want(~0) if settings.race else ~Want.RACE)
    task = Task(want, faces, any_turn=turned)
    report, good = [], True
    for number, photo in enumerate(photos, 1):
        try:
            seen = _look(analyzer, photo, task)
        except (PictureError, OSError) as error:
            good = False
            report.append({"file": str(photo), "error": str(error)})
            print(f"face-server: {photo}: {error}", file=sys.stderr)
            continue
        good = good and bool(seen.analysis.faces)
        report.append(_facts(seen))
        if not as_json:
            _tell(seen)
        if save:
            place = save if number == 1 else save.with_stem(f"{save.stem}-{number}")
            try:
                picture = drawn(photo.read_bytes(), seen.analysis.faces, settings.max_picture_pixels)
                place.write_bytes(written(picture, place.suffix))
            except OSError as error:
                fail(str(error), remote.WRONG_WORDS)
    if as_json:
        print_json(report)
    raise typer.Exit(0 if good else remote.REFUSED)


def _analyzer(settings: Settings, name: str) -> Analyzer:
    pack = find_pack(name, settings.models_dir or settings.data_dir / "models")
    analyzer = offline.analyzer(pack)
    analyzer.limits = Limits(settings.max_picture_pixels)
    return analyzer


def _look(analyzer: Analyzer, photo: Path, task: Task) -> Seen:
    data = photo.read_bytes()
    analyzer.analyze(data, task)  # a model's first run takes longer than all later ones
    context = RequestContext(0, NEVER)
    token = current.set(context)
    begun = time.perf_counter()
    try:
        analysis = analyzer.analyze(data, task)
    finally:
        current.reset(token)
    return Seen(photo, analysis, context.stages, (time.perf_counter() - begun) * 1000)


def _facts(seen: Seen) -> dict[str, Any]:
    """As the admin API tells it, and the file."""
    return {
        "file": str(seen.file),
        "width": seen.analysis.width,
        "height": seen.analysis.height,
        "faces": [shapes.face(face).model_dump() for face in seen.analysis.faces],
        "stages": {name: round(spent, 2) for name, spent in seen.stages.items()},
        "milliseconds": round(seen.milliseconds, 2),
    }


def _tell(seen: Seen) -> None:
    count = len(seen.analysis.faces)
    faces = "no face" if not count else "1 face" if count == 1 else f"{count} faces"
    remote.out.print(f"{seen.file}: {seen.analysis.width}x{seen.analysis.height}, {faces}")
    if count:
        table = Table("", "box", "score", "angles", "quality", "attributes", "liveness", box=None, show_lines=True)
        for number, face in enumerate(seen.analysis.faces, 1):
            table.add_row(str(number), *_cells(shapes.face(face)))
        remote.print_table(table)
    spent = ", ".join(f"{name} {value:.1f}" for name, value in seen.stages.items())
    remote.out.print(f"milliseconds: {seen.milliseconds:.1f} in all, {spent}")


def _cells(face: shapes.Face) -> tuple[str, ...]:
    box, pose = face.box, face.pose
    return (
        f"{box.left:.0f},{box.top:.0f}\n{box.width:.0f}x{box.height:.0f}",
        f"{face.probability:.2f}",
        f"yaw {pose.yaw:z.0f}\npitch {pose.pitch:z.0f}\nroll {pose.roll:z.0f}" if pose else "-",
        _quality(face),
        "\n".join(_attributes(face.attributes)) or "-",
        "-" if face.liveness is None else f"{face.liveness:.3f}\n{_gate(face.gates.liveness)}",
    )


def _quality(face: shapes.Face) -> str:
    seen = face.quality
    if seen is None:
        return "-"
    whole = "whole" if seen.completeness else "cut off"
    lines = [f"blur {seen.blur:.2f}, light {seen.illumination:.0f}, {whole}"]
    if seen.occlusion is not None:
        covered = [f"{part} {share:.2f}" for part, share in seen.occlusion if share >= 0.1]
        lines.append(f"covered: {', '.join(covered) or 'nothing'}")
    return "\n".join([*lines, _gate(face.gates.quality)])


def _gate(results: dict[str, shapes.Refused | None]) -> str:
    """The lowest level that refuses, and why."""
    for level, refused in results.items():
        if refused is not None:
            return f"refused from {level} on: {refused.defect} {refused.value:.2f}, limit {refused.limit:g}"
    return "passes HIGH"


def _attributes(seen: shapes.Attributes) -> list[str]:
    lines = []
    for name, value in seen:
        if isinstance(value, shapes.Choice):
            lines.append(f"{name} {value.type} {value.probability:.2f}")
        elif isinstance(value, shapes.Eyes):
            lines.append(f"eyes open {value.left:.2f} {value.right:.2f}")
        elif value is not None:
            lines.append(f"{name} {value:.2f}" if value <= 1 else f"{name} {value:.0f}")
    return lines
