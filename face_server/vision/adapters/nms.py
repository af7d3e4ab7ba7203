"""Non-maximum suppression: of boxes that overlap much, the most certain stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from face_server.vision.align import Floats
from face_server.vision.view import Faces

MOST = 2000  # candidates looked at; a picture of 200 faces gives about 1500
INSIDE, PART = 0.9, 1 / 9  # of the inner box, of the outer one: a smaller face may be somebody far behind, by the cheek
FEW = 256  # up to so many all pairs are compared at once: one pass of NumPy instead of one for every face that stays


def overlaps(a: Floats, b: Floats) -> Floats:
    """(n, m): intersection over union of every pair of boxes."""
    shared = _shared(a, b)
    union = _area(a)[:, None] + _area(b)[None] - shared
    return np.asarray(shared / np.maximum(union, 1e-6), np.float32)


def within(faces: Floats, others: Floats) -> NDArray[np.bool_]:
    """(n, m): whether a box of `others` lies inside one of `faces` and is large enough to be a part of it."""
    other = _area(others)[None]
    inside = _shared(faces, others) > INSIDE * other
    return np.asarray(inside & (other > PART * _area(faces)[:, None]), bool)


def suppress(faces: Faces, limit: float) -> Faces:
    """The faces that stay, most certain first."""
    if len(faces) < 2:
        return faces
    order = np.argsort(-faces.scores, kind="stable")[:MOST]
    faces = faces[order]
    return faces[_kept_of_few(faces, limit) if len(faces) <= FEW else _kept_of_many(faces, limit)]


def _kept_of_few(faces: Faces, limit: float) -> NDArray[np.intp]:
    clash = overlaps(faces.boxes, faces.boxes) > limit
    stays = np.ones(len(faces), bool)
    for i in range(len(faces)):
        if stays[i]:
            stays[i + 1 :] &= ~clash[i, i + 1 :]
    return np.flatnonzero(stays)


def _kept_of_many(faces: Faces, limit: float) -> NDArray[np.intp]:
    kept: list[int] = []
    left: NDArray[np.intp] = np.arange(len(faces))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        left = left[overlaps(faces.boxes[best : best + 1], faces.boxes[left])[0] <= limit]
    return np.array(kept, np.intp)


def _shared(a: Floats, b: Floats) -> Floats:
    """(n, m): the area that two boxes share."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2), np.float32)


def _area(boxes: Floats) -> Floats:
    return np.asarray(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1), np.float32)
