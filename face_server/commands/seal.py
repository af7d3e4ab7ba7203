"""`face-server seal`: seal a library with a key file, and change keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from face_server.commands import remote
from face_server.commands.noted import noted
from face_server.commands.said import fail, print_json, words
from face_server.errors import FaceError
from face_server.settings import Settings, load_settings
from face_server.store.choice import database_at
from face_server.store.database import Database
from face_server.store.history import Audit
from face_server.store.keyring import rewrap
from face_server.store.occupied import alone_in, occupied
from face_server.store.resealing import Resealing
from face_server.store.scrubbing import rewrite, scrub_keys
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
    as_json: remote.Json = False,
) -> None:
    """Seal templates, pictures and tokens of a library that was not sealed so far. The servers must be stopped, except
    for --rotate."""
    try:
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        if settings.key_file is None:
            raise KeyMissing("FACE_KEY_FILE has to name the key file")
        sealer = Sealer.of(settings.key_file)
        with occupied(settings.data_dir, alone=rotate is None):
            work = _seal(settings, sealer, of_app) if rotate is None else _rotate(settings, sealer, rotate)
            done = asyncio.run(work)
    except (FaceError, ValueError, OSError) as error:
        fail(words(error))
    if as_json:
        print_json(done)
    elif rotate is None:
        print(f"{done['sealed']} rows and pictures sealed")
    else:
        print(f"the keys of {done['apps']} apps are wrapped with the key in {rotate}: FACE_KEY_FILE has to name it now")


async def _seal(settings: Settings, sealer: Sealer, of_app: str) -> dict[str, Any]:
    counts: dict[str, int] = {}

    def progress(name: str, done: int) -> None:
        counts[name] = counts.get(name, 0) + done

    async with alone_in(settings.database):
        async with _opened(settings) as database:
            work = Resealing(database, sealer, settings.data_dir, progress)
            async with noted(Audit(database), "seal", {"app": of_app}):
                await (work.one(of_app) if of_app else work.everything())
        await rewrite(settings.database)
    return {"sealed": sum(counts.values()), "of": counts}


async def _rotate(settings: Settings, old: Sealer, path: Path) -> dict[str, Any]:
    """All keys in one transaction: cut off before its end it has changed nothing, and after it only the old copies of
    the keys are left to be overwritten, which the same command does once more."""
    new = Sealer.of(path)
    async with _opened(settings) as database, noted(Audit(database), "rotate_key_file", {}):
        keys = await database.write(lambda connection: rewrap(connection, old, new))
    await scrub_keys(settings.database)
    return {"apps": keys, "key_file": str(path)}


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Database]:
    database = database_at(settings.database, 2, lambda *_: None)
    await database.open()
    try:
        yield database
    finally:
        await database.close()
