"""Things in front of faces, as coverage 0..1 and paint. The kinds in LEFT_OUT are never trained on."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.training.camera import chance
from scripts.training.corpus import Image

Floats = NDArray[np.float32]
Thing = tuple[Floats, Floats]  # coverage [S,S,1], paint [S,S,3]


def _texture(size: int, scene: Image, rng: Generator) -> Floats:
    """A piece of a photograph, or one colour with some noise."""
    if chance(rng, 0.6):
        height, width = scene.shape[:2]
        side = int(rng.integers(24, min(height, width)))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        return cv2.resize(scene[top : top + side, left : left + side], (size, size)).astype(np.float32)
    colour = rng.uniform(0, 255, 3)
    coarse = rng.normal(0, rng.uniform(0, 25), (8, 8, 3)).astype(np.float32)
    return np.asarray(colour + cv2.resize(coarse, (size, size)), np.float32)


def _skin(size: int, face: Image, rng: Generator) -> Floats:
    """The face's own colour, relit: hands belong to somebody."""
    middle = size // 2
    tone = np.median(face[middle - 8 : middle + 16, middle - 12 : middle + 12].reshape(-1, 3), axis=0)
    light = cv2.resize(rng.normal(1, 0.12, (5, 5)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(tone * rng.uniform(0.7, 1.25) * light[:, :, None], np.float32)


def _smooth(cover: Image, rng: Generator) -> Floats:
    return np.asarray(cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.0))[:, :, None], np.float32) / np.float32(255)


def _spot(size: int, rng: Generator) -> tuple[int, int]:
    x, y = rng.normal(0.5, 0.2, 2) * size
    return int(x), int(y)


def slab(face: Image, scene: Image, rng: Generator) -> Thing:
    """A turned rectangle: a book, a sign, a phone."""
    size = len(face)
    cover = np.zeros((size, size), np.uint8)
    sides = (float(size * rng.uniform(0.15, 0.6)), float(size * rng.uniform(0.15, 0.6)))
    corners = cv2.boxPoints((_spot(size, rng), sides, float(rng.uniform(0, 90))))
    cv2.fillPoly(cover, [corners.astype(np.int32)], 255)
    return _smooth(cover, rng), _texture(size, scene, rng)


def disc(face: Image, scene: Image, rng: Generator) -> Thing:
    """An ellipse: a cup, a ball, a microphone."""
    size = len(face)
    cover = np.zeros((size, size), np.uint8)
    axes = (int(size * rng.uniform(0.08, 0.3)), int(size * rng.uniform(0.08, 0.3)))
    cv2.ellipse(cover, _spot(size, rng), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1)
    return _smooth(cover, rng), _texture(size, scene, rng)


def strip(face: Image, scene: Image, rng: Generator) -> Thing:
    """A band across the picture: a scarf, a strap, an arm."""
    size = len(face)
    cover = np.zeros((size, size), np.uint8)
    angle, (x, y) = rng.uniform(0, np.pi), _spot(size, rng)
    dx, dy = int(2 * size * np.cos(angle)), int(2 * size * np.sin(angle))
    cv2.line(cover, (x - dx, y - dy), (x + dx, y + dy), 255, int(size * rng.uniform(0.08, 0.35)))
    paint = _skin(size, face, rng) if chance(rng, 0.4) else _texture(size, scene, rng)
    return _smooth(cover, rng), paint


def edge(face: Image, scene: Image, rng: Generator) -> Thing:
    """Everything beyond a line: a wall, a door, a shoulder in front."""
    size = len(face)
    rows, columns = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    cover = (columns * np.cos(angle) + rows * np.sin(angle) > rng.uniform(0.02, 0.35)).astype(np.uint8) * 255
    return _smooth(cover, rng), _texture(size, scene, rng)


def strands(face: Image, scene: Image, rng: Generator) -> Thing:
    """Locks of hair falling over the face."""
    size = len(face)
    cover = np.zeros((size, size), np.uint8)
    x, spread = rng.uniform(0.2, 0.8) * size, size * rng.uniform(0.05, 0.2)
    slope, bow = rng.normal(0, 0.4), rng.normal(0, 0.3)
    reach = rng.uniform(0.45, 1.0)
    t = np.linspace(0, reach, 12)
    for _ in range(int(rng.integers(10, 50))):
        start = x + rng.normal(0, spread)
        path = np.stack([start + size * (slope * t + bow * t**2) + rng.normal(0, 2), t * size], 1)
        cv2.polylines(cover, [path.astype(np.int32)], False, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    colour = np.array([60, 45, 35]) * rng.uniform(0.2, 2.5)
    paint = colour + rng.normal(0, 12, (size, size, 1))
    return _smooth(cover, rng), np.asarray(np.broadcast_to(paint, (size, size, 3)), np.float32)


def hand(face: Image, scene: Image, rng: Generator) -> Thing:
    """A palm with fingers."""
    size = len(face)
    cover = np.zeros((size, size), np.uint8)
    x, y = _spot(size, rng)
    angle = rng.uniform(0, 2 * np.pi)
    width = size * rng.uniform(0.05, 0.08)
    cv2.ellipse(cover, (x, y), (int(width * 2.2), int(width * 2.4)), float(np.degrees(angle)), 0, 360, 255, -1)
    for finger in range(4):
        turn = angle + (finger - 1.5) * rng.uniform(0.12, 0.3)
        length = width * rng.uniform(4, 6)
        tip = (int(x + np.cos(turn) * length), int(y + np.sin(turn) * length))
        cv2.line(cover, (x, y), tip, 255, int(width), cv2.LINE_AA)
    paint = _skin(size, face, rng)
    rim = cv2.GaussianBlur(cover, (0, 0), width * 0.4).astype(np.float32)[:, :, None] / 255
    return _smooth(cover, rng), np.asarray(paint * (0.65 + 0.35 * rim), np.float32)


def shard(face: Image, scene: Image, rng: Generator) -> Thing:
    """A ragged polygon of a photograph: leaves, a torn edge, an animal."""
    size = len(face)
    cover = np.zeros((size, size), np.uint8)
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(7, 16))))
    reach = size * rng.uniform(0.1, 0.3) * rng.uniform(0.5, 1.3, len(angles))
    x, y = _spot(size, rng)
    corners = np.stack([x + np.cos(angles) * reach, y + np.sin(angles) * reach], 1)
    cv2.fillPoly(cover, [corners.astype(np.int32)], 255)
    return _smooth(cover, rng), _texture(size, scene, rng)


def writing(face: Image, scene: Image, rng: Generator) -> Thing:
    """Thick letters over the picture."""
    size = len(face)
    cover = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        word = "".join(chr(int(c)) for c in rng.integers(65, 91, int(rng.integers(2, 7))))
        x, y = _spot(size, rng)
        cv2.putText(
            cover, word, (x - 30, y), cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.6, 1.6), 255, int(rng.integers(3, 9))
        )
    return _smooth(cover, rng), _texture(size, scene, rng)


Kind = Callable[[Image, Image, Generator], Thing]
KINDS: tuple[Kind, ...] = (slab, disc, strip, edge, strands, hand)
LEFT_OUT: tuple[Kind, ...] = (shard, writing)
