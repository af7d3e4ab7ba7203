"""Memory, disk, clock and limits of the machine or container."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from face_server.checks.finding import Finding, note, ok, wrong

MB = 2**20
LEAST_MEMORY, GOOD_MEMORY = 512 * MB, 1024 * MB
LEAST_DISK, GOOD_DISK = 512 * MB, 5120 * MB
LEAST_FILES, GOOD_FILES = 512, 4096
LEAST_THREADS = 64
NOT_BEFORE = 1_767_225_600  # 2026: no machine that runs this can be earlier
UNSYNCHRONISED = 5  # what adjtimex answers
CGROUP = Path("/sys/fs/cgroup")


def memory() -> Finding:
    free = _available()
    said = f"{free // MB:,} MB can be used"
    if free < LEAST_MEMORY:
        return wrong("memory", said, "give the machine or container 1 GB or more, and see what else uses it")
    if free < GOOD_MEMORY:
        return note("memory", said, "enough for the builtin pack and a small library only; docs/sizing.md tells more")
    return ok("memory", said)


def _available() -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    with contextlib.suppress(OSError, ValueError):  # no limit, or no cgroup
        limit = int((CGROUP / "memory.max").read_text())
        free = min(free, limit - int((CGROUP / "memory.current").read_text()))
    return free


def disk(folder: Path) -> Iterator[Finding]:
    """Can the data folder be written, and how much?"""
    what = "data folder"
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError(0, f"{there} is a file")
        with tempfile.NamedTemporaryFile(dir=there, prefix=".doctor-") as file:
            file.write(bytes(64 << 10))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        do = "free some space, or give the user of the server the right to write there; FACE_DATA_DIR names another"
        yield wrong(what, f"{folder} cannot be written: {error.strerror}", do)
    else:
        yield ok(what, f"{folder} can be written" if folder.exists() else f"{folder} will be made by the first start")
    if there.is_dir():
        yield _space(there)


def _space(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    said = f"{usage.free // MB:,} MB free of {usage.total // MB:,}"
    if usage.free < LEAST_DISK:
        return wrong("disk", said, "make room: a full disk refuses every registration")
    if usage.free < GOOD_DISK:
        return note("disk", said, "docs/sizing.md tells how much a library takes")
    return ok("disk", said)


def clock(time_zone: str) -> Finding:
    what, now = "clock", time.time()
    try:
        shown = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + " UTC"
        ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):
        return wrong(what, f"no time zone {time_zone!r}", "FACE_TIME_ZONE takes names like Asia/Shanghai or UTC")
    if now < NOT_BEFORE:
        return wrong(what, f"it says {shown}", "set the clock: tokens and licences depend on it")
    if _unsynchronised():
        return note(what, f"{shown}, and nothing keeps it right", "run chrony or systemd-timesyncd on the host")
    return ok(what, shown)


def _unsynchronised() -> bool:
    state = ctypes.create_string_buffer(512)  # struct timex with modes 0: only asks
    return bool(ctypes.CDLL(None).adjtimex(state) == UNSYNCHRONISED)


def limits() -> Finding:
    what = "limits"
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    threads = _thread_limit()
    said = f"{_number(files)} open files, {_number(threads)} processes and threads"
    do = "ulimit -n 65536; systemd: LimitNOFILE=65536; a container: --ulimit nofile=65536 --pids-limit 1024"
    if (files != resource.RLIM_INFINITY and files < LEAST_FILES) or 0 <= threads < LEAST_THREADS:
        return wrong(what, said, do)
    if files != resource.RLIM_INFINITY and files < GOOD_FILES:
        return note(what, f"{said}: each connection is a file", do)
    return ok(what, said)


def _thread_limit() -> int:
    """The least of what applies; -1: none does. Root is not bound by its own limit."""
    found = []
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if limit != resource.RLIM_INFINITY and os.geteuid():
        found.append(limit)
    with contextlib.suppress(OSError, ValueError):
        found.append(int((CGROUP / "pids.max").read_text()))
    return min(found, default=-1)


def _number(limit: int) -> str:
    return "unlimited" if limit < 0 else f"{limit:,}"
