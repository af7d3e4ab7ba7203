"""`face-server restore`: a backup becomes the library. No server may run on the folder meanwhile."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from face_server.commands import remote
from face_server.commands.backup import DataDir, run, told

app = typer.Typer(help="Check a backup and make it the library of an empty data folder.")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="what `face-server backup` wrote")],
    data_dir: DataDir = None,
    force: Annotated[bool, typer.Option("--force", help="replace the library that is there")] = False,
    as_json: remote.Json = False,
) -> None:
    """Every file is checked first. Settings are not taken over: they are in settings.json, to read."""
    from face_server.backup.restoring import restore as bring_back

    found = run(data_dir, lambda settings: bring_back(folder, settings, force))
    if as_json:
        remote.print_json({"folder": str(folder), **asdict(found)})
        return
    print(f"{told(found)} are back, as of {found.taken}")
