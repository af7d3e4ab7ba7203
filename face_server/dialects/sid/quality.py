"""qualityScores: the values of one photo in a fixed order. What no installed model can tell is 0.0000."""

from __future__ import annotations

import hashlib

from face_server.model import Attributes, Face, Quality, Want

WANTS = (
    Want.QUALITY
    | Want.POSE
    | Want.LIVENESS
    | Want.AGE
    | Want.GENDER
    | Want.GLASSES
    | Want.MASK
    | Want.EYES
    | Want.MOUTH
)
SLOTS = 30  # before the digest of the picture
FRONTAL = 15.0  # degrees
ADULT, OLD = 18, 60  # years


def quality_scores(face: Face, picture: bytes | None) -> str:
    """`picture`: the bytes as they were sent; None when they are not known any more."""
    values = {**_quality(face.quality), **_attributes(face.attributes), **_place(face)}
    values[23] = face.liveness or 0.0
    digest = "0.0000" if picture is None else hashlib.md5(picture, usedforsecurity=False).hexdigest()
    return ",".join([*(f"{values.get(slot, 0.0):.4f}" for slot in range(SLOTS)), digest])


def unknown_scores() -> str:
    return ",".join(["0.0000"] * (SLOTS + 1))


def _quality(quality: Quality | None) -> dict[int, float]:
    if quality is None:
        return {}
    return {0: quality.overall, 1: quality.illumination / 255, 3: quality.covered, 4: 1 - quality.blur}


def _attributes(seen: Attributes) -> dict[int, float]:
    values: dict[int, float] = {}
    if seen.mask is not None:
        values[2] = 1 - seen.mask
    if seen.glasses is not None:
        sure = seen.glasses.probability
        values[5] = 1 - sure if seen.glasses.type == "none" else sure
        values[9] = sure if seen.glasses.type == "sun" else 0.0
    if seen.mouth_open is not None:
        values[6] = 1 - seen.mouth_open
    if seen.age is not None:
        age = max(0, round(seen.age))
        values |= {10: age, 13: 1 if age < ADULT else 2 if age < OLD else 4}
    if seen.gender is not None:
        values[11] = 1 if seen.gender.type == "male" else 2
    if seen.eyes is not None:
        values |= {24: seen.eyes.left, 25: seen.eyes.right}
    return values


def _place(face: Face) -> dict[int, float]:
    box, pose = face.box, face.pose
    values = {19: round(box.left), 20: round(box.top), 21: round(box.width), 22: round(box.height)}
    if pose is None:
        return {**values}
    frontal = abs(pose.yaw) <= FRONTAL and abs(pose.pitch) <= FRONTAL
    return {**values, 14: float(frontal), 16: pose.pitch, 17: pose.yaw, 18: pose.roll}
