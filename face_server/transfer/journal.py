"""What an import has done, line by line, so that the next run goes on where one was cut off.

It only saves time: a picture that is brought twice is the same face, and is not registered again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType

from face_server.transfer.plan import Item

_DIGEST = 16  # bytes


def digest(*parts: object) -> str:
    return hashlib.blake2b("\0".join(map(str, parts)).encode(errors="surrogateescape"), digest_size=_DIGEST).hexdigest()


class Journal:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a+b", buffering=0)
        self._stream.seek(0)
        data = self._stream.read()
        if data and not data.endswith(b"\n"):  # the line that was cut off counts for nothing
            self._stream.write(b"\n")
        lines = (line.split(" ", 1) for line in data.decode(errors="replace").splitlines())
        self._tokens = {line[0]: line[1] for line in lines if len(line) == 2}

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def token(self, item: Item) -> str | None:
        """The face that this became in an earlier run."""
        return self._tokens.get(_key(item)) if self._tokens else None

    def note(self, item: Item, token: str) -> None:
        self._stream.write(f"{_key(item)} {token}\n".encode())


def _key(item: Item) -> str:
    """A file that was changed is another one."""
    try:
        status = item.file.stat() if item.file else None
    except OSError:
        status = None
    stamp = (status.st_size, status.st_mtime_ns) if status else ()
    file = item.file.absolute() if item.file else ""
    return digest(item.group, item.user, file, item.token, item.info, *stamp)
