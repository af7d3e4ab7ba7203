"""Crops of faces: the 2x3 matrices that lead from the picture into a crop, the crops, and the way back.

Everything works on all faces of a picture at once: `points` is (n, 5, 2), `boxes` is (n, 4) as x1, y1, x2, y2.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from face_server.vision.images import Pixels

Floats = NDArray[np.float32]


def floats(values: ArrayLike) -> Floats:
    return np.asarray(values, np.float32)


# Where ArcFace-style embedders expect the five points in a crop of 112 pixels:
# eye at image left, eye at image right, nose tip, mouth corner left, mouth corner right.
TEMPLATE_SIDE = 112
TEMPLATE: Floats = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)


@lru_cache(maxsize=32)
def template(size: int = TEMPLATE_SIDE, margin: float = 0.0) -> Floats:
    """The template in a crop of `size` pixels with `margin` (share of the face's side) added all around."""
    scale = size / (TEMPLATE_SIDE * (1 + 2 * margin))
    return np.asarray((TEMPLATE + TEMPLATE_SIDE * margin) * scale, np.float32)


def similarity(source: Floats, target: Floats) -> Floats:
    """(n, 2, 3): rotation, one scale and shift that take each of the (n, k, 2) sources closest to the (k, 2) target."""
    middle, goal = source.mean(axis=1), target.mean(axis=0)
    # As complex numbers a similarity is one factor, and the least-squares factor is a quotient of two sums.
    s = _complex(source - middle[:, None])
    t = _complex(target - goal)
    factor = (s.conj() @ t) / np.maximum((s * s.conj()).real.sum(axis=1), 1e-6)
    return _matrices(factor, middle, goal)


def aligned(points: Floats, size: int, margin: float = 0.0) -> Floats:
    """Matrices that bring the five points to the template."""
    return similarity(points, template(size, margin))


def squares(boxes: Floats, size: int, scale: float, roll: Floats | None = None) -> Floats:
    """Matrices of square crops around the boxes' centres, side `scale` times the longer side.

    `roll` (degrees clockwise) is turned away, so that the face stands upright.
    """
    middle = floats((boxes[:, :2] + boxes[:, 2:]) / 2)
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    factor = (size / np.maximum(longer * scale, 1e-3)).astype(np.complex64)
    if roll is not None:
        factor = factor * np.exp(-1j * np.radians(roll))
    return _matrices(factor, middle, floats([size / 2, size / 2]))


def warp(pixels: Pixels, matrices: Floats, size: int) -> NDArray[np.uint8]:
    """(n, size, size, 3): the picture seen through each matrix, black outside."""
    crops = np.empty((len(matrices), size, size, 3), np.uint8)
    for crop, matrix in zip(crops, matrices, strict=True):
        cv2.warpAffine(pixels, matrix, (size, size), dst=crop, flags=cv2.INTER_LINEAR)
    return crops


def back(points: Floats, matrices: Floats) -> Floats:
    """Points of the crops (n, k, 2) in the picture. The matrices are similarities: turned back means transposed."""
    turn, move = matrices[:, :, :2], matrices[:, None, :, 2]
    return np.asarray((points - move) @ (turn / (turn[:, :1] ** 2).sum(axis=2, keepdims=True)), np.float32)


def roll_of(points: Floats) -> Floats:
    """How far each face is tilted, degrees clockwise: the line from between the eyes to the mouth's centre.

    Unlike the line between the eyes it also holds for a profile.
    """
    down = points[:, 3:5].mean(axis=1) - points[:, :2].mean(axis=1)
    return np.asarray(-np.degrees(np.arctan2(down[:, 0], down[:, 1])), np.float32)


def _complex(points: Floats) -> NDArray[np.complex64]:
    return np.asarray(points[..., 0] + 1j * points[..., 1], np.complex64)


def _matrices(factor: NDArray[np.complex64], middle: Floats, goal: Floats) -> Floats:
    matrices = np.empty((len(factor), 2, 3), np.float32)
    matrices[:, 0, 0] = matrices[:, 1, 1] = factor.real
    matrices[:, 1, 0] = factor.imag
    matrices[:, 0, 1] = -factor.imag
    matrices[:, :, 2] = goal - (matrices[:, :, :2] @ middle[:, :, None])[:, :, 0]
    return matrices
