"""What goes into the store and comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Mode(Enum):
    """What enrolling does with the faces the user already has."""

    APPEND = "append"  # keep them; create group and user on the way
    REPLACE = "replace"  # swap them for the new one; create group and user on the way
    UPDATE = "update"  # swap them; group and user must be there
    UPDATE_OR_CREATE = "update_or_create"  # swap them; the group must be there


@dataclass(frozen=True, slots=True)
class Quota:
    """What the operator allows; 0 is no limit."""

    groups: int = 0  # of an app
    faces: int = 0  # of an app
    group_faces: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the feed that indexes follow."""

    seq: int
    kind: str  # add, remove, drop (a whole group)
    group_id: int
    face_id: int = 0
    user_id: int = 0
    template: bytes | None = None  # of an added face that is still there and is searched


@dataclass(frozen=True, slots=True)
class Feed:
    """Changes of an app, oldest first, up to its last write."""

    seq: int
    changes: tuple[Change, ...]
    faces: int | None = None  # in the group that was asked for, at this moment


@dataclass(frozen=True, slots=True)
class Write:
    """A committed write: the index of this app must have come this far before the answer leaves."""

    app_id: int
    seq: int
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupRef:
    id: int
    app_id: int
    name: str
    seq: int = 0  # the app's last write when this was read: a search must see at least that one
    embedding_id: str = ""  # the model of the app's templates
    meta: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0
    updated: float = 0.0


@dataclass(frozen=True, slots=True)
class GroupCount:
    users: int
    faces: int
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class UserRow:
    id: int
    group: str
    name: str
    info: str
    meta: dict[str, Any]
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class NewFace:
    token: str
    template: bytes  # fp16
    spot: bytes
    picture: str = ""  # key of a picture that is already durable
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FaceRow:
    id: int
    token: str
    group: str
    user: str
    template: bytes
    spot: bytes
    picture: str
    meta: dict[str, Any]
    created: float
    embedding_id: str = ""  # the model of the template


@dataclass(frozen=True, slots=True)
class Enrolled:
    write: Write
    group_id: int
    face_id: int
    dropped_pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    write: Write
    pictures: Sequence[str] = ()  # keys that no row points to any more
