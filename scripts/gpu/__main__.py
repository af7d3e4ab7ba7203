"""Measures this machine and writes its figures into docs/benchmarks.md, beside those of the other kind of machine.

    python -m scripts.gpu                                   everything, on the card if there is one
    python -m scripts.gpu --only stages --seconds 0.3       one table; the others stay as they are

The figures lie in scripts/gpu/figures, one file for CPUs and one for cards; the page is made of both."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from face_server.engine.session import choose_device
from face_server.vision.packs import find_pack
from scripts.gpu import card, large_pack, page, searches, served, stages

PARTS = ("stages", "served", "search")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
Row = dict[str, Any]


def rows_of(part: str, options: argparse.Namespace, large: Path, large_half: Path) -> Iterator[Row]:
    device, seconds = options.device, options.seconds
    folders = {"builtin": "builtin", "large": str(large)}
    if device != "cpu":
        folders["large, 16 bit"] = str(large_half)
    if part == "stages":
        yield from ({"pack": "any"} | row for row in stages.decoding(seconds))
        for name in ("builtin", "large"):
            if name in options.packs:
                pack = find_pack(folders[name], Path("data/models"))
                yield from ({"pack": name} | row for row in stages.networks(pack, device, options.batches, seconds))
    elif part == "served":
        for name, folder in folders.items():
            if name.partition(",")[0] in options.packs:
                yield from served.measure(name, folder, device, options.clients, 4 * seconds)
    else:
        for faces in options.faces:
            yield from searches.measure(faces, options.dimensions, device, options.batches, seconds, options.engines)


def about(device: str) -> Row:
    """What was measured on; no name of a machine."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
    return {
        "device": device,
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "cards": card.names() if device != "cpu" else [],
        "python": platform.python_version(),
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def keyed(part: str, row: Row) -> tuple[object, ...]:
    """Rows that are measured again take the place of their old ones."""
    names = {"stages": ("pack", "stage", "what", "batch"), "served": ("pack", "interface", "clients")}
    return tuple(row.get(name) for name in names.get(part, ("faces", "dimensions", "engine", "batch")))


def measured(part: str, old: list[Row], rows: Iterator[Row], keep: Callable[[list[Row]], None]) -> None:
    found = {keyed(part, row): row for row in old}
    seen: set[tuple[object, ...]] = set()
    for row in rows:
        seen.add((row.get("pack"), row.get("stage")))
        print(json.dumps(row), flush=True)
        found.pop(keyed(part, row | {"batch": None}), None)  # it said why there was no figure
        found[keyed(part, row)] = row
        keep(list(found.values()))
    packs = {pack for pack, _ in seen}
    # A network that a pack has no more has no figures either.
    keep([row for row in found.values() if row.get("pack") not in packs or (row["pack"], row.get("stage")) in seen])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda:N")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--packs", nargs="+", choices=("builtin", "large"), default=("builtin", "large"))
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--clients", nargs="+", type=int, default=(1, 4, 16, 64))
    parser.add_argument("--faces", nargs="+", type=int, default=(1_000_000, 10_000_000))
    parser.add_argument("--engines", nargs="+", choices=searches.ENGINES, default=searches.ENGINES)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each figure; four times that under load")
    options = parser.parse_args()
    options.device = choose_device(options.device)
    return options


def main() -> None:
    options = arguments()
    file = page.FIGURES / ("cpu.json" if options.device == "cpu" else "card.json")
    figures = json.loads(file.read_text()) if file.exists() else {}
    figures["about"] = about(options.device)
    with tempfile.TemporaryDirectory() as name:
        large, large_half = Path(name) / "large", Path(name) / "large-half"
        figures["large"] = large_pack.write(large)
        large_pack.write(large_half, half=True)
        for part in options.only:

            def keep(rows: list[Row], part: str = part) -> None:
                figures[part] = rows
                file.parent.mkdir(exist_ok=True)
                file.write_text(json.dumps(figures, indent=1) + "\n")

            measured(part, figures.get(part, []), rows_of(part, options, large, large_half), keep)
    page.write()


if __name__ == "__main__":
    main()
