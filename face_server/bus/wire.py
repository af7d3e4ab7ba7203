"""What travels over the bus, as compact bytes. Pictures go beside it as they are.

Whoever changes these shapes or the values in them raises VERSION: it is a part of every key, so that a server and a
worker of different versions never meet.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeVar

import msgspec
import numpy as np

from face_server import errors
from face_server.errors import Busy, Cancelled, FaceError, ModelMissing, Stage
from face_server.model import Analysis, Cleaned, Task
from face_server.vision.packs import Pack
from face_server.vision.protocol import VisionInfo

VERSION = 1

T = TypeVar("T")
_PLAIN = {
    kind.__name__: kind
    for kind in (errors.BadPicture, errors.PictureTooLarge, errors.PictureTooSmall, errors.NoFace, errors.PictureGone)
}


class WorkerFailed(RuntimeError):
    """A worker met something that nobody expected; its log has the stack."""


class Header(msgspec.Struct, array_like=True, frozen=True):
    """Of a job."""

    id: bytes
    answers: str  # the key under which its server waits
    seconds: float  # left when it was put; the id of the stream's entry tells when that was
    log_id: int
    task: Task | None  # None: clean the picture


class Reply(msgspec.Struct, array_like=True, frozen=True):
    id: bytes
    stages: dict[str, float]  # milliseconds
    failure: tuple[str, str] | None  # class and what it says
    analysis: Analysis | None = None
    cleaned: Cleaned | None = None


class Beat(msgspec.Struct, array_like=True, frozen=True):
    """What a living worker says of itself."""

    lanes: int
    ready: bool
    device: str


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    raise NotImplementedError(f"{type(value).__name__} does not travel")


def _array(kind: type, value: Any) -> Any:
    dtype, shape, data = value
    return np.frombuffer(data, dtype).reshape(shape).copy()  # writable, as one from this process is


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind, dec_hook=_array)
    for kind in (Header, Reply, Beat, Task, Analysis, Cleaned, VisionInfo)
}


def encode(value: object) -> bytes:
    return _encoder.encode(value)


def decode(kind: type[T], data: bytes) -> T:
    value: T = _decoders[kind].decode(data)
    return value


def failure(error: BaseException) -> tuple[str, str]:
    match error:
        case Busy():
            return "Busy", error.stage.value
        case ModelMissing():
            return "ModelMissing", error.role
        case Cancelled():
            return "Cancelled", ""
        case FaceError() if type(error).__name__ in _PLAIN:
            return type(error).__name__, str(error)
    return "WorkerFailed", f"{type(error).__name__}: {error}"


def raised(name: str, text: str) -> Exception:
    """The opposite of `failure`."""
    match name:
        case "Busy":
            return Busy(Stage(text))
        case "ModelMissing":
            return ModelMissing(text)
        case "Cancelled":
            return Cancelled()
    return _PLAIN.get(name, WorkerFailed)(text)


def digest(pack: Pack) -> str:
    """Names a pack by what it answers: servers and workers of different packs have nothing to say to each other."""
    facts = [[name, role.identity, role.parameters.get("calibration")] for name, role in sorted(pack.roles.items())]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
