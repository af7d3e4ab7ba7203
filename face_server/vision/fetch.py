"""Upstream files over HTTP, continued where an earlier try broke off."""

from __future__ import annotations

import http.client
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from face_server import __version__
from face_server.vision.install import Upstream
from face_server.vision.packs import PackError, sha256

Progress = Callable[[int, int], None]  # bytes so far, bytes in all (0: unknown)

_CHUNK = 1 << 18
_TIMEOUT = 30
_TRIES = 5
PAUSE = 1.0  # seconds before the second try; each further one waits twice as long


class FromNetwork:
    """Each file from its own address, or all from a mirror. What has come stays in `cache` until `clear`."""

    def __init__(self, cache: Path, mirror: str, progress: Callable[[str], Progress]) -> None:
        self._cache, self._mirror, self._progress = cache, mirror, progress

    def get(self, file: Upstream, target: Path) -> None:
        shutil.copyfile(self.download(file), target)

    def download(self, file: Upstream) -> Path:
        """The file in the cache, checked: a wrong one is thrown away, so that the next try starts afresh."""
        self._cache.mkdir(parents=True, exist_ok=True)
        path = self._cache / f"{file.sha256[:12] or 'unknown'}-{file.name}"
        if not path.exists():
            fetch(mirrored(file.url, self._mirror), path, self._progress(file.name))
        if file.sha256 and (digest := sha256(path)) != file.sha256:
            path.unlink()
            raise PackError(f"{file.name}: sha256 is {digest}, not {file.sha256}: not the published file")
        return path

    def clear(self) -> None:
        shutil.rmtree(self._cache, ignore_errors=True)


class Broken(Exception):
    """The connection ended early; what came is kept."""


def fetch(url: str, target: Path, progress: Progress) -> None:
    """Download to `target`. Bytes gather in a .part file beside it, which a later call continues."""
    part = target.with_name(target.name + ".part")
    for trial in range(_TRIES):
        try:
            _attempt(url, part, progress)
            part.replace(target)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise PackError(f"{url}: {error.code} {error.reason}") from error
            problem: Exception = error
        except (OSError, http.client.HTTPException, Broken) as error:
            problem = error
        if trial + 1 < _TRIES:
            time.sleep(PAUSE * 2**trial)
    raise PackError(f"{url}: {problem} (what came is kept in {part} and continued next time)") from problem


def mirrored(url: str, mirror: str) -> str:
    """The same path at another host: `mirror` takes the place of scheme and host."""
    return mirror.rstrip("/") + urllib.parse.urlsplit(url).path if mirror else url


def _attempt(url: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"face-server/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        reply = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        # Nothing lies beyond what is there: the file is complete, and its hash will say whether it is the right one.
        if error.code == 416 and have:
            return
        raise
    with reply:
        if have and reply.status != 206:
            have = 0  # the server starts from the beginning
        length = int(reply.headers.get("Content-Length") or 0)
        total = have + length if length else 0
        with part.open("ab" if have else "wb") as out:
            while chunk := reply.read1(_CHUNK):
                out.write(chunk)
                have += len(chunk)
                progress(have, total)
    if total and have < total:
        raise Broken(f"the connection ended after {have} of {total} bytes")
