"""`face-server apps`: who may call, with which key and secret. A running server follows within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from face_server.commands.noted import noted
from face_server.commands.said import clock, fail, print_json
from face_server.errors import FaceError
from face_server.faces.apps import Apps, BadName, Issued
from face_server.faces.gates import CONTRACT
from face_server.faces.limits import RANGES, limits_of, named
from face_server.settings import load_settings
from face_server.store.access import AppCount, AppHasCredential, AppMissing, Credential
from face_server.store.blobs import Blobs
from face_server.store.store import Store

T = TypeVar("T")
HOUR = 3600
TAKEN_BACK = "contract"

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Apps with their keys and secrets: create, list, rotate, delete."
)
WIDTH = 140  # of the list, also where nobody knows how wide the screen is: keys are copied from it

out = Console(soft_wrap=True, highlight=False, markup=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

Name = Annotated[str, typer.Argument(help="the app's id, as clients send it (appid, app_id)")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="the server's data folder [FACE_DATA_DIR]", show_default=False)
]


@dataclass(frozen=True, slots=True)
class Deed:
    """What the audit log says of a change."""

    action: str
    app: str
    told: Mapping[str, str] = field(default_factory=dict)


@app.command()
def create(name: Name, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Create an app, or give a credential to one that is there without. The secret is shown this once."""
    _show(_run(data_dir, lambda apps: apps.create(name), Deed("create_key", name)), as_json)


@app.command("list")
def list_apps(data_dir: DataDir = None, as_json: Json = False) -> None:
    """All apps: how much they hold, their keys, and when each key was last used."""
    found = _run(data_dir, lambda apps: apps.list())
    if as_json:
        print_json([_facts(count, credentials) for count, credentials in found])
        return
    table = Table("app", "groups", "faces", "key", "created", "last use", "ends", box=None)
    for count, credentials in found:
        head = (count.app, str(count.groups), str(count.faces))
        for credential in credentials:
            times = (clock(credential.created), clock(credential.used), clock(credential.expires))
            table.add_row(*head, credential.key, *times)
            head = ("", "", "")
        if not credentials:
            table.add_row(*head, "(none)", "", "", "")
    Console(width=max(out.width, WIDTH), highlight=False).print(table)


@app.command()
def rotate(
    name: Name,
    overlap: Annotated[float, typer.Option(min=0, help="hours the old key and secret work on")] = 24,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Give an app another key and secret. The old ones work on for the overlap; 0 ends them at once."""
    deed = Deed("rotate_key", name, {"overlap_hours": f"{overlap:g}"})
    _show(_run(data_dir, lambda apps: apps.rotate(name, overlap * HOUR), deed), as_json)


@app.command()
def retention(
    name: Name,
    days: Annotated[
        int | None, typer.Argument(min=0, max=36500, help="faces end after so many days; 0: never", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Tell, or say, after how many days the faces of an app are erased. A running server does it every hour."""
    deed = None if days is None else Deed("set_retention", name, {"days": str(days)})
    found = _run(data_dir, lambda apps: apps.retention(name, days), deed)
    if as_json:
        print_json({"app": name, "retention_days": found})
    else:
        out.print(f"the faces of {name} " + (f"end after {found} days" if found else "stay for ever"))


@app.command()
def gates(
    name: Name,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="LEVEL.LIMIT=NUMBER, as normal.blur=0.5; NAME=contract takes one back", metavar="TEXT"
        ),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="take back all that was set before")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Tell, or say, what the levels of the gates ask for in an app, and its scores. Running servers follow at once."""
    changes = dict(_change(text) for text in settings or [])
    said = [*(["reset"] if reset else []), *(settings or [])]
    deed = Deed("set_gates", name, {"own": ", ".join(said)}) if said else None
    own = _run(data_dir, lambda apps: apps.limits(name, changes, reset), deed)
    usual, values = named(CONTRACT), named(limits_of(own))
    if as_json:
        print_json({"app": name, "limits": values, "own": own})
        return
    table = Table("limit", "in this app", "contract", box=None)
    for limit, value in values.items():
        table.add_row(
            limit, _number(value), _number(usual[limit]) if limit in own else "", style="bold" * (limit in own)
        )
    out.print(table)


def _change(text: str) -> tuple[str, float | None]:
    name, _, value = text.partition("=")
    if name not in RANGES:
        fail(f"{text!r}: no limit is called {name!r}; there are {', '.join(RANGES)}")
    try:
        return name, None if value == TAKEN_BACK else float(value)
    except ValueError:
        fail(f"{text!r}: a name and a number are expected, as normal.blur=0.5")


def _number(value: float | None) -> str:
    return "each vendor's" if value is None else f"{value:g}"


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Delete an app: its credentials, groups, users, faces and pictures."""
    found = {count.app: count for count, _ in _run(data_dir, lambda apps: apps.list())}
    if name not in found:
        fail(f"no app {name!r}")
    count = found[name]
    if not yes:
        typer.confirm(f"Delete {name} with {count.groups} groups and {count.faces} faces?", abort=True, err=True)
    deed = Deed("delete_app", name, {"groups": str(count.groups), "faces": str(count.faces)})
    _run(data_dir, lambda apps: apps.delete(name), deed)
    if as_json:
        print_json({"app": name, "groups": count.groups, "faces": count.faces})
    else:
        out.print(f"{name} is deleted, with {count.groups} groups and {count.faces} faces")


def _run(data_dir: Path | None, work: Callable[[Apps], Awaitable[T]], deed: Deed | None = None) -> T:
    async def with_store(place: Path | str, folder: Path, redis: str) -> T:
        store = Store(place)
        await store.open()
        try:
            apps = Apps(store, Blobs(folder / "pictures"), folder, redis)
            if deed is None:
                return await work(apps)
            async with noted(store.audit, deed.action, {"app": deed.app, **deed.told}):
                return await work(apps)
        finally:
            await store.close()

    try:
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        return asyncio.run(with_store(settings.database, settings.data_dir, settings.redis))
    except AppMissing as error:
        fail(f"no app {str(error)!r}")
    except AppHasCredential as error:
        fail(f"{error} has a key already; `face-server apps rotate` gives it another one")
    except (BadName, FaceError, ValueError, OSError) as error:
        fail(str(error))


def _show(issued: Issued, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(issued), "token": issued.token})
        return
    rows = {"app id": issued.app, "API key": issued.key, "secret": issued.secret, "as one token": issued.token}
    for title, value in rows.items():
        out.print(f"{title:<13} {value}")
    err.print("The secret is not kept and cannot be shown again.")


def _facts(count: AppCount, credentials: list[Credential]) -> dict[str, Any]:
    keys = [
        {"key": one.key, "created": one.created, "last_use": one.used or None, "ends": one.expires or None}
        for one in credentials
    ]
    return {**asdict(count), "keys": keys}
