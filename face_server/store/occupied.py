"""Who works in a data folder: many servers and commands together, or one command alone."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from face_server.errors import StoreFailed

NAME = "in-use.lock"


@contextmanager
def occupied(folder: Path, alone: bool = False) -> Iterator[None]:
    """The system lets go of it when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("ab") as stream:
        try:
            fcntl.flock(stream, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            who = "a server or an import" if alone else "a command that has to be alone"
            raise StoreFailed(f"{who} is at work in {folder}: stop it, or wait for its end") from None
        yield
