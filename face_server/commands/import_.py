"""`face-server import`: people from a folder of pictures, a table, or another deployment."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from face_server.commands.noted import noted
from face_server.commands.said import fail
from face_server.errors import FaceError
from face_server.model import DEFAULT_APP, Gates, Level
from face_server.settings import Settings, load_settings
from face_server.transfer import features
from face_server.transfer.deployment import Deployment, Pictures, from_deployment
from face_server.transfer.features import Features
from face_server.transfer.files import from_path
from face_server.transfer.importing import Importer, Options
from face_server.transfer.journal import Journal, digest
from face_server.transfer.plan import Plan, SourceError
from face_server.transfer.report import Report

SOME_REFUSED, IMPOSSIBLE = 1, 2

app = typer.Typer(add_completion=False)
err = Console(stderr=True)

Source = Annotated[
    Path | None,
    typer.Argument(help="a folder group/user/picture, a folder that export wrote, or a CSV: group,user,file[,info]"),
]
App = Annotated[str, typer.Option("--app", help="the app (appid) to bring them to")]
Quality = Annotated[Level, typer.Option(help="refuse faces of less quality", case_sensitive=False)]
Liveness = Annotated[Level, typer.Option(help="refuse faces that do not look alive", case_sensitive=False)]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="CSV of refused pictures [data/imports]", show_default=False)
]
FromUrl = Annotated[
    str,
    typer.Option(help="walk this deployment (http://host/face-api) for groups, users and infos", show_default=False),
]
FromApp = Annotated[str, typer.Option(help="its app, if that is called otherwise", show_default=False)]
PicturesDir = Annotated[
    Path | None,
    typer.Option("--pictures", help="where the pictures are: of --from-url, or of a CSV", show_default=False),
]
Again = Annotated[bool, typer.Option("--again", help="look also at what an earlier run has brought")]
AsJson = Annotated[bool, typer.Option("--json", help="print the summary as JSON")]
DataDir = Annotated[Path | None, typer.Option(help="FACE_DATA_DIR, or ./data", show_default=False)]


@app.command("import")
def import_(
    source: Source = None,
    app_name: App = DEFAULT_APP,
    quality: Quality = Level.NONE,
    liveness: Liveness = Level.NONE,
    report: ReportFile = None,
    from_url: FromUrl = "",
    from_app: FromApp = "",
    pictures: PicturesDir = None,
    again: Again = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Bring people from a folder, a table or another deployment. Run again, it goes on where it was cut off.

    A server may run on the same data folder; it finds the new people at its next search.
    FACE_IMPORT_BEARER is sent to a deployment that wants a token.
    Exit status: 0 all brought, 1 some pictures refused, 2 could not run."""
    try:
        bearer = os.environ.pop("FACE_IMPORT_BEARER", "")
        settings = load_settings(**({} if data_dir is None else {"data_dir": data_dir}))
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        deployment = Deployment(from_url, from_app or app_name, bearer) if from_url else None
        plan = _plan(source, deployment, pictures)
        templates = source / features.FILE if source is not None else None
        kept = Features(templates if templates is not None and templates.is_file() else None)
        places = [path.resolve() if path is not None else "" for path in (source, pictures)]
        name = digest(app_name, from_url, *places)
        folder = settings.data_dir / "imports"
        folder.mkdir(exist_ok=True)
        if again:
            (folder / f"{name}.journal").unlink(missing_ok=True)
        options = Options(app_name, Gates(quality, liveness), most_bytes=settings.max_body_mb << 20)
        with (
            Journal(folder / f"{name}.journal") as journal,
            Report(report or folder / f"{name}.refused.csv") as refused,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            summary = runner.run(_run(settings, plan, kept, options, journal, refused))
    except (FaceError, SourceError, ValueError, OSError) as error:
        refuse(error)
    _tell(summary, as_json)
    raise typer.Exit(SOME_REFUSED if summary["refused"] else 0)


def _plan(source: Path | None, deployment: Deployment | None, pictures: Path | None) -> Plan:
    if deployment is None:
        if source is None:
            raise SourceError("nothing to import: name a folder or a table, or --from-url")
        return from_path(source, pictures)
    if pictures is None or source is not None:
        raise SourceError("--from-url needs --pictures, and no other source")
    found = Pictures(pictures)
    with err.status("walking the deployment") if err.is_terminal else nullcontext():
        return from_deployment(deployment, found)


async def _run(
    settings: Settings, plan: Plan, kept: Features, options: Options, journal: Journal, report: Report
) -> dict[str, Any]:
    from face_server.app import Parts  # what it needs takes a second to import: wrong arguments are told sooner

    parts = Parts(settings)
    # Files are read and written by as many threads as pictures are looked at: more would only be in the way.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max(2, parts.lanes.count), "files"))
    async with parts.working() as service:
        gc.freeze()
        importer = Importer(service.library, service.bulk, kept, options, parts.lanes.count)
        begun, spent = time.perf_counter(), time.process_time()
        with progress("importing", len(plan.items)) as told:
            async with noted(parts.store.audit, "import", {"app": options.app}) as line:
                try:
                    await importer.run(plan, journal, report, told)
                except ExceptionGroup as errors:
                    raise first_of(errors) from None
                finally:
                    line |= {"imported": str(importer.counts.imported), "refused": str(report.count)}
        seconds, cpu = time.perf_counter() - begun, time.process_time() - spent
    counts = importer.counts
    return {
        "pictures": len(plan.items),
        "imported": counts.imported,
        "already_there": counts.already,
        "skipped": counts.skipped,
        "refused": report.count,
        "seconds": round(seconds, 2),
        "cpu": round(cpu, 2),
        "report": str(report.path) if report.count else None,
    }


def first_of(errors: BaseExceptionGroup[Any]) -> BaseException:
    """What happened first; the others are often its consequence."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _tell(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    parts = [f"{summary['imported']} imported"]
    parts += [
        f"{summary[key]} {key.replace('_', ' ')}" for key in ("already_there", "skipped", "refused") if summary[key]
    ]
    print(f"{', '.join(parts)} of {summary['pictures']} in {summary['seconds']} s")
    if summary["report"]:
        print(f"refused pictures with their reasons: {summary['report']}")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar where somebody watches."""
    if not err.is_terminal:
        yield lambda: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def refuse(error: Exception) -> NoReturn:
    fail(str(error) or type(error).__name__, IMPOSSIBLE)
