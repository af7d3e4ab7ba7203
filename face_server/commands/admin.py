"""`face-server admin`: who may sign in to the console and the admin API."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from face_server.admin import passwords
from face_server.admin.roles import NAME, Role
from face_server.commands.noted import noted
from face_server.commands.said import fail
from face_server.errors import FaceError
from face_server.settings import load_settings
from face_server.store.store import Store

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="People who administer the server: give them passwords."
)


@app.callback()
def main() -> None:
    """People who administer the server: give them passwords."""


@app.command()
def password(
    name: Annotated[str, typer.Argument(help="who signs in with it")] = "",
    role: Annotated[str, typer.Option(help="viewer, operator or admin")] = "admin",
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="the server's data folder [FACE_DATA_DIR]", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Set a password; without a name, for an account that is called like its role. It is asked for, or read as one line
    from a pipe. All sessions of the account end."""
    if role.upper() not in Role.__members__:
        fail(f"no role {role!r}: viewer, operator or admin")
    name = name or role.lower()
    if not re.fullmatch(NAME, name):
        fail("a name has 1 to 64 letters, digits or any of _ . @ -")
    given = _ask()
    if len(given) < passwords.LEAST:
        fail(f"a password has at least {passwords.LEAST} characters")
    try:
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        asyncio.run(_put(settings.database, name, Role.of(role), given))
    except (FaceError, ValueError, OSError) as error:
        fail(str(error))
    facts = {"name": name, "role": role.lower()}
    print(json.dumps(facts) if as_json else f"{name} can sign in as {role.lower()}")


def _ask() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


async def _put(place: Path | str, name: str, role: Role, given: str) -> None:
    store = Store(place)
    await store.open()
    try:
        async with noted(store.audit, "set_password", {"name": name, "role": role.word}):
            await store.operators.put(passwords.new_operator(name, role, given))
    finally:
        await store.close()
