"""`face-server size`: what machine a library and a load need, from figures that scripts/sizing.py and scripts/gpu
measured."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

MB, GB = 2**20, 2**30
PICTURE_BYTES = 12_000  # a stored crop of 640x480 photos; FACE_STORE_PICTURES=picture keeps the whole picture
LOAD = 0.7  # of a core: what is planned fuller waits
HEADROOM = 1.5  # of memory: writes, snapshots and pictures in work
ROOM_ON_CARD = 1.25  # blocks that are not full
LARGE = 50_000  # faces of a group, from which on a search has two stages


@dataclass(frozen=True, slots=True)
class Measured:
    base_mb: float  # the server with its models
    face_bytes: float  # of memory
    disk_bytes: float  # of the database, without a picture
    identify_ms: float  # of one core, the search among 10,000 faces included
    detect_ms: float
    dimensions: int = 128  # of a template
    scan_ms: float = 0.015  # of one core for each 1,000 faces that are compared one by one
    stages_ms: float = 0.0036  # the same in two stages


# Of the pack builtin, photos of 640x480; the core was one of an EPYC of the third generation, shared.
BUILTIN = Measured(base_mb=243, face_bytes=771, disk_bytes=533, identify_ms=17.8, detect_ms=11.4)

app = typer.Typer(help="What machine a library and a load need.")


@dataclass(frozen=True, slots=True)
class Need:
    cores: int
    memory_gb: float
    disk_gb: float
    snapshots_gb: float
    card_gb: float  # of the galleries, where cards search them
    cards: int | None  # None: nobody has said what one of them serves


def search_ms(faces: int, of: Measured) -> float:
    """Of one core for one search in one group of so many faces."""
    return faces / 1000 * (of.scan_ms if faces < LARGE else of.stages_ms)


def need(
    faces: int,
    qps: float,
    interface: Literal["identify", "detect"],
    pictures: bool,
    of: Measured,
    card_qps: float | None = None,
) -> Need:
    cost = of.detect_ms
    if interface == "identify":
        cost = of.identify_ms + max(0.0, search_ms(faces, of) - search_ms(10_000, of))
    snapshots = faces * of.face_bytes
    disk = faces * (of.disk_bytes + PICTURE_BYTES * pictures) + snapshots
    return Need(
        cores=max(1, math.ceil(qps * cost / 1000 / LOAD)),
        memory_gb=round((of.base_mb * MB + faces * of.face_bytes) * HEADROOM / GB, 1),
        disk_gb=round(disk / GB, 1),
        snapshots_gb=round(snapshots / GB, 1),
        card_gb=round(faces * 2 * (of.dimensions + 1) * ROOM_ON_CARD / GB, 1),
        cards=None if card_qps is None else max(1, math.ceil(qps / card_qps / LOAD)),
    )


@app.command()
def size(
    faces: Annotated[int, typer.Option(min=0, help="registered faces")],
    qps: Annotated[float, typer.Option(min=0, help="requests a second at the busiest time")],
    interface: Annotated[str, typer.Option(help="identify or detect")] = "identify",
    card_qps: Annotated[
        float | None, typer.Option("--gpu-qps", min=0.1, help="requests a second of one GPU, by python -m scripts.gpu")
    ] = None,
    pictures: Annotated[bool, typer.Option(help="crops of registered faces are kept")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Cores, memory, disk and GPUs. For the builtin pack; `make bench` measures this machine."""
    if interface not in ("identify", "detect"):
        raise typer.BadParameter("identify or detect", param_hint="--interface")
    found = need(faces, qps, "identify" if interface == "identify" else "detect", pictures, BUILTIN, card_qps)
    if as_json:
        print(json.dumps({name: getattr(found, name) for name in Need.__slots__}))
        return
    print(f"cores   {found.cores}")
    print(f"memory  {found.memory_gb} GB")
    print(f"disk    {found.disk_gb} GB, {found.snapshots_gb} of it snapshots of galleries")
    cards = "say --gpu-qps for their number" if found.cards is None else f"{found.cards} instead of the cores"
    print(f"GPUs    {cards}; galleries take {found.card_gb} GB on each")
