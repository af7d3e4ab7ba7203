"""models/builtin/pack.toml, one role at a time: several trainings may write it side by side."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from face_server.vision import manifest

PACK = Path(__file__).resolve().parents[2] / "models" / "builtin"
HEAD = {"name": "builtin", "version": "1", "licence": "Apache-2.0", "source": "made by scripts/training"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(pack: Path = PACK) -> dict[str, Any]:
    """The manifest as it is now; only the head when there is none yet."""
    path = pack / manifest.NAME
    return manifest.read(path) if path.exists() else {**HEAD, "roles": {}}


def set_role(role: str, file: str, adapter: str, pack: Path = PACK, **parameters: Any) -> None:
    """Replace one role's table. `file` lies in the pack; a dict parameter becomes a sub-table."""
    table = {"file": file, "sha256": sha256(pack / file), "adapter": adapter, "licence": "Apache-2.0", **parameters}
    _change(role, table, pack)


def drop_role(role: str, pack: Path = PACK) -> None:
    """Leave a role out of the pack."""
    _change(role, None, pack)


def _change(role: str, table: dict[str, Any] | None, pack: Path) -> None:
    pack.mkdir(parents=True, exist_ok=True)
    # The folder itself is the lock: the file is replaced as a whole, so a lock on it would be lost.
    with locked(pack):
        content = read(pack)
        roles = {**content["roles"], role: table}
        content["roles"] = {name: roles[name] for name in sorted(roles) if roles[name] is not None}
        manifest.write(pack / manifest.NAME, content)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time in this folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
