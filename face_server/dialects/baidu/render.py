"""Faces as this vendor prints them. A field that the installed pack cannot give is left out, never invented."""

from __future__ import annotations

import asyncio
import base64
import gzip
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from face_server.dialects.wire import double
from face_server.model import Choice, Eyes, Face, FloatArray, Match, Parsing, Pose, Quality

Rendered = dict[str, Any]


def choice(found: Choice) -> Rendered:
    return {"type": found.type, "probability": double(found.probability)}


def eyes(found: Eyes) -> Rendered:
    return {"left_eye": double(found.left), "right_eye": double(found.right)}


_ATTRIBUTES: dict[str, tuple[str, Callable[[Any], object]]] = {
    "age": ("age", double),
    "beauty": ("beauty", lambda value: min(100, max(0, round(value)))),
    "expression": ("expression", choice),
    "emotion": ("emotion", choice),
    "face_shape": ("face_shape", choice),
    "gender": ("gender", choice),
    "glasses": ("glasses", choice),
    "race": ("race", choice),
    "face_type": ("face_type", choice),
    "eye_status": ("eyes", eyes),
}


def location(face: Face) -> Rendered:
    box = face.box
    return {
        "left": double(box.left),
        "top": double(box.top),
        "width": double(box.width),
        "height": double(box.height),
        "rotation": rotation(face.points),
    }


def rotation(points: FloatArray) -> int:
    """How far the face is turned clockwise in the picture: the direction from the one eye to the other."""
    across, down = (float(value) for value in points[1] - points[0])
    return round(math.degrees(math.atan2(down, across)))


def angle(pose: Pose) -> Rendered:
    return {"yaw": double(pose.yaw), "pitch": double(pose.pitch), "roll": double(pose.roll)}


def quality(found: Quality) -> Rendered:
    rendered: Rendered = {
        "blur": double(found.blur),
        "illumination": double(found.illumination),
        "completeness": int(found.completeness),
    }
    if found.occlusion is not None:
        parts = ("left_eye", "right_eye", "nose", "mouth", "left_cheek", "right_cheek", "chin_contour")
        rendered["occlusion"] = {part: double(getattr(found.occlusion, part)) for part in parts}
    return rendered


def points(found: FloatArray) -> list[Rendered]:
    return [{"x": double(x), "y": double(y)} for x, y in found.tolist()]


def liveness(face: Face) -> Rendered:
    score = face.liveness or 0.0
    return {
        "livemapscore": double(score),
        "faceliveness": double(score if face.liveness_raw is None else face.liveness_raw),
    }


async def face(found: Face, fields: frozenset[str]) -> Rendered:
    rendered: Rendered = {
        "face_token": found.token,
        "location": location(found),
        "face_probability": double(min(1.0, found.probability)),
    }
    if found.pose is not None:
        # The document prints both spellings, so clients were written for both.
        rendered["angle"] = rendered["angel"] = angle(found.pose)
    for field, (name, show) in _ATTRIBUTES.items():
        value = getattr(found.attributes, name) if field in fields else None
        if value is not None:
            rendered[field] = show(value)
    if found.landmarks is not None and "landmark" in fields:
        rendered["landmark"] = points(found.landmarks.p4)
    if found.landmarks is not None and found.landmarks.p72 is not None and fields & {"landmark", "landmark72"}:
        rendered["landmark72"] = points(found.landmarks.p72)
    if found.quality is not None and "quality" in fields:
        rendered["quality"] = quality(found.quality)
    if found.parsing is not None and "parsing" in fields:
        # A full picture is megabytes of text: not the event loop's work.
        rendered["parsing_info"] = await asyncio.to_thread(parsing_info, found.parsing)
    return rendered


def parsing_info(parsing: Parsing) -> str:
    """Base64 of gzip of `0,0,1,...`: one class number per pixel, row by row."""
    tens, ones = np.divmod(parsing.classes.reshape(-1), 10)
    text = np.stack((tens + ord("0"), ones + ord("0"), np.full_like(ones, ord(","))), axis=1).astype(np.uint8)
    printed = np.stack((tens > 0, np.ones_like(tens, bool), np.ones_like(tens, bool)), axis=1)
    numbers = text[printed].tobytes()[:-1]
    return base64.b64encode(gzip.compress(numbers, compresslevel=1, mtime=0)).decode()


def user(match: Match) -> Rendered:
    return {
        "group_id": match.group,
        "user_id": match.user,
        "user_info": match.info,
        "score": double(match.score),
    }
