"""A face as the console sees it, with everything that is known of it."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable

import cv2
from pydantic import BaseModel, ConfigDict

from face_server import model
from face_server.errors import BadPicture, ModelMissing, NotLive, QualityRefused
from face_server.faces import gates
from face_server.model import FloatArray, Gates, Level

LEVELS = (Level.LOW, Level.NORMAL, Level.HIGH)


class Shape(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Box(Shape):
    left: float
    top: float
    width: float
    height: float


class Point(Shape):
    x: float
    y: float


class Landmarks(Shape):
    p4: list[Point]
    p68: list[Point] | None
    p72: list[Point] | None
    p106: list[Point] | None


class Pose(Shape):
    yaw: float
    pitch: float
    roll: float


class Occlusion(Shape):
    left_eye: float
    right_eye: float
    nose: float
    mouth: float
    left_cheek: float
    right_cheek: float
    chin_contour: float


class Quality(Shape):
    blur: float
    illumination: float
    completeness: int
    occlusion: Occlusion | None


class Choice(Shape):
    type: str
    probability: float


class Eyes(Shape):
    left: float
    right: float


class Attributes(Shape):
    age: float | None
    gender: Choice | None
    expression: Choice | None
    emotion: Choice | None
    glasses: Choice | None
    mask: float | None
    eyes: Eyes | None
    mouth_open: float | None
    face_shape: Choice | None
    face_type: Choice | None
    beauty: float | None
    race: Choice | None


class Refused(Shape):
    defect: str
    value: float
    limit: float
    text: str


class GateResults(Shape):
    """By level; null passes. A gate whose model is missing is left out."""

    quality: dict[str, Refused | None]
    liveness: dict[str, Refused | None]


class Parsing(Shape):
    png: str  # base64, one grey value per class
    labels: list[str]


class Face(Shape):
    token: str
    box: Box
    probability: float
    rotation: float
    points: list[Point]
    landmarks: Landmarks | None
    pose: Pose | None
    quality: Quality | None
    liveness: float | None
    liveness_raw: float | None
    attributes: Attributes
    gates: GateResults
    parsing: Parsing | None


def face(seen: model.Face, limits: gates.Limits = gates.CONTRACT) -> Face:
    """Painting a parsing takes milliseconds: not the event loop's work."""
    across, down = (float(value) for value in seen.points[1] - seen.points[0])
    return Face(
        token=seen.token,
        box=Box.model_validate(seen.box),
        probability=float(seen.probability),
        rotation=round(math.degrees(math.atan2(down, across)), 1),
        points=_points(seen.points),
        landmarks=_landmarks(seen.landmarks) if seen.landmarks else None,
        pose=Pose.model_validate(seen.pose) if seen.pose else None,
        quality=Quality.model_validate(seen.quality) if seen.quality else None,
        liveness=_number(seen.liveness),
        liveness_raw=_number(seen.liveness_raw),
        attributes=Attributes.model_validate(seen.attributes),
        gates=_gates(seen, limits),
        parsing=_parsing(seen.parsing) if seen.parsing else None,
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _points(points: FloatArray) -> list[Point]:
    return [Point(x=round(x, 2), y=round(y, 2)) for x, y in points.tolist()]


def _landmarks(marks: model.Landmarks) -> Landmarks:
    more = {name: getattr(marks, name) for name in ("p68", "p72", "p106")}
    given = {name: None if points is None else _points(points) for name, points in more.items()}
    return Landmarks(p4=_points(marks.p4), **given)


def _gates(seen: model.Face, limits: gates.Limits) -> GateResults:
    def refused(asked: Callable[[Level], Gates]) -> dict[str, Refused | None]:
        return {level.value: _refused(seen, asked(level), limits) for level in LEVELS}

    return GateResults(
        quality=refused(lambda level: Gates(quality=level)) if seen.quality else {},
        liveness={} if seen.liveness is None else refused(lambda level: Gates(liveness=level)),
    )


def _refused(seen: model.Face, asked: Gates, limits: gates.Limits) -> Refused | None:
    try:
        gates.check(seen, asked, limits)
    except QualityRefused as error:
        return Refused(defect=error.defect.value, value=error.value, limit=error.limit, text=str(error))
    except NotLive as error:
        return Refused(defect="liveness", value=error.score, limit=error.limit, text=str(error))
    except ModelMissing:
        return None
    return None


def _parsing(parsing: model.Parsing) -> Parsing:
    done, data = cv2.imencode(".png", parsing.classes)
    if not done:
        raise BadPicture("the parsing cannot be painted")
    return Parsing(png=base64.b64encode(data.tobytes()).decode(), labels=list(parsing.labels))
