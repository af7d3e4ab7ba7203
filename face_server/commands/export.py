"""`face-server export`: the people of an app as a folder that `face-server import` reads."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from face_server.commands.import_ import AsJson, DataDir, progress, refuse
from face_server.errors import FaceError
from face_server.model import DEFAULT_APP
from face_server.settings import Settings, load_settings
from face_server.transfer.exporting import Exporter
from face_server.transfer.files import TABLE
from face_server.transfer.plan import SourceError

app = typer.Typer(add_completion=False)

Folder = Annotated[Path, typer.Argument(help="where to: group/user/face_token.jpg and people.csv")]
App = Annotated[str, typer.Option("--app", help="the app (appid) to write")]
Templates = Annotated[
    bool, typer.Option("--templates", help="also what the model made of the faces: moves people without pictures too")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="into a folder that has an export already")]


@app.command()
def export(
    folder: Folder,
    app_name: App = DEFAULT_APP,
    templates: Templates = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Write the people of an app to a folder that import reads. A server may run on the same data folder.

    The folder then has biometric data in the clear: it is made for its owner's eyes only.
    Exit status: 0 done, 2 could not run."""
    try:
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        if (folder / TABLE).exists() and not overwrite:
            raise SourceError(f"{folder} has an export already: give --overwrite, or another folder")
        if not settings.data_dir.is_dir():
            raise SourceError(f"{settings.data_dir}: there is no such data folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        summary = asyncio.run(_run(settings, folder, app_name, templates))
    except (FaceError, SourceError, ValueError, OSError) as error:
        refuse(error)
    if as_json:
        print(json.dumps(summary))
    else:
        print(f"{summary['faces']} faces written to {folder}, {summary['without_picture']} of them without a picture")


async def _run(settings: Settings, folder: Path, app_name: str, templates: bool) -> dict[str, Any]:
    from face_server.app import Parts

    parts = Parts(settings)
    await parts.store.open()
    try:
        if await parts.store.seq(app_name) is None:
            raise SourceError(f"there is no app {app_name!r}")
        exporter = Exporter(parts.store, parts.blobs, app_name, folder)
        with progress("exporting", await exporter.count()) as told:
            await exporter.run(templates, told)
    finally:
        await parts.store.close()
    return {"faces": exporter.faces, "without_picture": exporter.without_picture, "folder": str(folder)}
