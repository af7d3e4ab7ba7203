"""`face-server purge`: erase a user, a group or an app everywhere, and look whether anything is left."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from face_server.commands import remote
from face_server.commands.beside import MILVUS, REDIS, Beside
from face_server.commands.noted import noted
from face_server.commands.reindex import REPORT
from face_server.commands.said import fail, print_json
from face_server.errors import FaceError
from face_server.faces.apps import Apps
from face_server.settings import Settings, load_settings
from face_server.store.access import AppMissing
from face_server.store.blobs import Blobs
from face_server.store.erasing import Erasing, Target
from face_server.store.occupied import alone_in, occupied
from face_server.store.scrubbing import rewrite
from face_server.store.sealing import Sealer
from face_server.store.store import Store

UNITS = {REDIS: "keys", MILVUS: "collections"}
FINDS = {REDIS: "pieces", MILVUS: "rows"}

app = typer.Typer(add_completion=False, help="Erase a user, a group or an app everywhere, and prove it.")


@app.command()
def purge(
    of_app: Annotated[str, typer.Option("--app", help="the app, or where the group or user is")],
    group: Annotated[str, typer.Option(help="only this group", show_default=False)] = "",
    user: Annotated[
        str, typer.Option(help="only this user, in the group or in all of the app", show_default=False)
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="the server's data folder [FACE_DATA_DIR]", show_default=False)
    ] = None,
    as_json: remote.Json = False,
) -> None:
    """Erase rows, pictures, snapshots and cached tokens, in Redis and Milvus too; then read every table, every file of
    the data folder and what Redis and Milvus have, and fail if something of it is left. The servers must be stopped."""
    target = Target(of_app, group, user)
    try:
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        with occupied(settings.data_dir, alone=True):
            if not yes:
                typer.confirm(
                    f"Erase {' / '.join(filter(None, (of_app, group, user)))} for ever?", abort=True, err=True
                )
            report = asyncio.run(_purge(settings, target))
    except (FaceError, AppMissing, ValueError, OSError, ImportError) as error:
        fail(f"nobody of this name: {error}" if isinstance(error, AppMissing) else str(error))
    print_json(report) if as_json else _tell(report)
    if not report["clean"]:
        fail("something is left, see above")
    if not as_json:
        print("nothing of it is left")


async def _purge(settings: Settings, target: Target) -> dict[str, Any]:
    """What was erased, and what was found of it afterwards."""
    async with alone_in(settings.database):
        return await _erase(settings, target)


async def _erase(settings: Settings, target: Target) -> dict[str, Any]:
    store = Store(settings.database, sealer=Sealer.of(settings.key_file))
    erasing = Erasing(store, settings.data_dir, target)
    beside = await asyncio.to_thread(Beside, settings)  # where it cannot be erased, nothing is begun
    told = {"app": target.app, "group": target.group, "user": target.user}
    named = target.without_names({name: value for name, value in told.items() if value})
    try:
        await store.open()
        if not await erasing.collect():
            raise ValueError("there is nobody of this name")
        async with noted(store.audit, "purge", named):
            if not (target.group or target.user):
                await Apps(store, Blobs(settings.data_dir / "pictures"), settings.data_dir, settings.redis).delete(
                    target.app
                )
            await erasing.erase()
            _drop_short_cuts(settings, erasing.evidence.groups)
            await asyncio.to_thread(beside.erase, erasing.evidence)
        rows, shared = await erasing.rows_left(), await erasing.shared()
        tables = await erasing.left_in_tables()
        elsewhere = await asyncio.to_thread(beside.left, erasing.evidence)
    finally:
        await asyncio.to_thread(beside.close)
        await store.close()
    await rewrite(settings.database)
    files = erasing.left_in_files() | beside.left_in_files(erasing.evidence)
    evidence = erasing.evidence
    return {
        "erased": {name: len(ids) for name, ids in sorted(evidence.rows.items())},
        "pictures": len(set(evidence.files) - {""}),
        "rows_left": rows,
        "pieces": len(evidence.pieces),
        "shared": shared,
        "tables": {name: {"rows": count, "found": hits} for name, (count, hits) in tables.items()},
        "files": len(files),
        "bytes": sum(size for size, _ in files.values()),
        "files_with_pieces": {str(path): hits for path, (_, hits) in files.items() if hits},
        "elsewhere": {name: {"read": read, "found": hits} for name, (read, hits) in elsewhere.items()},
        "clean": not rows and not any(hits for _, hits in (*tables.values(), *files.values(), *elsewhere.values())),
    }


def _drop_short_cuts(settings: Settings, groups: set[int]) -> None:
    """Pictures of the last requests may show anybody, so all tokens that are not registered end now. So may what was
    uploaded for a job, the list of the last change of the pack, and what imports have noted to be quicker."""
    for group_id in groups:
        (settings.data_dir / "galleries" / f"{group_id}.gallery").unlink(missing_ok=True)
    (settings.data_dir / REPORT).unlink(missing_ok=True)
    for folder in ("tokens", "uploads", "imports"):
        shutil.rmtree(settings.data_dir / folder, ignore_errors=True)


def _tell(report: dict[str, Any]) -> None:
    erased = ", ".join(f"{count} {name}" for name, count in report["erased"].items())
    print(f"erased: {erased or 'no rows'}; {report['pictures']} pictures; {report['rows_left']} rows are left")
    print(f"looked for {report['pieces']} pieces of templates, pictures, tokens and names;")
    print(f"{report['shared']} others were left out, because somebody who stays has the same")
    for name, table in report["tables"].items():
        print(f"  table {name}: {table['rows']} rows, {table['found']} pieces found")
    for name, place in report["elsewhere"].items():
        print(f"  {name}: {place['read']} {UNITS[name]} read, {place['found']} {FINDS[name]} found")
    print(f"  {report['files']} files, {report['bytes']} bytes:")
    for path, found in report["files_with_pieces"].items():
        print(f"  file {path}: {found} pieces found")
    print(f"  {len(report['files_with_pieces'])} files with pieces in them")
