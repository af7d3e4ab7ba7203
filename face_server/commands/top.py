"""`face-server top`: how a running server does, live in the terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from face_server.commands import remote
from face_server.commands.remote import Account, Json, Password, Server, Unreachable, Url
from face_server.commands.said import clock, print_json

app = typer.Typer(add_completion=False)

ERRORS = 5  # of the last ones are shown
Figures = Mapping[str, Any]


@app.command()
def top(
    every: Annotated[float, typer.Option(min=0.2, help="seconds between two looks")] = 2,
    once: Annotated[bool, typer.Option("--once", help="one look; so it is where nobody watches")] = False,
    url: Url = "",
    name: Account = "admin",
    password: Password = "",
    as_json: Json = False,
) -> None:
    """Requests, times, queue, batches, galleries and failures of a server; ends with Ctrl-C. --json prints one look."""
    remote.run(url, name, password, lambda ask: _watch(ask, every, once, as_json))


def _watch(ask: Server, every: float, once: bool, as_json: bool) -> None:
    figures, errors = _read(ask)
    if as_json:
        print_json({**figures, "errors": errors})
        return
    rates = Rates()
    screen = Console(highlight=False, markup=False)
    first = page(ask.url, figures, errors, rates.since(figures))
    if once or not screen.is_terminal:
        Console(width=screen.width if screen.is_terminal else remote.WIDTH, highlight=False, markup=False).print(first)
        return
    try:
        with Live(first, console=screen, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                try:
                    figures, errors = _read(ask)
                    shown = page(ask.url, figures, errors, rates.since(figures))
                except Unreachable as error:  # it may be starting again
                    shown = Group(Text(f"{error}; asking again", style="bold"))
                live.update(shown, refresh=True)
    except KeyboardInterrupt:
        return


def _read(ask: Server) -> tuple[Figures, list[Any]]:
    return ask("GET", "/server"), ask("GET", "/server/errors", limit=ERRORS)["items"]


@dataclass(slots=True)
class Rates:
    """Requests a second between two looks."""

    _at: float = 0.0
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def since(self, figures: Figures) -> dict[tuple[str, str], float]:
        """By dialect and interface; empty at the first look, and after a restart, when counts begin anew."""
        counts: dict[tuple[str, str], int] = {}
        for one in figures["requests"]:
            key = (one["dialect"], one["interface"])
            counts[key] = counts.get(key, 0) + one["count"]
        now = time.monotonic()
        elapsed, before = now - self._at, self._counts
        first = not self._at or sum(counts.values()) < sum(before.values())
        self._at, self._counts = now, counts
        return {} if first else {key: (count - before.get(key, 0)) / elapsed for key, count in counts.items()}


def page(url: str, figures: Figures, errors: list[Any], rates: Mapping[tuple[str, str], float]) -> Group:
    parts: list[Text | Table] = [
        _head(url, figures),
        _requests(figures, rates),
        _stages(figures),
        _batches(figures),
        _galleries(figures),
    ]
    if errors:
        parts.append(_errors(errors))
    return Group(*parts)


def _head(url: str, figures: Figures) -> Text:
    lanes, memory, disk = figures["lanes"], figures["memory"]["resident_bytes"], figures["disk"]
    ready = "ready" if figures["ready"] else "NOT READY"
    refused = ", ".join(f"{one['reason']} {one['count']}" for one in figures["refused"] if one["count"])
    lines = [
        f"{url}  {ready}, up {_duration(figures['uptime'] or 0)}",
        f"lanes {lanes['alive']} of {lanes['count']}, queue {lanes['queue']}, restarts {lanes['restarts']}; "
        f"waited p95 {_ms(figures['queue_wait']['p95'])} ms; refused {refused or 'none'}",
        f"memory {_mb(memory)}; database {_mb(disk['database_bytes'])}; disk free {_mb(disk['free_bytes'])}",
    ]
    return Text("\n".join(lines + _around(figures)), style="bold" if not figures["ready"] else "")


def _around(figures: Figures) -> list[str]:
    """What a server may have or not."""
    lines = []
    if workers := figures.get("workers"):
        lines.append(
            f"workers {workers['count']} with {workers['lanes']} lanes; {workers['waiting']} pictures wait, "
            f"{workers['away']} are with workers; Redis {'answers' if workers['redis'] else 'DOES NOT ANSWER'}"
        )
    for gpu in figures.get("gpus", ()):
        busy = "" if gpu["busy"] is None else f", busy {gpu['busy']:.0%}"
        lines.append(f"{gpu['device']} {gpu['name']}: {_mb(gpu['used_bytes'])} of {_mb(gpu['memory_bytes'])}{busy}")
    if licence := figures.get("licence"):
        taken = f"{licence['taken']} of {licence['seats']} taken" if licence["up"] else "the service does not answer"
        lines.append(f"licence seats: {taken}")
    return lines


def _requests(figures: Figures, rates: Mapping[tuple[str, str], float]) -> Table:
    table = _table("requests", "interface", "count", "a second", "mean", "p50", "p95", "p99 ms")
    for one in sorted(figures["latency"], key=lambda one: -one["count"]):
        rate = rates.get((one["dialect"], one["interface"]))
        speed = "-" if rate is None else f"{rate:.1f}"
        table.add_row(one["dialect"], one["interface"], str(one["count"]), speed, *_times(one))
    return table


def _stages(figures: Figures) -> Table:
    table = _table("stages", "count", "mean", "p50", "p95", "p99 ms")
    for one in figures["stages"]:
        table.add_row(one["stage"], str(one["count"]), *_times(one))
    return table


def _batches(figures: Figures) -> Table:
    table = _table("models", "executions", "faces", "faces a batch")
    for one in figures["batches"]:
        table.add_row(one["model"], str(one["executions"]), str(one["rows"]), str(one["mean"] or "-"))
    return table


def _galleries(figures: Figures) -> Table:
    table = _table("galleries in memory", "group", "faces", "size")
    for one in figures["galleries"]:
        table.add_row(one["app"], one["group"], str(one["faces"]), _mb(one["bytes"]))
    return table


def _errors(errors: list[Any]) -> Table:
    table = _table("last failures", "log_id", "dialect", "interface", "code", "ms")
    for one in errors:
        cells = (clock(one["time"]), str(one["log_id"]), one["dialect"], one["interface"], one["code"])
        table.add_row(*cells, _ms(one["milliseconds"]))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column)
    return table


def _times(one: Figures) -> list[str]:
    return [_ms(one[name]) for name in ("mean", "p50", "p95", "p99")]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _mb(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:,.1f} MB"


def _duration(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return (
        f"{hours // 24} d {hours % 24} h"
        if hours >= 24
        else f"{hours} h {minutes % 60} min"
        if hours
        else f"{minutes} min"
    )
