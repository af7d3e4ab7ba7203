"""Packs: which there are, and installing, verifying and calibrating them as jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from face_server import packs
from face_server.admin.failures import Refusal
from face_server.admin.gate import who_asks
from face_server.admin.jobs import Job, Jobs, Progress, Result, Work
from face_server.admin.uploads import Uploads
from face_server.packs import Origin, Packs, Told
from face_server.settings import Settings
from face_server.store.work import DONE, JobRow, JobRows
from face_server.threads import step_back

INSTALL, VERIFY, CALIBRATE = "install_pack", "verify_pack", "calibrate_pack"
LAST = 200  # jobs in which the last verification of a pack is looked for

T = TypeVar("T")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Place = Annotated[str | None, Field(min_length=1, max_length=1024)]  # on the server
UploadId = Annotated[str | None, Field(pattern=r"^[0-9a-f]{32}$")]


class PackRole(BaseModel):
    role: str
    adapter: str
    licence: str
    accuracy: str


class Verified(BaseModel):
    time: float
    problems: int


class PackRow(BaseModel):
    name: str
    state: str  # built in, installed, available, broken
    in_use: bool
    licence: str
    terms: str | None  # what has to be accepted before it is installed
    version: str | None
    bytes: int
    problem: str | None
    embedding_id: str | None
    calibrated: bool
    roles: list[PackRole]
    far: list[tuple[float, float]]  # false accept rate and its cosine
    card: bool  # has tables of what was measured
    verified: Verified | None  # since it was last changed


class PackList(BaseModel):
    items: list[PackRow]


class CardTable(BaseModel):
    title: str
    columns: list[str]
    rows: list[list[str]]


class Card(BaseModel):
    pack: str
    tables: list[CardTable]


class NewInstall(BaseModel):
    """From the authors of a defined pack or a mirror of them, unless a zip or a folder has its files."""

    pack: Name
    accept_license: bool = False
    zip: Place = None
    folder: Place = None
    upload: UploadId = None
    mirror: Place = None


class NewVerification(BaseModel):
    pack: Name


class NewCalibration(BaseModel):
    """`pictures`: a folder on the server, or a zip there, with one folder per person; `upload`: such a zip."""

    pack: Name
    pictures: Place = None
    pairs: Place = None
    upload: UploadId = None


class PackJobs:
    """The work, each piece in a quiet thread of its own that stops between two steps when the job is cancelled."""

    def __init__(self, found: Packs, uploads: Uploads) -> None:
        self._packs, self._uploads = found, uploads

    def all(self) -> dict[str, Work]:
        return {INSTALL: self.install, VERIFY: self.verify, CALIBRATE: self.calibrate}

    async def install(self, what: Mapping[str, str], progress: Progress) -> Result:
        definition = self._packs.definition(what["pack"])
        archive = self._uploads.path(what["upload"]) if "upload" in what else _path(what, "zip")
        origin = Origin(_path(what, "folder"), archive, what.get("mirror", ""))
        local = bool(origin.folder or origin.archive)
        total = None if local else definition.download_bytes
        pack = await _aside(lambda told: self._packs.install(definition, origin, told), progress, total)
        await self._used(what)
        return Result(("file", "sha256"), [(file.name, digest) for file, digest in pack.files().items()])

    async def verify(self, what: Mapping[str, str], progress: Progress) -> Result:
        problems = await _aside(lambda told: self._packs.verify(what["pack"], told), progress)
        return Result(("file", "problem"), [(one.file, one.text) for one in problems])

    async def calibrate(self, what: Mapping[str, str], progress: Progress) -> Result:
        pictures = self._uploads.path(what["upload"]) if "upload" in what else _path(what, "pictures")
        pairs = _path(what, "pairs")
        try:
            work = partial(self._packs.calibrate, what["pack"], pictures, pairs)
            measured, _ = await _aside(work, progress)
        finally:  # they show people
            await self._used(what)
        rows = [(one.rate, one.cosine, one.score, one.recall) for one in measured.points]
        return Result(("false_accept_rate", "cosine", "score", "true_accept_rate"), rows)

    async def _used(self, what: Mapping[str, str]) -> None:
        if "upload" in what:
            await asyncio.to_thread(self._uploads.path(what["upload"]).unlink, missing_ok=True)


class PackShelf:
    """The API."""

    def __init__(self, found: Packs, uploads: Uploads, jobs: Jobs, rows: JobRows, settings: Settings) -> None:
        self._packs, self._uploads, self._jobs, self._rows = found, uploads, jobs, rows
        self._in_use = settings.pack

    async def listed(self) -> PackList:
        """Those that come with the product, those installed, and those that can be."""
        verified: dict[str, JobRow] = {}
        for row in await self._rows.page(None, LAST, VERIFY, DONE):
            verified.setdefault(row.what["pack"], row)
        return PackList(items=await asyncio.to_thread(self._all, verified))

    async def card(self, pack: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,64}$")]) -> Card:
        """What was measured of each role, as its model card tells."""
        tables = await asyncio.to_thread(lambda: packs.card(self._packs.find(pack)))
        return Card(pack=pack, tables=[CardTable(title=t.title, columns=t.columns, rows=t.rows) for t in tables])

    async def install(self, request: Request, new: NewInstall) -> Job:
        """As a job. Its terms have to be accepted: the list of packs has them."""
        definition = await asyncio.to_thread(self._packs.definition, new.pack)
        if not new.accept_license:
            raise Refusal(422, "licence", definition.licence_text(), "accept_license")
        if sum(one is not None for one in (new.zip, new.folder, new.upload, new.mirror)) > 1:
            raise Refusal(400, "bad_parameter", "Only one of zip, folder, upload and mirror can be named.")
        return await self._start(INSTALL, new, request)

    async def verify(self, request: Request, new: NewVerification) -> Job:
        """Hash every file, as a job; each row of its result is a file that is wrong."""
        return await self._start(VERIFY, new, request)

    async def calibrate(self, request: Request, new: NewCalibration) -> Job:
        """Make the table from cosine to score out of pictures of known people, as a job."""
        if sum(one is not None for one in (new.pictures, new.pairs, new.upload)) != 1:
            raise Refusal(400, "bad_parameter", "Exactly one of pictures, pairs and upload has to be named.")
        await asyncio.to_thread(self._packs.find, new.pack)
        return await self._start(CALIBRATE, new, request)

    async def _start(self, kind: str, new: NewInstall | NewVerification | NewCalibration, request: Request) -> Job:
        what = {key: value for key, value in new.model_dump(exclude_none=True).items() if isinstance(value, str)}
        if "upload" in what:
            self._uploads.path(what["upload"])
        return await self._jobs.start(kind, what, who_asks(request))

    def _all(self, verified: Mapping[str, JobRow]) -> list[PackRow]:
        try:
            used = self._packs.find(self._in_use).folder.resolve()
        except packs.PackError:
            used = None
        return [self._row(row, used, verified.get(row["name"])) for row in self._packs.overview()]

    def _row(self, row: Mapping[str, Any], used: Path | None, verified: JobRow | None) -> PackRow:
        known: dict[str, Any] = {"name": row["name"], "state": row["state"], "licence": row["licence"]}
        known |= {"bytes": row["bytes"], "problem": row.get("problem")}
        if row["state"] == "available":
            return PackRow(**_NOTHING | known | {"terms": self._packs.definition(row["name"]).licence_text()})
        if row["state"] == "broken":
            return PackRow(**_NOTHING | known)
        pack = self._packs.find(row["name"])
        changed = max(path.stat().st_mtime for path in (pack.folder / packs.MANIFEST, *pack.files()))
        since = verified if verified and verified.ended and verified.ended > changed else None
        known |= {
            "in_use": pack.folder.resolve() == used,
            "version": pack.version,
            "embedding_id": pack.embedding_id or None,
            "calibrated": bool(packs.measured_rates(pack)),
            "roles": [
                PackRole(role=n, adapter=r.adapter, licence=r.licence, accuracy=str(r.parameters.get("accuracy", "")))
                for n, r in pack.roles.items()
            ],
            "far": list(packs.measured_rates(pack)),
            "card": (pack.folder / packs.CARD).is_file(),
            "verified": Verified(time=since.ended or 0.0, problems=since.rows) if since else None,
        }
        return PackRow(**_NOTHING | known)


_NOTHING: dict[str, Any] = {
    "in_use": False,
    "terms": None,
    "version": None,
    "embedding_id": None,
    "calibrated": False,
    "roles": [],
    "far": [],
    "card": False,
    "verified": None,
}


class _Stopped(Exception): ...


def _path(what: Mapping[str, str], key: str) -> Path | None:
    return Path(what[key]) if key in what else None


async def _aside(work: Callable[[Told], T], progress: Progress, total: int | None = None) -> T:
    stop = threading.Event()
    parts: dict[str, tuple[int, int]] = {}
    progress.total = total

    def told(name: str, done: int, of: int) -> None:
        if stop.is_set():
            raise _Stopped
        parts[name] = done, of
        progress.done = sum(one for one, _ in parts.values())
        if total is None:
            progress.total = sum(one for _, one in parts.values())

    quiet = ThreadPoolExecutor(1, "packs", initializer=step_back)
    try:
        return await asyncio.get_running_loop().run_in_executor(quiet, work, told)
    finally:
        stop.set()
        quiet.shutdown(wait=False)
