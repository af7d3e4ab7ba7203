"""Five points -> the ArcFace 112x112 template, by the least-squares similarity transform."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.training.corpus import Image

SIZE = 112
# Eye at image left, eye at image right, nose tip, mouth corner left, mouth corner right.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
Matrix = NDArray[np.float64]


def similarity(source: ArrayLike, target: ArrayLike) -> Matrix:
    """The 2x3 matrix of rotation, uniform scale and shift that takes `source` closest to `target`."""
    src, dst = np.asarray(source, np.float64), np.asarray(target, np.float64)
    centre_s, centre_t = src.mean(0), dst.mean(0)
    # As complex numbers a similarity is one factor, and the least-squares factor is a quotient of two sums.
    s = (src - centre_s) @ np.array([1, 1j])
    t = (dst - centre_t) @ np.array([1, 1j])
    factor = np.vdot(s, t) / np.vdot(s, s).real
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.hstack([turn, (centre_t - turn @ centre_s)[:, None]])


def template(size: int = SIZE, margin: float = 0.0) -> NDArray[np.float32]:
    """The template in a picture of `size` pixels with `margin` (share of the face side) added all around."""
    return np.asarray((TEMPLATE + SIZE * margin) * (size / (SIZE * (1 + 2 * margin))), np.float32)


def warp(pixels: Image, matrix: Matrix, size: int = SIZE) -> Image:
    """The picture seen through `matrix`, black outside."""
    return np.asarray(cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def align(pixels: Image, points: ArrayLike, size: int = SIZE, margin: float = 0.0) -> Image:
    """The face brought to the template."""
    return warp(pixels, similarity(points, template(size, margin)), size)
