"""`face-server seal`: seal a library with a key file, and change keys. Nobody else may be at work."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from face_server.errors import FaceError
from face_server.settings import Settings, load_settings
from face_server.store.choice import database_at
from face_server.store.database import Database
from face_server.store.keyring import proof_of, rewrap
from face_server.store.occupied import occupied
from face_server.store.resealing import Resealing
from face_server.store.scrubbing import rewrite
from face_server.store.sealing import KeyMissing, Sealer

app = typer.Typer(add_completion=False, help="Seal what is kept of faces with the key file FACE_KEY_FILE.")


@app.command()
def seal(
    rotate: Annotated[
        Path | None, typer.Option(help="wrap the apps' keys with the key in this file", show_default=False)
    ] = None,
    of_app: Annotated[str, typer.Option("--app", help="give this app a new key", show_default=False)] = "",
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="the server's data folder [FACE_DATA_DIR]", show_default=False)
    ] = None,
) -> None:
    """Seal templates, pictures and tokens of a library that was not sealed so far. The servers must be stopped."""
    try:
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        if settings.key_file is None:
            raise KeyMissing("FACE_KEY_FILE has to name the key file")
        with occupied(settings.data_dir, alone=True):
            print(asyncio.run(_run(settings, Sealer.of(settings.key_file), rotate, of_app)))
    except (FaceError, ValueError, OSError) as error:
        _fail(error)


async def _run(settings: Settings, sealer: Sealer, rotate: Path | None, of_app: str) -> str:
    database = database_at(settings.database, 2, lambda *_: None)
    await database.open()
    counts: dict[str, int] = {}

    def progress(name: str, done: int) -> None:
        counts[name] = counts.get(name, 0) + done

    try:
        if rotate is not None:
            keys = await _rotate(database, sealer, Sealer.of(rotate))
            done = f"the keys of {keys} apps are wrapped with the key in {rotate}: FACE_KEY_FILE has to name it now"
        else:
            work = Resealing(database, sealer, settings.data_dir, progress)
            await (work.one(of_app) if of_app else work.everything())
            done = f"{sum(counts.values())} rows and pictures sealed"
    finally:
        await database.close()
    await rewrite(settings.database)
    return done


async def _rotate(database: Database, old: Sealer, new: Sealer) -> int:
    proof = await database.read(proof_of)
    if not proof or not old.proves(proof):
        raise KeyMissing("the library is not sealed: run `face-server seal` first")
    return await database.write(lambda connection: rewrap(connection, old, new))


def _fail(error: Exception) -> NoReturn:
    text = str(error)
    if hasattr(error, "errors"):  # of the settings: without the value, which may have a password in it
        text = "; ".join(str(each["msg"]) for each in error.errors())
    print(f"face-server: {text}", file=sys.stderr)
    raise typer.Exit(1)
