"""`face-server jobs`: long work of a running server: deletions, and looking for people who are there twice."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from face_server.commands import remote
from face_server.commands.remote import App, Call, Server, word
from face_server.commands.said import print_json

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Jobs of a running server: list, start, follow, cancel, results."
)

Id = Annotated[int, typer.Argument(help="the job's number", min=1)]
Group = Annotated[str, typer.Argument(help="the group's name")]
Wait = Annotated[bool, typer.Option("--wait", help="until it has ended; exit code 1 unless it is done")]
COLUMNS = ("id", "kind", "what", "state", "done", "total", "created", "ended", "by", "rows", "error")
OPEN = ("waiting", "running")
EVERY = 0.5  # seconds between two questions how far it is


@word(app, "list")
def list_jobs(
    call: Call,
    kind: Annotated[str, typer.Option(help="only this kind")] = "",
    state: Annotated[str, typer.Option(help="only this state")] = "",
    most: Annotated[int, typer.Option(min=1, help="so many at most")] = 50,
) -> None:
    """The last jobs, newest first."""
    query = {"kind": kind or None, "state": state or None}
    found = call.run(lambda ask: list(ask.all("/jobs", most, **query)))
    call.show(found, *COLUMNS)


@word(app)
def show(call: Call, job: Id, wait: Wait = False) -> None:
    """How far a job is."""
    _follow(call, wait, "GET", f"/jobs/{job}")


@word(app)
def result(call: Call, job: Id) -> None:
    """What a job has found."""

    def work(ask: Server) -> list[dict[str, Any]]:
        columns = ask("GET", f"/jobs/{job}")["columns"]
        return [dict(zip(columns, row, strict=True)) for row in ask.all(f"/jobs/{job}/result")]

    rows = call.run(work)
    call.show(rows, *(rows[0] if rows else ()))


@word(app)
def cancel(call: Call, job: Id) -> None:
    """Stop a job; a deletion that has not begun is taken back."""
    call.show([call.run(lambda ask: ask("POST", f"/jobs/{job}/cancel"))], *COLUMNS)


@word(app)
def duplicates(
    call: Call,
    group: Group,
    score: Annotated[float, typer.Option(min=60, max=100, help="how alike they are at least")] = 90,
    wait: Wait = False,
    library: App = "default",
) -> None:
    """Look for faces of different people of a group that are alike: perhaps one person was registered twice."""
    body = {"kind": "duplicates", "app": library, "group": group, "score": score}
    _follow(call, wait, "POST", "/jobs", body)


@word(app)
def doubtful(
    call: Call,
    group: Group,
    wait: Wait = False,
    library: App = "default",
) -> None:
    """Look for faces of a group that are nearer to another person than to their own."""
    body = {"kind": "doubtful", "app": library, "group": group}
    _follow(call, wait, "POST", "/jobs", body)


@word(app)
def reextract(
    call: Call,
    group: Annotated[str | None, typer.Option(help="only this group of the app", show_default=False)] = None,
    wait: Wait = False,
    library: App = "default",
) -> None:
    """Make templates of the server's pack for faces of another one; the result lists those that stay as they are."""
    body = {"kind": "reextract", "app": library, "group": group}
    _follow(call, wait, "POST", "/jobs", body)


def _ended(ask: Server, job: Any, wait: bool) -> Any:
    while wait and job["state"] in OPEN:
        time.sleep(EVERY)
        job = ask("GET", f"/jobs/{job['id']}")
    return job


def _follow(call: Call, wait: bool, *asked: Any) -> None:
    """The job that the question gives, or what has become of it."""
    job = call.run(lambda ask: _ended(ask, ask(*asked), wait))
    if call.as_json:
        print_json(job)
    else:
        call.show([job], *COLUMNS)
    if wait and job["state"] != "done":
        raise typer.Exit(remote.REFUSED)
