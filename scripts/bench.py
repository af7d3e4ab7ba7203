"""What this machine serves, next to what the same models give in a bare loop on the same cores.

make bench                      one table for the builtin pack
python -m scripts.bench --json out.json --seconds 20
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from face_server.vision.packs import find_pack
from scripts.load import dialects, gallery, photos
from scripts.load.bare import Bare, loop
from scripts.load.report import Row
from scripts.load.server import ServerProcess, serving
from scripts.qps import sweep

CLIENTS = (1, 4, 16)
INTERFACES = ("detect", "match", "identify")
TARGET = dialects.Target(gallery.APP, gallery.GROUP)


def measure(server: ServerProcess, bare: Bare, interface: str, size: str, seconds: float) -> list[dict[str, object]]:
    pictures = [picture for picture in photos.of_size(size) if bare.sees(picture)]
    work = getattr(bare, interface)
    cores = len(os.sched_getaffinity(0))
    loop(work, pictures, 1, 0.5)
    alone = loop(work, pictures, 1, seconds)
    full = loop(work, pictures, cores, seconds)
    rows = sweep(
        server.url, "baidu", interface, TARGET, pictures, [(n, None) for n in CLIENTS], seconds, warmup=1, processes=1
    )
    bare_rows = [
        _row("bare loop", f"{threads} thread{'s' * (threads > 1)}", times, seconds)
        for threads, times in ((1, alone), (cores, full))
    ]
    return [
        {"photo": size, "interface": interface, **row}
        for row in (*bare_rows, *(_served(row, alone, full, seconds) for row in rows))
    ]


def _row(what: str, load: str, times: Sequence[float], seconds: float) -> dict[str, object]:
    return {"what": what, "load": load, "qps": round(len(times) / seconds, 1), **_percentiles(times)}


def _percentiles(times: Sequence[float]) -> dict[str, float]:
    return {"p50": round(median(times), 1), "p99": round(quantiles(times, n=100)[98], 1)}


def _served(row: Row, alone: Sequence[float], full: Sequence[float], seconds: float) -> dict[str, object]:
    best = len(full if row.clients > 1 else alone) / seconds
    share = {"of_bare": round(row.qps / best, 3)}
    if row.clients == 1:
        share["added_ms"] = round(row.p50 - median(alone), 2)
    load = f"{row.clients} client{'s' * (row.clients > 1)}"
    return {
        "what": "server",
        "load": load,
        "qps": row.qps,
        "p50": row.p50,
        "p99": row.p99,
        **share,
        "errors": row.errors,
    }


def table(rows: Sequence[dict[str, object]]) -> str:
    columns = ("photo", "interface", "what", "load", "qps", "p50", "p99", "of_bare", "added_ms")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--faces", type=int, default=10_000)
    parser.add_argument("--sizes", nargs="+", choices=sorted(photos.SIZES), default=list(photos.SIZES))
    parser.add_argument("--interfaces", nargs="+", choices=INTERFACES, default=list(INTERFACES))
    parser.add_argument("--pack", default="builtin", help="a pack by name or folder")
    parser.add_argument("--models-dir", type=Path, default=Path("data/models"), help="where installed packs are")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

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
                for row in measure(server, bare, interface, size, options.seconds)
            ]
            print(f"{server.pss_mb():.0f} MB after the load\n\n{table(rows)}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
