"""A picture with what was found in it: a box, the points and a number for every face."""

from __future__ import annotations

import cv2
import numpy as np

from face_server.model import Face, FloatArray
from face_server.vision.images import Pixels, decode

BOX, POINT, MARK = (40, 200, 80), (255, 190, 40), (90, 170, 255)  # RGB


def drawn(data: bytes, faces: tuple[Face, ...], most_pixels: int) -> Pixels:
    """The upright picture in its own size."""
    pixels = decode(data, most_pixels).pixels.copy()
    size = max(1, round(max(pixels.shape[:2]) / 500))
    for number, face in enumerate(faces, 1):
        marks = face.landmarks
        if marks is not None:
            known = (layout for layout in (marks.p106, marks.p72, marks.p68) if layout is not None)
            _dots(pixels, next(known, marks.p4), size, MARK)
        _dots(pixels, face.points, 2 * size, POINT)
        left, top = round(face.box.left), round(face.box.top)
        right, bottom = round(face.box.left + face.box.width), round(face.box.top + face.box.height)
        cv2.rectangle(pixels, (left, top), (right, bottom), BOX, size)
        place = (left, max(top - 4 * size, 12 * size))
        cv2.putText(pixels, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.6 * size, BOX, size, cv2.LINE_AA)
    return pixels


def written(pixels: Pixels, suffix: str) -> bytes:
    """Raises ValueError for a kind of file that nobody here can write."""
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    except cv2.error:
        done = False
    if not done:
        raise ValueError(f"no kind of picture is called {suffix!r}: .png and .jpg are")
    return data.tobytes()


def _dots(pixels: Pixels, points: FloatArray, size: int, colour: tuple[int, int, int]) -> None:
    for x, y in np.rint(points).astype(int).tolist():
        cv2.circle(pixels, (x, y), size, colour, cv2.FILLED, cv2.LINE_AA)
