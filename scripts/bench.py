"""What this machine serves, next to what the same models give in a bare loop on the same cores.

make bench                      one table for the builtin pack
python -m scripts.bench --json out.json --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from face_server.vision.packs import find_pack
from scripts.load import dialects, gallery, photos
from scripts.load.bare import Bare, loop
from scripts.load.server import ServerProcess, serving
from scripts.qps import sweep

CLIENTS = (1, 4, 16)
INTERFACES = ("detect", "match", "identify")
TARGET = dialects.Target(gallery.APP, gallery.GROUP)

Row = dict[str, Any]
Work = Callable[[bytes], object]


class Options(argparse.Namespace):
    seconds: float
    rounds: int
    faces: int
    sizes: list[str]
    interfaces: list[str]
    pack: str
    models_dir: Path
    json: Path | None


def measure(server: ServerProcess, bare: Bare, interface: str, size: str, options: Options) -> list[Row]:
    """Bare loop and server in turns, several times: on a machine that others use too, what disturbs one disturbs the
    other. Of each figure the median over the rounds, and of the ratios, which are made within a round, too."""
    pictures = [picture for picture in photos.of_size(size) if bare.sees(picture)]
    work = getattr(bare, interface)
    loop(work, pictures, 1, 0.5)
    rounds = [_round(server, work, interface, pictures, options.seconds) for _ in range(options.rounds)]
    return [{"photo": size, "interface": interface, **_middle(rows)} for rows in zip(*rounds, strict=True)]


def _round(server: ServerProcess, work: Work, interface: str, pictures: list[bytes], seconds: float) -> list[Row]:
    cores = len(os.sched_getaffinity(0))
    bare = {threads: loop(work, pictures, threads, seconds) for threads in sorted({1, cores})}
    rows = [
        {"what": "bare loop", "load": _plural(threads, "thread"), "qps": len(times) / seconds, **_percentiles(times)}
        for threads, times in bare.items()
    ]
    load = [(clients, None) for clients in CLIENTS]
    for row in sweep(server.url, "baidu", interface, TARGET, pictures, load, seconds, warmup=1, processes=1):
        times = bare[1 if row.clients == 1 else cores]
        served: Row = {"what": "server", "load": _plural(row.clients, "client"), "qps": row.qps, "p50": row.p50}
        served |= {"p99": row.p99, "of_bare": row.qps * seconds / len(times)}
        if row.clients == 1:
            served["added_ms"] = row.p50 - median(times)
        rows.append({**served, "errors": row.errors})
    return rows


def _percentiles(times: Sequence[float]) -> Row:
    return {"p50": median(times), "p99": quantiles(times, n=100)[98]}


def _middle(rows: Sequence[Row]) -> Row:
    return {name: _median([row[name] for row in rows]) for name in rows[0]}


def _median(values: Sequence[Any]) -> Any:
    return round(median(values), 2) if isinstance(values[0], float) else values[0]


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number > 1)}"


def table(rows: Sequence[Row]) -> str:
    columns = ("photo", "interface", "what", "load", "qps", "p50", "p99", "of_bare", "added_ms")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="of each load in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faces", type=int, default=10_000)
    parser.add_argument("--sizes", nargs="+", choices=sorted(photos.SIZES), default=list(photos.SIZES))
    parser.add_argument("--interfaces", nargs="+", choices=INTERFACES, default=list(INTERFACES))
    parser.add_argument("--pack", default="builtin", help="a pack by name or folder")
    parser.add_argument("--models-dir", type=Path, default=Path("data/models"), help="where installed packs are")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(namespace=Options())

    pack = find_pack(options.pack, options.models_dir)
    bare = Bare(options.pack, options.models_dir, options.faces)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        gallery.fill(data / "faces.db", options.faces, bare.rows.shape[1], pack.embedding_id)
        with serving(data, pack=options.pack, models_dir=options.models_dir) as server:
            print(f"ready after {server.seconds_to_ready:.2f} s, {server.pss_mb():.0f} MB at rest")
            rows = [
                row
                for size in options.sizes
                for interface in options.interfaces
                for row in measure(server, bare, interface, size, options)
            ]
            print(f"{server.pss_mb():.0f} MB after the load\n\n{table(rows)}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
