"""`face-server db`: the newest schema, and moving a library to Postgres."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from face_server.commands.said import fail, words
from face_server.errors import FaceError
from face_server.settings import Settings, load_settings
from face_server.store import migrate as schema
from face_server.store.choice import database_at

TARGET = "FACE_DATABASE_URL"

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The database: migrate its schema, copy a library to Postgres."
)
out = Console(soft_wrap=True, highlight=False, markup=False)
err = Console(stderr=True)

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="the server's data folder [FACE_DATA_DIR]", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def migrate(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Bring the server's database to the newest schema, as a start of the server does."""

    async def work(settings: Settings) -> None:
        database = database_at(settings.database, 2, lambda *_: None)
        try:
            await database.open()
        finally:
            await database.close()

    _run(data_dir, work)
    out.print(json.dumps({"schema": schema.head()}) if as_json else f"the schema is at {schema.head()}")


@app.command()
def copy(
    to: Annotated[str, typer.Option("--to", help=f"postgresql://user:password@host/database [{TARGET}]")] = "",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Copy the library in the data folder to an empty Postgres, and compare counts and checksums. Nothing of it stays
    there if anything fails. Pictures stay where they are: in the data folder."""

    async def work(settings: Settings) -> None:
        target = Settings(database_url=SecretStr(to)).database if to else settings.database
        if isinstance(target, Path):
            raise ValueError(f"where to? --to or {TARGET} names the Postgres")
        await _copy(settings.data_dir / "faces.db", target, as_json)

    _run(data_dir, work)


async def _copy(path: Path, url: str, as_json: bool) -> None:
    from face_server.store.moving import Source, move

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Source.opened(path) as source, Progress(*columns, console=err) as bar:
        task = bar.add_task("", total=2 * source.size)  # each is copied and compared

        def progress(name: str, rows: int) -> None:
            bar.update(task, description=name, advance=rows)

        sums = await move(source, url, progress)
    if as_json:
        facts = {name: {"rows": found.rows, "checksum": found.checksum} for name, found in sums.items()}
        out.print(json.dumps(facts, indent=2))
        return
    table = Table("table", "rows", "checksum, the same here and there", box=None)
    for name, found in sums.items():
        table.add_row(name, f"{found.rows:,}", found.checksum)
    out.print(table)


def _run(data_dir: Path | None, work: Callable[[Settings], Coroutine[Any, Any, None]]) -> None:
    try:
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        asyncio.run(work(settings))
    except (FaceError, ValueError, OSError) as error:
        fail(words(error))


if __name__ == "__main__":
    app()
