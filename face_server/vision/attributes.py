"""From what networks read off the faces of a picture to the words of the core, one face at a time."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from face_server.model import Attributes, Choice, Eyes, Occlusion, Want
from face_server.vision.adapters.base import Readings
from face_server.vision.align import Floats
from face_server.vision.heads import heads_of

GENDERS = ("female", "male")
EXPRESSIONS = ("none", "smile", "laugh")
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
GLASSES = ("none", "common", "sun")
FACE_TYPES = ("human", "cartoon")
FACE_SHAPES = ("square", "triangle", "oval", "heart", "round")
RACES = ("yellow", "white", "black", "arabs")


def expression(emotion: Floats, mouth_open: Floats) -> Floats:
    """(n, 3) none, smile, laugh: a happy face laughs as far as its mouth is open."""
    happy = emotion[:, EMOTIONS.index("happy")]
    return np.stack([1 - happy, happy * (1 - mouth_open), happy * mouth_open], axis=1)


def attributes(readings: Readings, face: int, want: Want) -> Attributes:
    def number(head: str) -> float | None:
        return float(readings[head][face]) if head in wanted and head in readings else None

    def choice(head: str, names: Iterable[str]) -> Choice | None:
        if head not in wanted or head not in readings:
            return None
        row = readings[head][face]
        best = int(np.argmax(row))
        return Choice(tuple(names)[best], min(1.0, float(row[best])))

    wanted = heads_of(want)
    if not wanted:
        return Attributes()
    eyes = readings["eyes"][face] if "eyes" in wanted and "eyes" in readings else None
    age, beauty = number("age"), number("beauty")
    return Attributes(
        age=None if age is None else min(max(age, 0.0), 120.0),
        gender=choice("gender", GENDERS),
        expression=choice("expression", EXPRESSIONS),
        emotion=choice("emotion", EMOTIONS),
        glasses=choice("glasses", GLASSES),
        mask=number("mask"),
        eyes=None if eyes is None else Eyes(float(eyes[0]), float(eyes[1])),
        mouth_open=number("mouth_open"),
        face_shape=choice("face_shape", FACE_SHAPES),
        face_type=choice("face_type", FACE_TYPES),
        beauty=None if beauty is None else min(max(beauty, 0.0), 100.0),
        race=choice("race", RACES),
    )


def occlusion(readings: Readings, face: int) -> Occlusion | None:
    if "occlusion" not in readings:
        return None
    return Occlusion(*(min(max(float(value), 0.0), 1.0) for value in readings["occlusion"][face]))
