"""The database and Redis: reachable, of a usable version, with a schema that fits, and a clock that agrees."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from face_server.checks.finding import Finding, note, ok, wrong
from face_server.store import migrate

if TYPE_CHECKING:  # most servers have no Redis
    from redis.client import Redis

SECONDS = 5
CHECKED_BYTES = 1 << 30  # a larger file takes minutes to check
LEAST_REDIS = (6, 2)  # takes over the work of a dead worker
MOST_APART = 2.0  # seconds
KEEPS = "noeviction"


def database(place: Path | str) -> Iterator[Finding]:
    if isinstance(place, Path):
        yield _sqlite(place)
    else:
        yield from asyncio.run(_postgres(place))


def _sqlite(path: Path) -> Finding:
    if not path.exists():
        return ok("database", f"SQLite, {path} will be made by the first start")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=SECONDS)) as connection:
            whole = path.stat().st_size <= CHECKED_BYTES
            said = connection.execute("PRAGMA quick_check(1)" if whole else "SELECT 'ok'").fetchone()[0]
            faces = None
            if said == "ok" and migrate.current(path):
                faces = connection.execute("SELECT count(*) FROM faces").fetchone()[0]
    except (sqlite3.Error, OSError) as error:
        return wrong("database", f"{path} cannot be read: {error}", "restore a backup, or look at its rights")
    if said != "ok":
        return wrong("database", f"{path} is damaged: {said}", "restore a backup: face-server restore")
    revision = migrate.current(path)
    return _schema(f"SQLite {sqlite3.sqlite_version}", revision) or ok(
        "database", f"SQLite {sqlite3.sqlite_version}, {faces:,} faces"
    )


def _schema(kind: str, revision: str | None) -> Finding | None:
    newest = migrate.head()
    if revision is None or revision < newest:
        said = f"{kind}, its schema is {revision or 'not made yet'}, the newest is {newest}"
        return note("database", said, "the next start of the server migrates it, or face-server db migrate")
    if revision > newest:
        said = f"{kind}, its schema {revision} is newer than this program, which knows {newest}"
        return wrong("database", said, "run the version of face-server that made it, or a newer one")
    return None


async def _postgres(url: str) -> list[Finding]:
    import asyncpg

    where = _shown(url)
    try:
        connection = await asyncpg.connect(url, timeout=SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        do = "is it running, is the address in FACE_DATABASE_URL right, does a firewall lie between?"
        return [wrong("database", f"Postgres at {where} does not answer: {_reason(error)}", do)]
    try:
        version = connection.get_server_version()
        row = await connection.fetchrow("SELECT extract(epoch FROM clock_timestamp())::float8 AS now")
        apart = abs(float(row["now"]) - time.time()) if row else 0.0
        there = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
        revision = await connection.fetchval("SELECT version_num FROM alembic_version") if there else None
    except asyncpg.PostgresError as error:
        return [wrong("database", f"Postgres at {where} refuses: {_reason(error)}", "look at the rights of the user")]
    finally:
        await connection.close()
    kind = f"Postgres {version.major}.{version.minor} at {where}"
    return [_schema(kind, revision) or ok("database", kind), *_clock("database", apart)]


def redis(url: str, sealed: bool = False) -> Iterator[Finding]:
    """`sealed`: with a key file, so that no face may lie on a disk as it is."""
    if not url:
        yield ok("Redis", "not used: FACE_REDIS_URL is not set")
        return
    from redis import Redis
    from redis.exceptions import RedisError

    where = _shown(url)
    try:
        patience = {"socket_connect_timeout": SECONDS, "socket_timeout": SECONDS}
        with Redis.from_url(url, decode_responses=True, **patience) as client:
            version = str(client.info("server")["redis_version"])
            seconds, microseconds = client.time()
            kept = _kept(client)
    except (RedisError, OSError, ValueError) as error:
        do = "is it running, is the address in FACE_REDIS_URL right, does a firewall lie between?"
        yield wrong("Redis", f"{where} does not answer: {_reason(error)}", do)
        return
    if tuple(int(part) for part in version.split(".")[:2]) < LEAST_REDIS:
        yield wrong("Redis", f"{version} at {where} is too old", "use Redis 6.2 or newer")
    elif sealed and _writes(kept):
        said = f"{version} at {where} writes to its disk, and pictures pass through it as they came"
        yield wrong("Redis", said, "CONFIG SET save '' and appendonly no: nothing in it has to outlive it")
    elif kept.get("maxmemory-policy", KEEPS) != KEEPS:
        said = f"{version} at {where} forgets when it is full: its maxmemory-policy is {kept['maxmemory-policy']}"
        yield note("Redis", said, f"maxmemory-policy {KEEPS}: who is refused knows it, and tries again")
    else:
        yield ok("Redis", f"{version} at {where}")
    yield from _clock("Redis", abs(seconds + microseconds / 1e6 - time.time()))


def _kept(client: Redis) -> dict[str, str]:
    """Nothing where it may not be asked for, as in many a cloud."""
    from redis.exceptions import ResponseError

    found: dict[str, str] = {}
    with suppress(ResponseError):
        for name in ("save", "appendonly", "maxmemory-policy"):
            found |= {str(key): str(value) for key, value in client.config_get(name).items()}
    return found


def _writes(kept: dict[str, str]) -> bool:
    return bool(kept.get("save")) or kept.get("appendonly") == "yes"


def _clock(of: str, apart: float) -> Iterator[Finding]:
    if apart > MOST_APART:
        yield wrong("clock", f"it is {apart:.0f} seconds apart from that of {of}", "keep both right with NTP")


def _shown(url: str) -> str:
    """An address without user and password."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
