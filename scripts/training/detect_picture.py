"""A training picture of the detector under construction: pixels, faces, and what is neither face nor background."""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training.corpus import Image
from scripts.training.landmarks_teachers import apply
from scripts.training.teachers import Floats

SMALLEST = 9.0  # pixels: smaller faces are neither face nor background
MIRROR = [1, 0, 2, 4, 3]
Matrix = NDArray[np.float64]


@dataclass
class Picture:
    """A picture under construction: faces as x1 y1 x2 y2 and five points, plus boxes to ignore."""

    pixels: Image
    boxes: list[Floats] = field(default_factory=list)
    points: list[Floats] = field(default_factory=list)
    ignored: list[Floats] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.pixels.shape[0]

    def add(self, box: Floats, points: Floats, window: tuple[float, float, float, float] | None = None) -> None:
        """A face: kept when most of it lies inside and it is not too small."""
        left, top, right, bottom = window or (0, 0, self.size, self.size)
        inside = np.clip(box, (left, top, left, top), (right, bottom, right, bottom))
        area, seen = (float(np.prod(np.clip(b[2:] - b[:2], 0, None))) for b in (box, inside))
        if seen <= 0.02 * area:
            return
        if seen < 0.45 * area or (box[2:] - box[:2]).max() < SMALLEST:
            self.ignored.append(box)
        else:
            self.boxes.append(box)
            self.points.append(points)

    def mirrored(self) -> "Picture":
        def flip(box: Floats) -> Floats:
            return np.asarray([self.size - box[2], box[1], self.size - box[0], box[3]], np.float32)

        points = [np.stack([self.size - p[MIRROR, 0], p[MIRROR, 1]], 1).astype(np.float32) for p in self.points]
        pixels = np.ascontiguousarray(self.pixels[:, ::-1])
        return Picture(pixels, [flip(b) for b in self.boxes], points, [flip(b) for b in self.ignored])

    def shrunk(self, size: int) -> "Picture":
        """As the server shrinks a large photo: without averaging."""
        factor = np.float32(size / self.size)
        small = Picture(np.asarray(cv2.resize(self.pixels, (size, size)), np.uint8))
        small.ignored = [box * factor for box in self.ignored]
        for box, points in zip(self.boxes, self.points, strict=True):
            small.add(box * factor, points * factor)
        return small

    def cut(self, window: tuple[float, float, float, float], shade: tuple[int, int, int]) -> "Picture":
        """Nothing but one shade outside the window: faces at its border are cut off."""
        pixels = np.empty_like(self.pixels)
        pixels[:] = shade
        left, top, right, bottom = (int(v) for v in window)
        pixels[top:bottom, left:right] = self.pixels[top:bottom, left:right]
        less = Picture(pixels, ignored=list(self.ignored))
        for box, points in zip(self.boxes, self.points, strict=True):
            less.add(box, points, window)
        return less


def turned_box(matrix: Matrix, box: Floats) -> Floats:
    """The upright box of a face after a similarity: the middle moves, the shape follows the head's turn."""
    middle = apply(matrix, ((box[:2] + box[2:]) / 2)[None])[0]
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    width, height = (box[2:] - box[:2]) * zoom
    c, s = abs(matrix[0, 0]) / zoom, abs(matrix[1, 0]) / zoom
    # An ellipse, not a rectangle: a head turned by 45 degrees does not become wider than it is high.
    half = np.array([np.hypot(width * c, height * s), np.hypot(width * s, height * c)]) / 2
    return np.asarray([*(middle - half), *(middle + half)], np.float32)
