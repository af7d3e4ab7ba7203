"""Two pictures of one person, made of the one that is on every machine."""

from __future__ import annotations

import cv2
import numpy as np

from tests.baidu_client import jpeg, pixels


def portrait_of(astronaut: bytes) -> bytes:
    """Her face alone and large."""
    return jpeg(cv2.resize(pixels(astronaut)[0:260, 110:340], None, fx=2, fy=2))


def another_of(portrait: bytes) -> bytes:
    """Another picture of her: seen in a mirror, from another side, in less light, by a worse camera."""
    values = pixels(portrait)[:, ::-1]
    height, width = values.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = np.array([[0.2, 0.1], [0.8, 0], [0.8, 1], [0.2, 0.8]], np.float32) * (width, height)
    seen = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    values = cv2.warpPerspective(values, seen, (width, height), borderValue=(127, 127, 127))
    return jpeg(np.clip(values.astype(np.float32) * 0.7 + 10, 0, 255).astype(np.uint8), 40)
