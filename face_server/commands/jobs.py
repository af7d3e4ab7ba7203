"""`face-server jobs`: long work of a running server: deletions, and looking for people who are there twice."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from face_server.commands import remote
from face_server.commands.remote import Account, App, Json, Password, Server, Url

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Jobs of a running server: list, start, follow, cancel, results."
)

Id = Annotated[int, typer.Argument(help="the job's number", min=1)]
Group = Annotated[str, typer.Argument(help="the group's name")]
Wait = Annotated[bool, typer.Option("--wait", help="until it has ended; exit code 1 unless it is done")]
COLUMNS = ("id", "kind", "what", "state", "done", "total", "created", "ended", "by", "rows", "error")
OPEN = ("waiting", "running")
EVERY = 0.5  # seconds between two questions how far it is


@app.command("list")
def list_jobs(
    kind: Annotated[str, typer.Option(help="only this kind")] = "",
    state: Annotated[str, typer.Option(help="only this state")] = "",
    most: Annotated[int, typer.Option(min=1, help="so many at most")] = 50,
    url: Url = "",
    name: Account = "admin",
    password: Password = "",
    as_json: Json = False,
) -> None:
    """The last jobs, newest first."""
    query = {"kind": kind or None, "state": state or None}
    found = remote.run(url, name, password, lambda ask: list(ask.all("/jobs", most, **query)))
    remote.show(found, as_json, *COLUMNS)


@app.command()
def show(
    job: Id, wait: Wait = False, url: Url = "", name: Account = "admin", password: Password = "", as_json: Json = False
) -> None:
    """How far a job is."""
    _follow(remote.run(url, name, password, lambda ask: _ended(ask, ask("GET", f"/jobs/{job}"), wait)), wait, as_json)


@app.command()
def result(job: Id, url: Url = "", name: Account = "admin", password: Password = "", as_json: Json = False) -> None:
    """What a job has found."""

    def work(ask: Server) -> list[dict[str, Any]]:
        columns = ask("GET", f"/jobs/{job}")["columns"]
        return [dict(zip(columns, row, strict=True)) for row in ask.all(f"/jobs/{job}/result")]

    rows = remote.run(url, name, password, work)
    remote.show(rows, as_json, *(rows[0] if rows else ()))


@app.command()
def cancel(job: Id, url: Url = "", name: Account = "admin", password: Password = "", as_json: Json = False) -> None:
    """Stop a job; a deletion that has not begun is taken back."""
    remote.show([remote.run(url, name, password, lambda ask: ask("POST", f"/jobs/{job}/cancel"))], as_json, *COLUMNS)


@app.command()
def duplicates(
    group: Group,
    score: Annotated[float, typer.Option(min=60, max=100, help="how alike they are at least")] = 90,
    wait: Wait = False,
    library: App = "default",
    url: Url = "",
    name: Account = "admin",
    password: Password = "",
    as_json: Json = False,
) -> None:
    """Look for faces of different people of a group that are alike: perhaps one person was registered twice."""
    body = {"kind": "duplicates", "app": library, "group": group, "score": score}
    _follow(remote.run(url, name, password, lambda ask: _ended(ask, ask("POST", "/jobs", body), wait)), wait, as_json)


@app.command()
def doubtful(
    group: Group,
    wait: Wait = False,
    library: App = "default",
    url: Url = "",
    name: Account = "admin",
    password: Password = "",
    as_json: Json = False,
) -> None:
    """Look for faces of a group that are nearer to another person than to their own."""
    body = {"kind": "doubtful", "app": library, "group": group}
    _follow(remote.run(url, name, password, lambda ask: _ended(ask, ask("POST", "/jobs", body), wait)), wait, as_json)


def _ended(ask: Server, job: Any, wait: bool) -> Any:
    while wait and job["state"] in OPEN:
        time.sleep(EVERY)
        job = ask("GET", f"/jobs/{job['id']}")
    return job


def _follow(job: Any, wait: bool, as_json: bool) -> None:
    if as_json:
        remote.print_json(job)
    else:
        remote.show([job], False, *COLUMNS)
    if wait and job["state"] != "done":
        raise typer.Exit(remote.REFUSED)
