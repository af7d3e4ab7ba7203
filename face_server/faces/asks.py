"""What a dialect asks of the core, as immutable values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from face_server.faces.rules import PictureRules
from face_server.model import Analysis, Face, Gates, Match, Probe, Want
from face_server.store.rows import Mode

__all__ = ["Ask", "Comparison", "Found", "Mode", "Place", "Query", "VideoVerdict"]

OPEN = Gates()
ANY_PICTURE = PictureRules()
EVERY_FACE = 1000  # for max_faces: more than any picture shows


@dataclass(frozen=True, slots=True)
class Ask:
    """One probe of a request and what is asked of it."""

    probe: Probe
    want: Want = Want.NONE
    gates: Gates = OPEN
    max_faces: int = 1
    dewater: bool = False
    any_turn: bool = False
    rules: PictureRules = ANY_PICTURE
    judge: Callable[[Analysis], None] | None = None  # raises for a picture whose faces the vendor refuses
    then: Callable[[Analysis], None] | None = None  # may be called where the picture is analysed, see Vision.analyze
    portrait: float = 0.0  # so many times the box to be cut out with the first face
    remembered: bool = True  # the faces' tokens can be sent later; False where a vendor's clients never see them


@dataclass(frozen=True, slots=True)
class Query:
    """Whom to look for."""

    groups: Sequence[str]
    user: str | None = None
    threshold: float = 0.0  # users with a lower score are left out
    most: int = 1  # users


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face is to be registered."""

    group: str
    user: str
    info: str | None = None  # None leaves what is stored
    mode: Mode = Mode.APPEND  # what becomes of the faces the user has; whether user and group are made on the way
    describe: Callable[[Face], Mapping[str, Any]] | None = None  # what a dialect keeps with the face
    shared: bool = False  # another user of the group may have the same picture


@dataclass(frozen=True, slots=True)
class Found:
    """A face of the request and who it looks like, best first."""

    face: Face
    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    first: Face
    others: tuple[Face, ...]  # every face of the second probe that was asked for
    scores: tuple[float, ...]  # of the first against each of them

    @property
    def score(self) -> float:
        return self.scores[0]


@dataclass(frozen=True, slots=True)
class VideoVerdict:
    score: float  # on the scale of the liveness gates
    faces: tuple[tuple[Face, bytes], ...]  # the best ones, each with a JPEG of it
