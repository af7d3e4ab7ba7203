"""The words of the core, as immutable values. Pixels are in the coordinates of the upright picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, Flag, auto

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

DEFAULT_APP = "default"  # always there


class Want(Flag):
    """What a caller asks of an analysis. Nothing that is not asked for is computed."""

    NONE = 0
    EMBEDDING = auto()
    LANDMARKS = auto()
    POSE = auto()
    QUALITY = auto()  # blur, illumination, completeness, and occlusion where a model exists
    LIVENESS = auto()
    AGE = auto()
    GENDER = auto()
    EXPRESSION = auto()
    EMOTION = auto()
    GLASSES = auto()
    MASK = auto()
    EYES = auto()
    MOUTH = auto()
    FACE_SHAPE = auto()
    FACE_TYPE = auto()  # human or cartoon
    BEAUTY = auto()
    RACE = auto()
    PARSING = auto()
    CONTRAST = auto()  # one more part of the quality, which is asked for together with it


@dataclass(frozen=True, slots=True)
class Box:
    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees, as the viewer sees them: yaw < 0 looks left, pitch < 0 looks up, roll > 0 is tilted clockwise."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several classes with its probability."""

    type: str
    probability: float


@dataclass(frozen=True, slots=True)
class Occlusion:
    """Share of each part that is covered, 0..1. Left is the image's left."""

    left_eye: float
    right_eye: float
    nose: float
    mouth: float
    left_cheek: float
    right_cheek: float
    chin_contour: float


@dataclass(frozen=True, slots=True)
class Quality:
    blur: float  # 0 sharp .. 1 blurred
    illumination: float  # 0..255
    completeness: int  # 1: the whole face lies inside the picture
    occlusion: Occlusion | None = None  # None: the pack has no model for it
    contrast: float | None = None  # standard deviation of the face's brightness; None: not asked for

    @property
    def covered(self) -> float:
        """The largest share of any part."""
        parts = self.occlusion
        if parts is None:
            return 0.0
        sides = (parts.left_eye, parts.right_eye, parts.nose, parts.mouth, parts.left_cheek, parts.right_cheek)
        return max(*sides, parts.chin_contour)

    @property
    def overall(self) -> float:
        """0 useless .. 1 perfect: how sharp, how much of it is to be seen, and whether it is whole."""
        return (1 - self.blur) * (1 - self.covered) * self.completeness


@dataclass(frozen=True, slots=True)
class Eyes:
    """Probability of being open, 0..1. Left is the image's left."""

    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Attributes:
    """Every field is None when it was not asked for or the pack has no model for it."""

    age: float | None = None
    gender: Choice | None = None  # male, female
    expression: Choice | None = None  # none, smile, laugh
    emotion: Choice | None = None  # angry disgust fear happy sad surprise neutral
    glasses: Choice | None = None  # none, common, sun
    mask: float | None = None  # probability of a mask
    eyes: Eyes | None = None
    mouth_open: float | None = None
    face_shape: Choice | None = None  # square triangle oval heart round
    face_type: Choice | None = None  # human, cartoon
    beauty: float | None = None  # 0..100
    race: Choice | None = None  # only from packs that bring it


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Pixel coordinates, shape (k, 2). A layout the pack's model cannot give is None."""

    p4: FloatArray  # left eye centre, right eye centre, nose tip, mouth centre
    p68: FloatArray | None = None
    p72: FloatArray | None = None
    p106: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Parsing:
    """One class number per pixel of the whole picture, 0 = background."""

    classes: NDArray[np.uint8]  # (height, width)
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Portrait:
    """A face cut out of its picture."""

    jpeg: bytes
    left: int  # where its corner lies in the picture
    top: int


@dataclass(frozen=True, slots=True)
class Face:
    box: Box
    probability: float  # the detector's confidence
    points: FloatArray  # (5, 2): eye at image left, eye at image right, nose, mouth left, mouth right
    token: str  # 32 hex digits: same picture and same face, same token
    pose: Pose | None = None
    landmarks: Landmarks | None = None
    quality: Quality | None = None
    liveness: float | None = None  # calibrated, 0..1
    liveness_raw: float | None = None  # the model's own value, 0..1
    attributes: Attributes = field(default_factory=Attributes)
    embedding: FloatArray | None = None  # unit length
    parsing: Parsing | None = None
    portrait: Portrait | None = None


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one known face lies in its picture: enough to analyse it again without detecting."""

    box: Box
    points: FloatArray
    probability: float
    token: str


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with one picture."""

    want: Want
    max_faces: int = 1
    by_area: bool = True  # the largest first; False: the most certain first
    any_turn: bool = False  # also look for faces in the picture turned by 90, 180 and 270 degrees
    dewater: bool = False  # take the mesh of a watermarked ID photo away before the embedding
    spot: Spot | None = None  # analyse this face, do not detect
    portrait: float = 0.0  # cut so many times its box out with the first face, if that costs no second decoding


@dataclass(frozen=True, slots=True)
class Analysis:
    width: int
    height: int
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A picture without its watermark."""

    jpeg: bytes
    width: int
    height: int


class Level(Enum):
    NONE = "NONE"
    LOW = "LOW"
    NORMAL = "NORMAL"
    HIGH = "HIGH"


@dataclass(frozen=True, slots=True)
class Gates:
    quality: Level = Level.NONE
    liveness: Level = Level.NONE


# What stands for a face in a request.


@dataclass(frozen=True, slots=True)
class Picture:
    data: bytes


@dataclass(frozen=True, slots=True)
class Address:
    """A picture by its URL: fetched when its turn comes, so that cheaper errors come first."""

    url: str


@dataclass(frozen=True, slots=True)
class Token:
    value: str


@dataclass(frozen=True, slots=True)
class Feature:
    vector: FloatArray  # unit length, made by the installed embedder


Probe = Picture | Address | Token | Feature


@dataclass(frozen=True, slots=True)
class Match:
    group: str
    user: str
    info: str
    score: float  # 0..100
    face_id: int
    token: str
