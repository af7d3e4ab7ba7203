"""A pack's models run in the caller's thread: for commands and tests, where no requests compete."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from face_server.engine.session import SessionModel, open_session
from face_server.vision.adapters import Net
from face_server.vision.analyzer import Analyzer
from face_server.vision.packs import ROLES, Pack, PackError


def analyzer(pack: Pack, only: Collection[str] = ROLES) -> Analyzer:
    """With these roles of the pack, or with all it has."""
    roles = {name: role for name, role in pack.roles.items() if name in only}
    nets = {file: net(file) for role in roles.values() for file in role.files}
    try:
        return Analyzer(roles, {name: [nets[file] for file in role.files] for name, role in roles.items()})
    except (KeyError, ValueError) as error:
        raise PackError(f"{pack.folder}: {error}") from error


def net(file: Path) -> Net:
    try:
        return SessionModel(open_session(file.read_bytes()))
    except Exception as error:  # onnxruntime's errors have no common class
        raise PackError(f"{file} cannot be opened: {error}") from error
