"""What the places of the landmarks tell: where the head looks, how far eyes and mouth are open, the face's shape.

All of it is arithmetic on points, for packs without a model of their own. `points68` is (n, 68, 2) in the order of
300-W (see layouts), in upright pixels.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from face_server.vision.align import Floats, floats
from face_server.vision.mean_face import HEAD_68, HEAD_98

# How much each point says about the head rather than about the expression on it.
_STIFF: Floats = np.array([0.3] * 10 + [1.0] * 9 + [1.0, 0.3, 0.3, 1.0, 0.3, 0.3] * 2 + [0.2] * 20, np.float32)
_FIVE: Floats = np.stack([HEAD_98[19:25].mean(axis=0), HEAD_98[25:31].mean(axis=0), *HEAD_98[[13, 31, 37]]])


def pose_of_68(points68: Floats, layout: str) -> Floats:
    """(n, 3) yaw, pitch, roll in degrees: yaw < 0 looks to the image's left, pitch < 0 up, roll > 0 clockwise.

    `layout` is the one the model gave, before it was converted.
    """
    head = HEAD_68 if layout == "300w68" else HEAD_98
    return angles(_rotations(points68[:, 17:], head, _STIFF))


def pose_of_5(points5: Floats) -> Floats:
    """The same from the detector's five points: coarser, for packs without landmarks."""
    return angles(_rotations(points5, _FIVE, np.ones(5, np.float32)))


def _rotations(points: Floats, face: Floats, weights: Floats) -> Floats:
    """(n, 3, 3): the rotation and scale of the face that best explain the points, seen without perspective."""
    share = (weights / weights.sum())[:, None]
    face = face - (face * share).sum(axis=0)
    points = points - (points * share).sum(axis=1, keepdims=True)
    inverse = np.linalg.pinv(face * np.sqrt(share))
    shadow = (inverse @ (points * np.sqrt(share))).transpose(0, 2, 1)  # (n, 2, 3): two scaled rows of the rotation
    u, _, vt = np.linalg.svd(shadow, full_matrices=False)
    rows = u @ vt
    return np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)


def angles(rotations: Floats) -> Floats:
    """Rotation = roll x pitch x yaw, so that turning the picture changes the roll alone."""
    look = -rotations[:, :, 2]
    roll = np.arctan2(-rotations[:, 0, 1], rotations[:, 1, 1])
    x = np.cos(roll) * look[:, 0] + np.sin(roll) * look[:, 1]
    y = -np.sin(roll) * look[:, 0] + np.cos(roll) * look[:, 1]
    yaw = np.arctan2(x, np.hypot(y, look[:, 2]))
    pitch = np.arctan2(y, -look[:, 2])
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], axis=1)), np.float32)


def readings(points68: Floats, layout: str, wanted: Collection[str]) -> dict[str, Floats]:
    """Those of pose, eyes, mouth_open and face_shape that are wanted; expression needs the mouth."""
    made: dict[str, Floats] = {}
    if "pose" in wanted:
        made["pose"] = pose_of_68(points68, layout)
    if "eyes" in wanted:
        made["eyes"] = eyes_open(points68)
    if "mouth_open" in wanted or "expression" in wanted:
        made["mouth_open"] = mouth_open(points68)
    if "face_shape" in wanted:
        made["face_shape"] = face_shape(points68, layout)
    return made


def eyes_open(points68: Floats) -> Floats:
    """(n, 2) probability that the eye at the image's left and at its right is open, from height over width.

    Closed eyes measure up to .08, open ones from .15, laughing ones included, where the model follows the lids
    (wflw98 does, pfld68 draws closed eyes half open).
    """
    ratios = []
    for first in (36, 42):
        eye = points68[:, first : first + 6]
        height = (_distance(eye[:, 1], eye[:, 5]) + _distance(eye[:, 2], eye[:, 4])) / 2
        ratios.append(height / _distance(eye[:, 0], eye[:, 3]))
    return _sigmoid((floats(np.stack(ratios, axis=1)) - EYE_HALF) / EYE_SLOPE)


def mouth_open(points68: Floats) -> Floats:
    """(n,) probability that the lips are apart, from the gap between them over the mouth's width."""
    gaps = [_distance(points68[:, top], points68[:, low]) for top, low in ((61, 67), (62, 66), (63, 65))]
    ratio = np.mean(gaps, axis=0) / _distance(points68[:, 60], points68[:, 64])
    return _sigmoid(floats(ratio - MOUTH_HALF) / MOUTH_SLOPE)


def face_shape(points68: Floats, layout: str) -> Floats:
    """(n, 5) probability of square, triangle, oval, heart, round: how near the face is to the middle of each.

    Shapes are drawn in four proportions (see `shape_ratios`), counted in deviations from the mean of 3,000 frontal
    faces of FairFace: a square face has a wide jaw and chin, a triangle a jaw wider than its brows, a heart the
    reverse, an oval is long and a round face short.
    """
    mean, deviation = SHAPE_FACTS["300w68" if layout == "300w68" else "wflw98"]
    place = (shape_ratios(points68) - mean) / deviation
    distance = ((place[:, None] - SHAPES) ** 2).sum(axis=2)
    nearness = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / 2)
    return np.asarray(nearness / nearness.sum(axis=1, keepdims=True), np.float32)


def shape_ratios(points68: Floats) -> Floats:
    """(n, 4): height from the eyes to the chin, jaw, chin and brows, each as a share of the width at the cheekbones."""
    jaw = points68[:, :17]
    parts = [
        _distance(points68[:, 27], jaw[:, 8]),
        _distance(jaw[:, 4], jaw[:, 12]),
        _distance(jaw[:, 6], jaw[:, 10]),
        _distance(points68[:, 17], points68[:, 26]),
    ]
    return np.stack(parts, axis=1) / _distance(jaw[:, 1], jaw[:, 15])[:, None]


# Height over width at which eyes and lips count as half open, and how fast that changes.
EYE_HALF, EYE_SLOPE = 0.135, 0.02
MOUTH_HALF, MOUTH_SLOPE = 0.14, 0.03
# Mean and deviation of the proportions as each habit of drawing the jaw gives them (scripts/training/mean_head.py).
SHAPE_FACTS: dict[str, tuple[Floats, Floats]] = {
    "300w68": (floats([0.809, 0.822, 0.472, 0.810]), floats([0.057, 0.022, 0.022, 0.031])),
    "wflw98": (floats([0.746, 0.822, 0.478, 0.760]), floats([0.062, 0.023, 0.021, 0.032])),
}
SHAPES: Floats = np.array(
    [
        [-0.2, 1.2, 1.2, -0.3],  # square
        [0.0, 0.8, 0.4, -1.2],  # triangle
        [0.7, -0.2, -0.2, 0.0],  # oval
        [0.0, -1.0, -1.0, 1.0],  # heart
        [-1.0, 0.2, 0.0, 0.0],  # round
    ],
    np.float32,
)


def _distance(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.maximum(np.linalg.norm(a - b, axis=-1), 1e-3), np.float32)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))), np.float32)
