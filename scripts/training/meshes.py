"""Watermarks over ID photos: nets of lines, waves, moire, words. The kinds in LEFT_OUT are never trained on."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.training.camera import chance, clip
from scripts.training.corpus import Image

Floats = NDArray[np.float32]


def _grid(size: int) -> tuple[Floats, Floats]:
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    return rows, columns


def _line_family(phase: Floats, pitch: float, width: float) -> Floats:
    """Lines wherever `phase` (in pixels) passes a multiple of `pitch`; edges one pixel soft."""
    off = np.abs((phase / pitch) % 1 - 0.5) * pitch
    return np.asarray((width / 2 + 0.5 - off).clip(0, 1), np.float32)


def net(size: int, rng: Generator) -> Floats:
    """Two families of straight lines that cross."""
    rows, columns = _grid(size)
    angle, crossing = rng.uniform(0, np.pi), rng.uniform(0.6, np.pi / 2)
    cover = np.zeros((size, size), np.float32)
    for turn in (angle, angle + crossing):
        phase = columns * np.cos(turn) + rows * np.sin(turn) + rng.uniform(0, 20)
        cover = np.maximum(cover, _line_family(phase, rng.uniform(6, 24), rng.uniform(0.7, 2.6)))
    return cover


def waves(size: int, rng: Generator) -> Floats:
    """Wavy lines, often two families in opposite step: the net of ID photographs."""
    rows, columns = _grid(size)
    angle, pitch, width = rng.uniform(0, np.pi), rng.uniform(6, 22), rng.uniform(0.7, 2.6)
    length, height, shift = rng.uniform(15, 70), rng.uniform(2, 8), rng.uniform(0, 6)
    u, v = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
    cover = np.zeros((size, size), np.float32)
    for sign in (1, -1) if chance(rng, 0.7) else (1,):
        phase = v + sign * height * np.sin(u * 2 * np.pi / length + shift)
        cover = np.maximum(cover, _line_family(phase, pitch, width))
    return cover


def moire(size: int, rng: Generator) -> Floats:
    """Soft fringes with a slow beat."""
    rows, columns = _grid(size)
    cover = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        angle, pitch = rng.uniform(0, np.pi), rng.uniform(3, 14)
        bow = rng.normal(0, 0.004, 2)
        phase = columns * np.cos(angle) + rows * np.sin(angle) + bow[0] * columns**2 + bow[1] * rows**2
        cover = cover + 0.5 + 0.5 * np.sin(phase * 2 * np.pi / pitch)
    return np.asarray(cover / cover.max(), np.float32)


def words(size: int, rng: Generator) -> Floats:
    """A line of text, repeated and turned."""
    canvas = np.zeros((2 * size, 2 * size), np.uint8)
    word = "".join(chr(int(c)) for c in rng.integers(48, 91, int(rng.integers(3, 9))))
    scale, thick = rng.uniform(0.3, 0.8), int(rng.integers(1, 3))
    (wide, high), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    for row, y in enumerate(range(0, 2 * size, int(high * rng.uniform(1.6, 3.5)) + 1)):
        for x in range(-(row % 2) * wide // 2, 2 * size, wide + int(rng.uniform(6, 30))):
            cv2.putText(canvas, word, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((size, size), rng.uniform(-50, 50), 1.0)
    turned = cv2.warpAffine(canvas, turn, (2 * size, 2 * size))
    half = size // 2
    return np.asarray(turned[half : half + size, half : half + size], np.float32) / np.float32(255)


def rings(size: int, rng: Generator) -> Floats:
    """Circles around one or two centres."""
    rows, columns = _grid(size)
    cover = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        x, y = rng.uniform(-0.3, 1.3, 2) * size
        cover = np.maximum(
            cover, _line_family(np.hypot(columns - x, rows - y), rng.uniform(6, 20), rng.uniform(0.7, 2.4))
        )
    return cover


def cells(size: int, rng: Generator) -> Floats:
    """Lozenges: two families of sawtooth lines."""
    rows, columns = _grid(size)
    pitch, length, width = rng.uniform(7, 18), rng.uniform(8, 24), rng.uniform(0.7, 2.2)
    saw = np.abs((columns / length) % 2 - 1) * pitch
    return np.maximum(_line_family(rows + saw, pitch, width), _line_family(rows - saw, pitch, width))


Kind = Callable[[int, Generator], Floats]
KINDS: tuple[Kind, ...] = (net, waves, waves, moire, words, rings)
LEFT_OUT: tuple[Kind, ...] = (cells,)


def watermarked(pixels: Image, kind: Kind, rng: Generator) -> Image:
    """The picture under a mesh of one colour, drawn over it or darkening it."""
    cover = kind(len(pixels), rng)
    if chance(rng, 0.3):
        cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 0.9)), np.float32)
    grey = rng.uniform(0, 255)
    colour = np.clip(grey + rng.normal(0, 30, 3), 0, 255).astype(np.float32)
    strength = (cover * rng.uniform(0.2, 0.75))[:, :, None]
    if chance(rng, 0.3):
        return clip(pixels * (1 - strength) + pixels * (colour / 255) * strength)
    return clip(pixels * (1 - strength) + colour * strength)
