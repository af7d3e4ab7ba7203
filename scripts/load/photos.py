"""Photos of the sizes that cameras send, made of real faces: test material where it is there, else a picture that
comes with a package."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIZES = {"640x480": (640, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
QUALITY = 90
_PEOPLE = "id_*_1.jpg"


def originals() -> list[bytes]:
    shared = Path(os.environ.get("FACE_SHARED", Path(__file__).parents[3] / "shared"))
    found = sorted((shared / "photos").glob("id_nasa_*.jpg")) + [
        path for path in sorted((shared / "photos").glob(_PEOPLE)) if "partial" not in path.name
    ]
    if found:
        return [path.read_bytes() for path in found]
    from skimage import data

    return [Path(data.__file__).with_name("astronaut.png").read_bytes()]


def decoded(picture: bytes, flags: int = cv2.IMREAD_COLOR) -> NDArray[np.uint8]:
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), flags)
    if pixels is None:
        raise ValueError("not a picture that OpenCV can decode")
    return np.asarray(pixels, np.uint8)


def framed(picture: bytes, width: int, height: int) -> bytes:
    """The photo in full height before its own blurred enlargement, as JPEG of exactly that size."""
    pixels = decoded(picture)
    back = cv2.GaussianBlur(cv2.resize(pixels, (width, height)), (0, 0), 12)
    scale = min(height / pixels.shape[0], width / pixels.shape[1])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    back[top : top + small.shape[0], left : left + small.shape[1]] = small
    return bytes(cv2.imencode(".jpg", back, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def of_size(name: str) -> list[bytes]:
    return [framed(picture, *SIZES[name]) for picture in originals()]
