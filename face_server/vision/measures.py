"""What the pixels of a face tell without a network: is it sharp, is it lit, is it whole."""

from __future__ import annotations

import math

import cv2
import numpy as np

from face_server.vision.align import Floats, floats
from face_server.vision.images import Pixels
from face_server.vision.view import Crop, Crops

# Sharpness is measured on the face brought to one size, so it does not depend on how large the photo is.
SHARPNESS_CROP = Crop("aligned", 96)
# Sharpness at which a face counts as half blurred, and how fast the measure (of its logarithm) turns over. Set on
# real photos: faces in motion and under a Gaussian of 4 % of their width lie below .05, sharp portraits above .10.
HALF_BLURRED, TURNOVER = 0.06, 0.2
# How far over the border a face may reach, as a share of its box, and still count as whole. Detectors stop their boxes
# at the border of what they see; landmark models go on to where the rest of the face would be.
BOX_SPILL, POINT_SPILL = 0.03, 0.01

_ANGLES = np.arange(8) * np.pi / 8
# Second derivative along an angle = these weights times (xx, xy, yy).
_ALONG = np.stack([np.cos(_ANGLES) ** 2, 2 * np.cos(_ANGLES) * np.sin(_ANGLES), np.sin(_ANGLES) ** 2], axis=1)


def blur(crops: Crops) -> Floats:
    """(n,) 0 sharp .. 1 blurred, of crops made by SHARPNESS_CROP."""
    sharp = np.array([sharpness(crop) for crop in crops], np.float32)
    return np.asarray(1 / (1 + np.exp((np.log(sharp) - np.log(HALF_BLURRED)) / TURNOVER)), np.float32)


def sharpness(crop: Pixels) -> float:
    """How much the brightness curves, over how much it varies, in the direction where it curves least.

    Dividing by the variation takes the light out; the weakest direction also catches motion, which blurs only one.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.7)
    border = len(grey) // 8
    inner = grey[border:-border, border:-border]
    curves = np.stack(
        [
            cv2.Sobel(grey, cv2.CV_32F, dx, dy, ksize=3, scale=0.25)[border:-border, border:-border].ravel()
            for dx, dy in ((2, 0), (1, 1), (0, 2))
        ]
    )
    moments = curves @ curves.T / curves.shape[1]
    weakest = float(np.einsum("ai,ij,aj->a", _ALONG, moments, _ALONG).min())
    return float(np.sqrt(max(weakest, 1e-8)) / (inner.std() + 1))


def illumination(pixels: Pixels, boxes: Floats) -> Floats:
    """(n,) mean brightness of the face, 0..255."""
    values = []
    for box in boxes:
        red, green, blue, _ = cv2.mean(inside(pixels, _inner(box)))
        values.append(0.299 * red + 0.587 * green + 0.114 * blue)
    return np.array(values, np.float32)


def contrast(pixels: Pixels, boxes: Floats) -> Floats:
    """(n,) how much the brightness of the face varies, as a standard deviation; of the same part as its mean."""
    parts = (inside(pixels, _inner(box)) for box in boxes)
    return np.array([cv2.meanStdDev(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY))[1].item() for part in parts], np.float32)


def _inner(box: Floats) -> Floats:
    """Without the corners, where there is background."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 0.4
    return np.concatenate([middle - half, middle + half])


def complete(pixels: Pixels, box: Floats, points: Floats | None) -> int:
    """1: the whole face lies inside the picture. `points`: (k, 2) landmarks, where there are any."""
    size = floats(pixels.shape[1::-1])
    side = box[2:] - box[:2]
    spill = side * (BOX_SPILL if points is not None else 0.0)
    whole = bool((box[:2] >= -spill).all() and (box[2:] <= size + spill).all())
    if points is not None:
        slack = side * POINT_SPILL
        whole = whole and bool((points >= -slack).all() and (points <= size + slack).all())
    return int(whole)


def inside(pixels: Pixels, box: Floats) -> Pixels:
    """The part of the box that lies in the picture, at least one pixel."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = box.tolist()
    left, top = int(min(max(x1, 0), width - 1)), int(min(max(y1, 0), height - 1))
    right, bottom = math.ceil(min(max(x2, left + 1), width)), math.ceil(min(max(y2, top + 1), height))
    return pixels[top:bottom, left:right]
