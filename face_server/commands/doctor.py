"""`face-server doctor`: what is wrong with this installation, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from face_server.checks import every
from face_server.checks.finding import Finding, State, wrong
from face_server.settings import load_settings

app = typer.Typer(add_completion=False, help="Check the installation. Exit status 1: something is wrong.")
out = Console(soft_wrap=True, highlight=False)

COLOURS = {State.OK: "green", State.NOTE: "yellow", State.WRONG: "bold red"}

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="the server's data folder [FACE_DATA_DIR]", show_default=False)
]


@app.command()
def doctor(
    data_dir: DataDir = None, as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False
) -> None:
    """Limits, memory, clock, disk, database, Redis, driver, CUDA, cuDNN, card, models, and the provider really used."""
    found = []
    for finding in _findings(data_dir):
        found.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=2))
    bad = sum(finding.state is State.WRONG for finding in found)
    if not as_json:
        out.print(f"{bad} wrong" if bad else "nothing is wrong")
    raise typer.Exit(1 if bad else 0)


def _findings(data_dir: Path | None) -> Iterator[Finding]:
    try:
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
    except (ValueError, OSError) as error:
        text = str(error)
        if hasattr(error, "errors"):  # of the settings: without the value, which may be a secret
            text = "; ".join(f"FACE_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        yield wrong("settings", text, "docs/operating.md and face_server/settings.py list the settings")
        return
    yield from every.findings(settings)


def _print(finding: Finding) -> None:
    out.print(Text(f"{finding.what:<12}"), Text(f"{finding.state:<6}", COLOURS[finding.state]), Text(finding.said))
    if finding.do:
        out.print(Text(f"{'':<12} {'->':>5}  {finding.do}"))


if __name__ == "__main__":
    app()
