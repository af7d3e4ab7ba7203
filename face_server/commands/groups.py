"""`face-server groups`: the groups of an app, by a running server."""

from __future__ import annotations

from typing import Annotated

import typer

from face_server.commands import remote
from face_server.commands.remote import Account, App, Json, Password, Url, Yes

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Groups of a running server: list, add, delete.")

Group = Annotated[str, typer.Argument(help="the group's name")]


@app.command("list")
def list_groups(
    library: App = "default",
    prefix: Annotated[str, typer.Option(help="only names that begin so")] = "",
    url: Url = "",
    name: Account = "admin",
    password: Password = "",
    as_json: Json = False,
) -> None:
    """All groups of an app, by name."""
    found = remote.run(url, name, password, lambda ask: list(ask.all("/groups", app=library, prefix=prefix)))
    remote.show(found, as_json, "group", "users", "faces", "created", "updated", "deletion")


@app.command()
def add(
    group: Group,
    library: App = "default",
    url: Url = "",
    name: Account = "admin",
    password: Password = "",
    as_json: Json = False,
) -> None:
    """Make an empty group."""
    made = remote.run(url, name, password, lambda ask: ask("POST", "/groups", {"app": library, "group": group}))
    remote.show([made], as_json, "group", "users", "faces", "created")


@app.command()
def delete(
    group: Group,
    library: App = "default",
    yes: Yes = False,
    url: Url = "",
    name: Account = "admin",
    password: Password = "",
    as_json: Json = False,
) -> None:
    """Delete a group with its people. It begins in ten seconds; `face-server jobs cancel` takes it back until then."""
    remote.confirm(f"Delete the group {group} with everybody in it?", yes)
    job = remote.run(url, name, password, lambda ask: ask("DELETE", "/groups", app=library, group=group))
    remote.show([job], as_json, "id", "kind", "what", "state", "starts")
