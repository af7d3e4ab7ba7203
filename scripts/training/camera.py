"""What a camera and a file format do to a picture: every synthetic and every real training view passes through here."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.training.corpus import Image, decode, encode_jpeg

Floats = NDArray[np.float32]


def chance(rng: Generator, probability: float) -> bool:
    return bool(rng.random() < probability)


def clip(pixels: NDArray[np.floating]) -> Image:
    return np.asarray(pixels.clip(0, 255), np.uint8)


def tone(pixels: Image, rng: Generator, strength: float = 1.0) -> Image:
    """Gain, offset, gamma and colour balance, in one table per channel."""
    ramp = np.linspace(0, 1, 256, dtype=np.float32)
    gamma, gain = np.exp(rng.normal(0, [0.2 * strength, 0.12 * strength]))
    lift = rng.normal(0, 0.03 * strength)
    tables = [clip(255 * ((ramp**gamma) * gain * np.exp(rng.normal(0, 0.05 * strength)) + lift)) for _ in range(3)]
    return np.asarray(cv2.LUT(pixels, np.stack(tables, -1)[None]), np.uint8)


def blur(pixels: Image, rng: Generator, most: float) -> Image:
    """Out of focus, or moved while the shutter was open."""
    if chance(rng, 0.7):
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, max(most, 0.4))), np.uint8)
    length = int(rng.integers(2, 3 + int(3 * most)))
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    dx, dy = round(length * np.cos(angle)), round(length * np.sin(angle))
    cv2.line(kernel, (length - dx, length - dy), (length + dx, length + dy), 1.0)
    return np.asarray(cv2.filter2D(pixels, -1, kernel / kernel.sum()), np.uint8)


def noise(pixels: Image, rng: Generator, most: float) -> Image:
    """Sensor noise, sometimes coarse as a small sensor's is after its own smoothing."""
    height, width = pixels.shape[:2]
    coarse = int(rng.integers(1, 3))
    grain = rng.normal(0, rng.uniform(0.5, most), (-(-height // coarse), -(-width // coarse), 3)).astype(np.float32)
    if coarse > 1:
        grain = np.asarray(cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return clip(pixels + grain)


def resample(pixels: Image, rng: Generator, least: float) -> Image:
    """Made smaller and larger again."""
    height, width = pixels.shape[:2]
    zoom = rng.uniform(least, 1.0)
    small = cv2.resize(pixels, (max(8, int(width * zoom)), max(8, int(height * zoom))), interpolation=cv2.INTER_AREA)
    kind = cv2.INTER_LINEAR if chance(rng, 0.5) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (width, height), interpolation=kind), np.uint8)


def recompress(pixels: Image, rng: Generator, worst: int = 30) -> Image:
    return decode(encode_jpeg(pixels, int(rng.integers(worst, 97))))


def capture(pixels: Image, rng: Generator, strength: float = 1.0) -> Image:
    """An ordinary way from the lens to the file; each step happens in a part of the pictures only."""
    if chance(rng, 0.5):
        pixels = tone(pixels, rng, strength)
    if chance(rng, 0.25):
        pixels = blur(pixels, rng, 1.2 * strength)
    if chance(rng, 0.25):
        pixels = resample(pixels, rng, 1 - 0.6 * strength)
    if chance(rng, 0.3):
        pixels = noise(pixels, rng, 8 * strength)
    if chance(rng, 0.04):
        pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[:, :, None], 3, 2)
    if chance(rng, 0.6):
        pixels = recompress(pixels, rng)
    return pixels
