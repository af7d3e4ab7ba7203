"""`face-server restore`: a backup becomes the library. No server may run on the folder meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from face_server.backup.manifest import Manifest
from face_server.commands import remote
from face_server.commands.backup import DataDir, run, told
from face_server.commands.noted import noted
from face_server.commands.said import print_json
from face_server.settings import Settings
from face_server.store.store import Store

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

    def work(settings: Settings) -> Manifest:
        with _galleries_elsewhere(settings) as forget:
            made = bring_back(folder, settings, force)
            forget()
        asyncio.run(_note(settings, made))
        return made

    found = run(data_dir, work)
    if as_json:
        print_json({"folder": str(folder), **asdict(found)})
        return
    print(f"{told(found)} are back, as of {found.taken}")


@contextmanager
def _galleries_elsewhere(settings: Settings) -> Iterator[Callable[[], None]]:
    """Those in Milvus follow another history. Where it does not answer, nothing is begun."""
    if not settings.milvus_url:
        yield lambda: None
        return
    from face_server.index.milvus_traces import MilvusTraces

    with closing(MilvusTraces(settings.milvus_url, settings.milvus_token.get_secret_value())) as traces:
        yield traces.drop


async def _note(settings: Settings, found: Manifest) -> None:
    """The audit log came back with the rest: it says from here on that it did."""
    store = Store(settings.database)
    await store.open()
    try:
        async with noted(store.audit, "restore", {"taken": found.taken}):
            pass
    finally:
        await store.close()
