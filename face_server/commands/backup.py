"""`face-server backup`: the library as of one instant, also beside a running server."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from face_server.backup.manifest import Manifest
from face_server.commands import remote
from face_server.commands.said import fail, print_json, words
from face_server.errors import FaceError
from face_server.settings import Settings, load_settings

app = typer.Typer(help="Write the library as of one instant into a folder, also beside a running server.")

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="the server's data folder [FACE_DATA_DIR]", show_default=False)
]


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="a folder that is not there yet")],
    data_dir: DataDir = None,
    as_json: remote.Json = False,
) -> None:
    """Database, pictures and settings without secrets, with a checksum of each. A key file is not part of it."""
    from face_server.backup.saving import save

    made = run(data_dir, lambda settings: save(settings, folder))
    if as_json:
        print_json({"folder": str(folder), **asdict(made)})
    else:
        print(f"{told(made)} in {folder}")
    if made.missing:
        print(f"face-server: {made.missing} pictures were missing in the library already", file=sys.stderr)
    if made.sealed:
        print(
            "face-server: the library is sealed; keep its key file too, without it nobody can read this",
            file=sys.stderr,
        )


def told(made: Manifest) -> str:
    return f"{made.rows['faces']:,} faces of {made.rows['users']:,} users and {made.pictures:,} pictures"


def run(data_dir: Path | None, work: Callable[[Settings], Manifest]) -> Manifest:
    try:
        return work(load_settings(**({} if data_dir is None else {"data_dir": data_dir})))
    except (FaceError, ValueError, OSError) as error:
        fail(words(error))
