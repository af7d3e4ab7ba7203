"""A face cut out of its picture with a generous margin: enough to answer everything about it again."""

from __future__ import annotations

from collections.abc import Sequence

import cv2

from face_server.errors import BadPicture
from face_server.model import Box, Portrait
from face_server.vision.images import Pixels, decode

QUALITY = 95


def cut(picture: bytes, box: Box, margin: float, max_pixels: int) -> Portrait:
    """`margin` times the box around its centre. It ends where the picture does, so completeness stays what it is."""
    return cut_pixels(decode(picture, max_pixels).pixels, box, margin)


def cut_pixels(pixels: Pixels, box: Box, margin: float) -> Portrait:
    """The same, of a picture that is decoded in full."""
    height, width = pixels.shape[:2]
    half = max(box.width, box.height) * margin / 2
    x, y = box.left + box.width / 2, box.top + box.height / 2
    left, right = _inside(x - half, x + half, width)
    top, bottom = _inside(y - half, y + half, height)
    return Portrait(jpeg(pixels[top:bottom, left:right]), left, top)


def cut_all(picture: bytes, boxes: Sequence[Box], beyond: float, max_pixels: int) -> list[bytes]:
    """JPEGs of the boxes, each with `beyond` of its own side more to every side, where the picture goes so far."""
    pixels = decode(picture, max_pixels).pixels
    return [jpeg(_part(pixels, box, beyond)) for box in boxes]


def _part(pixels: Pixels, box: Box, beyond: float) -> Pixels:
    height, width = pixels.shape[:2]
    wide, high = box.width * beyond, box.height * beyond
    left, right = _inside(box.left - wide, box.left + box.width + wide, width)
    top, bottom = _inside(box.top - high, box.top + box.height + high, height)
    return pixels[top:bottom, left:right]


def _inside(low: float, high: float, size: int) -> tuple[int, int]:
    first = min(max(round(low), 0), size - 1)
    return first, max(min(round(high), size), first + 1)


def jpeg(pixels: Pixels) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise BadPicture("the face cannot be stored as a JPEG")
    return data.tobytes()
