"""`face-server groups`: the groups of an app, by a running server."""

from __future__ import annotations

from typing import Annotated

import typer

from face_server.commands import remote
from face_server.commands.remote import App, Call, Yes, word

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Groups of a running server: list, add, delete.")

Group = Annotated[str, typer.Argument(help="the group's name")]


@word(app, "list")
def list_groups(
    call: Call,
    library: App = "default",
    prefix: Annotated[str, typer.Option(help="only names that begin so")] = "",
) -> None:
    """All groups of an app, by name."""
    found = call.run(lambda ask: list(ask.all("/groups", app=library, prefix=prefix)))
    call.show(found, "group", "users", "faces", "created", "updated", "deletion")


@word(app)
def add(
    call: Call,
    group: Group,
    library: App = "default",
) -> None:
    """Make an empty group."""
    made = call.run(lambda ask: ask("POST", "/groups", {"app": library, "group": group}))
    call.show([made], "group", "users", "faces", "created")


@word(app)
def delete(
    call: Call,
    group: Group,
    library: App = "default",
    yes: Yes = False,
) -> None:
    """Delete a group with its people. It begins in ten seconds; `face-server jobs cancel` takes it back until then."""
    remote.confirm(f"Delete the group {group} with everybody in it?", yes)
    job = call.run(lambda ask: ask("DELETE", "/groups", app=library, group=group))
    call.show([job], "id", "kind", "what", "state", "starts")
