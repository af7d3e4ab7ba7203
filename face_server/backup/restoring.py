"""A backup becomes the library of a data folder (and of an empty Postgres). Nothing is touched before all of it is
found whole."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from face_server.backup import dump, manifest
from face_server.backup.manifest import Manifest
from face_server.errors import StoreFailed
from face_server.settings import Settings
from face_server.store import migrate, occupied

# What a library has in its folder; installed models and settings of the operator stay.
LIBRARY = ("faces.db", "faces.db-wal", "faces.db-shm", "pictures", "galleries", "tokens")


def restore(source: Path, settings: Settings, force: bool) -> Manifest:
    found = manifest.verify(source)
    if found.schema > migrate.head():
        raise StoreFailed(
            f"the backup has the schema {found.schema}, this program knows {migrate.head()}: take a newer one"
        )
    folder, place = settings.data_dir, settings.database
    if (found.database == "sqlite") != isinstance(place, Path):
        where = "unset" if found.database == "sqlite" else "set"
        raise StoreFailed(f"the backup is of {found.database}: FACE_DATABASE_URL must be {where}")
    with occupied.occupied(folder, alone=True):
        if not force and _used(folder):
            raise StoreFailed(f"{folder} is not empty: --force replaces the library in it")
        incoming = folder / "restore-incoming"
        shutil.rmtree(incoming, ignore_errors=True)
        try:
            _copy(source, incoming, found)
            if not isinstance(place, Path):
                _into_postgres(place, source / manifest.POSTGRES, found, force)
            _replace(folder, incoming)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
    return found


def _used(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name not in occupied.LOCKS]


def _copy(source: Path, incoming: Path, found: Manifest) -> None:
    incoming.mkdir()
    if (source / manifest.PICTURES).is_dir():
        shutil.copytree(source / manifest.PICTURES, incoming / "pictures")
    copied = sum(1 for path in incoming.rglob("*") if path.is_file())
    if copied != found.pictures:
        raise StoreFailed(f"the backup has {copied} pictures and should have {found.pictures}")
    if found.database == "sqlite":
        shutil.copyfile(source / manifest.SQLITE, incoming / "faces.db")
        _same(dump.read_sqlite(incoming / "faces.db").rows, found)


def _into_postgres(url: str, file: Path, found: Manifest, force: bool) -> None:
    if not force and not asyncio.run(dump.is_empty(url)):
        raise StoreFailed("the Postgres is not empty: --force replaces the library in it")
    clean = ("--clean", "--if-exists") if force else ()
    dump.run_program("pg_restore", url, "--single-transaction", "--exit-on-error", *clean, str(file))
    _same(asyncio.run(dump.counts_of_postgres(url)), found)


def _same(rows: dict[str, int], found: Manifest) -> None:
    for table, count in found.rows.items():
        if rows.get(table) != count:
            raise StoreFailed(f"{rows.get(table)} rows in {table}, and the backup had {count}")


def _replace(folder: Path, incoming: Path) -> None:
    for name in LIBRARY:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in incoming.iterdir():
        path.rename(folder / path.name)
