"""docs/benchmarks.md, made of the figures that lie beside this file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent / "figures"
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
MISSING = "*not measured yet: run `python -m scripts.gpu` on a host with a card*"
Row = dict[str, Any]

HEAD = """# Benchmarks

Written by a script; run it on your machine and this page has your figures, beside those of the other kind of machine:

<!-- not run: it takes half an hour -->
```sh
.venv/bin/python -m scripts.gpu                                    # everything, on the card if there is one
.venv/bin/python -m scripts.gpu --device cpu --only stages         # one table
```

On a host with a card: `make run EXTRA=gpu` (or `gpu-faiss`, `gpu-cu13`) first, then the first command. `large` is a
pack of random weights, built as SCRFD-10g and IResNet-50 are: {large}. Nothing is recognised with it; it costs what
they cost. The detector's multiplications are 10.0 billion for 640x480, the size that its name is of.

| | measured on |
|---|---|
| CPU | {cpu} |
| card | {card} |
"""
STAGES = """
## Each step by itself

Pictures or faces a second. On a CPU of one core; a batch gains nothing there, so the server takes one at a time. A
network whose batch takes longer than a second is not asked for a larger one. Detectors look at 320x320 pixels
(builtin) and 640x640 (large).
"""
SERVED = """
## The whole server

Photos of 640x480, a gallery of 10,000 faces, the client on the same machine. What is said of a card is the average of
what nvidia-smi tells during the load.
"""
SEARCH = """
## Search

One thread; each call has so many queries. Templates of strangers, queries at a cosine of about 0.55 to their mates.
`same` is how many of the ten nearest are those that NumPy finds in full precision, `first` how often the nearest one
is. Graphs are measured on a CPU to prove what they find; a server without a card searches in two stages. Which engine a
server uses: [Running it](operating.md#gpus).
"""


def number(value: object) -> str:
    """Three digits that say something."""
    if not isinstance(value, float):
        return "" if value is None else str(value)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(map(number, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def stages(rows: Sequence[Row]) -> str:
    batches = sorted({row["batch"] for row in rows})
    steps = list(dict.fromkeys((row["pack"], row["stage"], row["what"]) for row in rows))
    by = {(row["pack"], row["stage"], row["what"], row["batch"]): row["qps"] for row in rows}
    lines = [[*step, *(by.get((*step, batch)) for batch in batches)] for step in steps]
    return table(["pack", "step", "", *(f"batch {batch}" for batch in batches)], lines)


def served(rows: Sequence[Row]) -> str:
    names = {"qps": "a second", "p50": "p50 ms", "p99": "p99 ms", "errors": "errors"}
    if any("utilization.gpu" in row for row in rows):
        names |= {"utilization.gpu": "card busy, %", "memory.used": "memory, MB", "power.draw": "power, W"}
    keys = ["pack", "interface", "clients", *names]
    return table(["pack", "interface", "clients", *names.values()], ([row.get(key) for key in keys] for row in rows))


def search(rows: Sequence[Row]) -> str:
    lines = [
        [
            f"{row['faces']:,} x {row['dimensions']}",
            row["engine"],
            row.get("batch"),
            row["missing"] if "missing" in row else row["qps"],
            row.get("ms"),
            row.get("same"),
            row.get("first"),
        ]
        for row in sorted(rows, key=lambda row: (row["faces"], row["engine"], row.get("batch", 0)))
    ]
    return table(["faces", "engine", "queries", "a second", "ms a call", "same", "first"], lines)


def machine(figures: Row | None) -> str:
    if figures is None:
        return MISSING
    about = figures["about"]
    cards = "; ".join(about["cards"])
    return f"{cards + ', ' if cards else ''}{about['cores']} cores of {about['cpu']}, {about['day']}"


def write() -> None:
    found = {
        name: json.loads(path.read_text()) for name in ("cpu", "card") if (path := FIGURES / f"{name}.json").exists()
    }
    large = next((figures["large"] for figures in found.values()), "run the command")
    parts = [HEAD.format(large=large, cpu=machine(found.get("cpu")), card=machine(found.get("card")))]
    for key, text, make in (("stages", STAGES, stages), ("served", SERVED, served), ("search", SEARCH, search)):
        parts.append(text)
        for name, title in (("cpu", "CPU"), ("card", "Card")):
            rows = found.get(name, {}).get(key)
            parts.append(f"\n**{title}**\n\n{make(rows)}" if rows else f"\n**{title}**: {MISSING}\n")
    PAGE.write_text("".join(parts))
