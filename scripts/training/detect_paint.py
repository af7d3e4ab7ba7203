"""Paint for the detector's pictures: plain people below pasted faces, masks over them, and what cameras do to all."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training import disguises
from scripts.training.corpus import Image, decode, encode_jpeg
from scripts.training.teachers import Floats


def body(
    pixels: Image, middle: NDArray[Any], side: float, turn: float, skin: tuple[int, int, int], rng: np.random.Generator
) -> None:
    """Hair, neck and shoulders as plain shapes below a face that will be pasted: small faces are known by them."""
    angle = np.radians(turn)
    down, across = np.array([-np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])

    def at(right: float, below: float) -> tuple[int, int]:
        place = middle + (across * right + down * below) * side
        return int(place[0]), int(place[1])

    def oval(place: tuple[int, int], wide: float, high: float, colour: tuple[int, ...]) -> None:
        cv2.ellipse(pixels, place, (max(int(wide * side), 1), max(int(high * side), 1)), turn, 0, 360, colour, -1)

    cloth = tuple(int(v) for v in rng.integers(0, 256, 3))
    dark = rng.uniform(0, 1) ** 2
    hair = tuple(int(v) for v in np.clip(np.array([200, 160, 110]) * dark + rng.normal(15, 10, 3), 0, 255))
    oval(at(0, 1.35 + rng.uniform(-0.1, 0.1)), rng.uniform(0.8, 1.2), rng.uniform(0.55, 0.8), cloth)
    if rng.random() < 0.8:
        wide, high = rng.uniform(0.44, 0.62), rng.uniform(0.5, 0.68)
        oval(at(0, rng.uniform(-0.2, 0.05)), wide, high, hair)
    corners = np.array([at(-0.22, 0.2), at(0.22, 0.2), at(0.26, 0.75), at(-0.26, 0.75)], np.int32)
    cv2.fillConvexPoly(pixels, corners, skin)


def dress(pixels: Image, box: Floats, points: Floats, rng: np.random.Generator, mask: bool) -> None:
    """Draw a mask or sunglasses on a face of the picture."""
    air = 0.25 * float((box[2:] - box[:2]).max())
    low = np.clip(np.floor(box[:2] - air), 0, None).astype(int)
    region = pixels[low[1] : int(box[3] + air), low[0] : int(box[2] + air)]
    if min(region.shape[:2]) < 8:
        return
    here = points - low.astype(np.float32)
    light = float(rng.uniform(0.6, 1.25)) if rng.random() < 0.6 else None
    region[:] = disguises.mask(region, here, rng, light) if mask else disguises.sunglasses(region, here, rng)


def degrade(pixels: Image, rng: np.random.Generator) -> Image:
    """Light, colour, blur, noise and recompression of the whole picture."""
    if rng.random() < 0.7:
        # One table per channel does contrast, brightness, gamma and colour at once.
        ramp = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.3))
        gains = rng.uniform(0.2 if rng.random() < 0.3 else 0.6, 1.3) * rng.normal(1, 0.07, 3)
        # The less contrast is left, the farther it may lie towards black or white.
        shift = rng.normal(0, 22) + rng.uniform(-1, 1) * max(0.0, 1 - gains.max()) * 110
        table = np.clip((ramp[:, None] - 0.5) * 255 * gains + 128 + shift, 0, 255).astype(np.uint8)
        pixels = np.asarray(cv2.LUT(pixels, table[None]), np.uint8)
    if rng.random() < 0.12:
        pixels = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    kind = rng.random()
    if kind < 0.15:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.5, 1.8)), np.uint8)
    elif kind < 0.3:  # big photos are shrunk without averaging, which makes them harsh
        soft, gain = cv2.blur(pixels, (3, 3)), rng.uniform(0.3, 1.5)
        pixels = np.asarray(cv2.addWeighted(pixels, 1 + gain, soft, -gain, 0), np.uint8)
    elif kind < 0.37:
        size = int(rng.integers(4, 9))
        pixels = np.asarray(cv2.blur(pixels, (size, 1) if rng.random() < 0.5 else (1, size)), np.uint8)
    if rng.random() < 0.12:
        noise = rng.standard_normal(pixels.shape, dtype=np.float32) * rng.uniform(2, 14)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return decode(encode_jpeg(pixels, int(rng.integers(20, 80)))) if rng.random() < 0.25 else pixels
