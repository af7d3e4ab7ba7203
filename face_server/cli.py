"""The command line: `serve`, and the words of `commands/`."""

from __future__ import annotations

import gc
import os
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from face_server import __version__
from face_server.commands.said import refuse_to_start

app = typer.Typer(
    name="face-server",
    help="A self-hosted face recognition server that speaks the APIs of five vendors.",
    epilog="Every setting is an environment variable FACE_*, or a line of the TOML file that FACE_CONFIG names.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Host = Annotated[str | None, typer.Option(help="Address to listen on: FACE_HOST, or 127.0.0.1.", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Port to listen on: FACE_PORT, or 8300.", show_default=False)]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder of everything it keeps: FACE_DATA_DIR, or ./data.", show_default=False)
]


@app.command()
def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Start the server."""
    gc.disable()  # until it serves: nothing of what a start makes is garbage, and looking for some takes a sixth of it
    # What a server needs takes a second to import; the other commands do without it.
    from face_server.errors import FaceError
    from face_server.ops import logging, serving
    from face_server.settings import load_settings

    given = {"host": host, "port": port, "data_dir": data_dir}
    try:
        settings = load_settings(**{name: value for name, value in given.items() if value is not None})
        logging.set_up(settings.log_level, settings.log_format)
        _prepare(settings.data_dir)
        listener = serving.listen(settings.host, settings.port)
        serving.keep_memory_small()
        from face_server.app import create_app

        server = create_app(settings)
    except (FaceError, ValueError, OSError, serving.CannotListen) as error:
        refuse_to_start(error)
    parts = server.state.parts
    raise typer.Exit(serving.run(server, listener, ready=lambda: parts.tell(listener), draining=parts.drain))


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the data folder {folder} cannot be made: {error.strerror or error}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"the data folder {folder} is not writable")


# Each word has a module of its name with a Typer `app`; none is loaded before it is needed.
_WORDS = {
    "admin": "Give passwords to people who administer the server.",
    "apps": "Create, list, rotate and delete apps with their keys and secrets.",
    "backup": "Write the library as of one instant into a folder, also beside a running server.",
    "db": "Migrate the database's schema; copy a library from SQLite to Postgres.",
    "groups": "List, add and delete groups of a running server.",
    "doctor": "Check the installation: what is wrong, and what to do.",
    "import": "Bring people from a folder, a table or another deployment.",
    "export": "Write the people of an app to a folder that import reads.",
    "worker": "Look at pictures for the servers that share a Redis.",
    "jobs": "List, start, follow and cancel the jobs of a running server.",
    "purge": "Erase a user, a group or an app everywhere, and look whether anything is left.",
    "seal": "Seal what is kept of faces with a key file; change keys.",
    "license": "Authorization by a licence: fingerprint, issue, inspect, verify, serve.",
    "models": "List, install, verify and calibrate packs of models.",
    "people": "List, show, add, find, change and delete people of a running server.",
    "reindex": "After a change of the pack: new templates out of the stored pictures.",
    "restore": "Check a backup and make it the library of an empty data folder.",
    "size": "What machine a library and a load need.",
    "top": "Watch a running server in the terminal.",
    "try": "Look at photos: every face with all that the models tell.",
}


class _Word(TyperCommand):
    """Stands for the commands of a module, which is loaded when the word is said or completed."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        module = f"{self.name}_" if iskeyword(str(self.name)) else self.name
        real = get_command(import_module(f"face_server.commands.{module}").app)
        # These belong to face-server as a whole.
        real.params = [one for one in real.params if one.name not in ("install_completion", "show_completion")]
        return real.make_context(info_name, args, parent=parent, **extra)


def _add_word(word: str, help_: str) -> None:
    app.command(word, cls=_Word, help=help_, add_help_option=False)(lambda: None)


for _word, _help in _WORDS.items():
    _add_word(_word, _help)


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the version."""
    print(f'{{"version": "{__version__}"}}' if as_json else __version__)


def main() -> None:
    app(prog_name="face-server")
