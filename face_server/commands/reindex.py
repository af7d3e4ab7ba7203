"""`face-server reindex`: new templates for the faces that another pack has registered."""

from __future__ import annotations

import asyncio
import csv
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvloop

from face_server.commands.import_ import progress, refuse
from face_server.commands.noted import noted
from face_server.errors import FaceError
from face_server.settings import Settings, load_settings

if TYPE_CHECKING:
    from face_server.faces.reindexing import Left

SOME_LEFT, INTERRUPTED = 1, 130
NICENESS = 5  # the requests of a server beside it come first
REPORT = "reindex.left.csv"

app = typer.Typer(add_completion=False)


@dataclass(slots=True)
class _Bar:
    """Draws what the work tells."""

    advance: Callable[[], None]
    total: int | None = None
    _done: int = 0

    @property
    def done(self) -> int:
        return self._done

    @done.setter
    def done(self, value: int) -> None:
        for _ in range(value - self._done):
            self.advance()
        self._done = value


@app.command()
def reindex(
    app_name: Annotated[str, typer.Option("--app", help="only this app [all]", show_default=False)] = "",
    group: Annotated[str, typer.Option(help="only this group of the app", show_default=False)] = "",
    report: Annotated[
        Path | None, typer.Option(help=f"CSV of faces that stay as they are [data/{REPORT}]", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as JSON")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="FACE_DATA_DIR, or ./data", show_default=False)] = None,
) -> None:
    """Make templates of the pack FACE_PACK for faces of another one, out of the pictures that are kept of them.

    From its start on the apps are of this pack: each face is searched as soon as it has its new template. Run again, it
    goes on where it was cut off; with the earlier pack it goes back. A server with the same pack may run beside it.
    Exit status: 0 all done, 1 some faces stay as they are, 2 could not run."""
    try:
        if group and not app_name:
            raise ValueError("--group needs --app")
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        os.nice(NICENESS)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            summary = runner.run(_run(settings, app_name, group, report or settings.data_dir / REPORT))
    except (FaceError, ValueError, OSError) as error:
        refuse(error)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    _tell(summary, as_json)
    raise typer.Exit(SOME_LEFT if summary["left"] else 0)


async def _run(settings: Settings, app_name: str, group: str, report: Path) -> dict[str, Any]:
    from face_server.app import Parts  # what it needs takes a second to import: wrong arguments are told sooner

    parts = Parts(settings)
    async with parts.working() as service:
        apps = [app_name] if app_name else await parts.store.apps()
        if app_name and await parts.store.seq(app_name) is None:
            raise ValueError(f"no app {app_name!r}")
        left: list[Left] = []
        await asyncio.to_thread(report.unlink, missing_ok=True)  # of an earlier run: it is not true any more
        work = service.reindexing
        total = sum([await work.remaining(each, group or None) for each in apps])
        about = {"app": app_name, "group": group}
        async with noted(parts.store.audit, "reextract", about) as line:
            with progress("new templates", total) as advance:
                renewed = await work.run(apps, group or None, _Bar(advance), left.append)
            line |= {"renewed": str(renewed), "left": str(len(left))}
    if left:
        await asyncio.to_thread(_write, report, left)
    return {
        "pack": parts.pack.name,
        "embedding_id": parts.pack.embedding_id,
        "faces": total,
        "renewed": renewed,
        "left": dict(Counter(one.reason.value for one in left)),
        "report": str(report) if left else None,
    }


def _write(path: Path, left: list[Left]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow([field.name for field in fields(left[0])])
        table.writerows([*list(asdict(one).values())[:-1], one.reason.value] for one in left)


def _tell(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    print(f"{summary['renewed']} of {summary['faces']} faces have new templates, of pack {summary['pack']}")
    for reason, count in summary["left"].items():
        print(f"{count} stay as they are: {reason.replace('_', ' ')}")
    if summary["report"]:
        print(f"which ones: {summary['report']}")
