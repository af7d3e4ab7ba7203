"""Presentation attacks made from ordinary pictures: screens, prints and what a camera sees of them.

`attack` takes a picture with a face box and returns a new picture in which that picture is shown on something, with the
box where the face is now. The kinds in LEFT_OUT are never trained on: they measure what is learned beyond them.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.training.camera import chance, clip, recompress
from scripts.training.corpus import Image

Box = NDArray[np.float32]  # x1, y1, x2, y2
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture and the face in it."""

    pixels: Image
    box: Box


SCREENS = ("phone", "tablet", "monitor", "close_screen")
PRINTS = ("photo", "page", "close_print")
LEFT_OUT = ("dots", "curved", "interlaced")
KINDS = (*SCREENS, *PRINTS)


def attack(shown: Shown, kind: str, scene: Image, rng: Generator) -> Shown:
    """The face of `shown` presented as `kind` in front of `scene`."""
    if kind in (*SCREENS, "interlaced"):
        shown = replace(shown, pixels=_emit(shown.pixels, rng))
        shown = _with_frame(shown, kind, rng)
    else:
        shown = replace(shown, pixels=_print(shown.pixels, rng, dots=kind == "dots"))
        shown = _with_margin(shown, kind, rng)
    placed, inside = _place(shown, kind, scene, rng)
    pixels = placed.pixels
    if kind in (*SCREENS, "interlaced"):
        pixels = _moire(pixels, inside, rng)
        if kind == "interlaced":
            pixels = _interlace(pixels, inside, rng)
    if chance(rng, 0.55):
        pixels = _reflect(pixels, inside, scene, rng)
    if chance(rng, 0.3):
        pixels = _fingers(pixels, inside, rng)
    return Shown(pixels, placed.box)


def _emit(pixels: Image, rng: Generator) -> Image:
    """What a panel makes of a picture: compression, its own gamma, lifted blacks, a cast, a viewing angle."""
    if chance(rng, 0.6):
        pixels = recompress(pixels, rng, worst=20)
    height, width = pixels.shape[:2]
    values = (pixels.astype(np.float32) / 255) ** np.exp(rng.normal(0.05, 0.25))
    black, white = rng.uniform(0, 0.16), rng.uniform(0.75, 1.12)
    cast = np.array([rng.normal(1, 0.05), rng.normal(1, 0.03), rng.normal(1.05, 0.07)], np.float32)
    values = (black + (white - black) * values) * cast
    slope = rng.normal(0, 0.12, 2)
    light = 1 + slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width)[None]
    return clip(255 * values * light[:, :, None])


def _print(pixels: Image, rng: Generator, dots: bool) -> Image:
    """What ink on paper makes of it: less range, less colour, a raster, banding, the paper's grain."""
    values = pixels.astype(np.float32) / 255
    grey = values.mean(2, keepdims=True)
    values = (grey + (values - grey) * rng.uniform(0.35, 1.05)).clip(0, 1)
    black, white = rng.uniform(0.04, 0.25), rng.uniform(0.75, 0.98)
    values = black + (white - black) * values ** np.exp(rng.normal(0, 0.2))
    values = values * np.array([rng.normal(1, 0.05), rng.normal(1, 0.03), rng.normal(0.97, 0.06)], np.float32)
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    if dots:
        for channel, angle in enumerate(rng.uniform(0, np.pi / 2, 3)):
            pitch = rng.uniform(2.5, 5)
            u = (columns * np.cos(angle) + rows * np.sin(angle)) * (2 * np.pi / pitch)
            v = (rows * np.cos(angle) - columns * np.sin(angle)) * (2 * np.pi / pitch)
            raster = 0.5 + 0.25 * (np.cos(u) + np.cos(v))
            ink = 1 / (1 + np.exp(-12 * (values[:, :, channel] - raster)))
            values[:, :, channel] = values[:, :, channel] * 0.4 + ink * 0.6
    elif chance(rng, 0.4):
        values = values + _wave(rows, columns, rng, 2.2, 5.0)[:, :, None] * rng.uniform(0.01, 0.06)
    if chance(rng, 0.3):
        values = values * (1 + rng.uniform(0.01, 0.06) * np.sin(rows * rng.uniform(0.2, 1.5))[:, :, None])
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), rng.uniform(0.5, 2))
    return clip(255 * (values + grain[:, :, None] * rng.uniform(0.005, 0.03)))


def _with_frame(shown: Shown, kind: str, rng: Generator) -> Shown:
    """The device around the panel: bars of a user interface, then a bezel."""
    bezel = rng.uniform(0.02, 0.09)
    bars = chance(rng, 0.5 if kind in ("phone", "tablet") else 0.75)
    page = int(rng.integers(225, 256)) if chance(rng, 0.6) else int(rng.integers(0, 50))
    if bars and kind != "close_screen":
        top, bottom, sides = rng.uniform(0, 0.25), rng.uniform(0, 0.3), rng.uniform(0, 0.4)
        if kind in ("phone", "tablet"):
            sides *= 0.1
        shown = _pad(shown, top, bottom, sides, (page,) * 3)
        _interface(shown.pixels, page, rng)
    dark = int(rng.integers(0, 45)) if chance(rng, 0.8) else int(rng.integers(160, 250))
    colour = tuple(int(v) for v in np.clip(dark + rng.normal(0, 4, 3), 0, 255))
    return _pad(shown, bezel * rng.uniform(1, 2.5), bezel * rng.uniform(1, 2.5), bezel, colour)


def _interface(pixels: Image, page: int, rng: Generator) -> None:
    """Bars, icons and words, as blocks of colour on the strip above and below the picture."""
    height, width = pixels.shape[:2]
    for _ in range(int(rng.integers(2, 14))):
        y = int(height * (rng.uniform(0, 0.08) if chance(rng, 0.5) else rng.uniform(0.92, 0.99)))
        x = int(rng.integers(0, width))
        w, h = int(rng.uniform(0.01, 0.12) * width), int(rng.uniform(0.008, 0.03) * height)
        grey = chance(rng, 0.6)
        ink = [int((page + rng.integers(60, 200)) % 256)] * 3 if grey else rng.integers(0, 256, 3).tolist()
        cv2.rectangle(pixels, (x, y), (x + w, y + h), ink, -1)


def _with_margin(shown: Shown, kind: str, rng: Generator) -> Shown:
    """The white of the paper around a print; a page has print on it."""
    if kind == "close_print" or chance(rng, 0.25):
        return shown
    paper = rng.integers(200, 256) - rng.integers(0, 20, 3)
    most = 0.45 if kind == "page" else 0.08
    shown = _pad(shown, rng.uniform(0, most), rng.uniform(0, most), rng.uniform(0, most), tuple(int(v) for v in paper))
    if kind == "page":
        height, width = shown.pixels.shape[:2]
        for y in range(int(height * 0.8), height, max(4, height // 40)):
            cv2.line(shown.pixels, (width // 12, y), (int(width * rng.uniform(0.5, 0.95)), y), (60, 60, 60), 1)
    return shown


def _pad(shown: Shown, top: float, bottom: float, sides: float, colour: tuple[int, ...]) -> Shown:
    height, width = shown.pixels.shape[:2]
    t, b, s = int(top * height), int(bottom * height), int(sides * width)
    pixels = cv2.copyMakeBorder(shown.pixels, t, b, s, s, cv2.BORDER_CONSTANT, value=colour)
    return Shown(np.asarray(pixels, np.uint8), shown.box + np.array([s, t, s, t], np.float32))


def _place(shown: Shown, kind: str, scene: Image, rng: Generator) -> tuple[Shown, Floats]:
    """Put the thing into the scene at some angle; also the mask of where it is."""
    height, width = (400, 300) if chance(rng, 0.7) else (300, 400)
    background = cv2.resize(scene, (width, height), interpolation=cv2.INTER_AREA)
    if chance(rng, 0.5):
        background = cv2.GaussianBlur(background, (0, 0), rng.uniform(0.5, 5))
    h, w = shown.pixels.shape[:2]
    fill = rng.uniform(0.85, 1.5) if kind.startswith("close") else rng.uniform(0.55, 1.15)
    fit = max(width / w, height / h) if kind.startswith("close") else min(width / w, height / h)
    zoom = fit * fill
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    tilt, skew = rng.normal(0, 0.08), rng.normal(0, 0.035, (4, 2))
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    target = (corners - (w / 2, h / 2)) @ turn.T * zoom * (1 + skew)
    target = target + (width / 2, height / 2) + rng.normal(0, 0.05, 2) * (width, height)
    matrix = cv2.getPerspectiveTransform(corners, target.astype(np.float32))
    pixels, mask = shown.pixels, np.full((h, w), 255, np.uint8)
    if zoom < 1:  # a panel or a print is finer than what the camera sees of it: no aliasing of our own making
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.4 / zoom), np.uint8)
    if kind == "curved":
        pixels, mask = _bend(pixels, rng), _bend(mask, rng)
    placed = cv2.warpPerspective(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR)
    inside = cv2.warpPerspective(mask, matrix, (width, height)).astype(np.float32) / np.float32(255)
    x1, y1, x2, y2 = shown.box
    edges = np.array([[[x1, y1], [x2, y1], [x2, y2], [x1, y2]]], np.float32)
    moved = cv2.perspectiveTransform(edges, matrix)[0]
    box = np.concatenate([moved.min(0), moved.max(0)]).astype(np.float32)
    shade = inside[:, :, None]
    return Shown(clip(placed * shade + background * (1 - shade)), box), inside


def _bend(pixels: Image, rng: Generator) -> Image:
    """Paper held in a curve: rows rise and fall along the width and the light follows."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    wave = np.sin(columns / width * rng.uniform(2, 5) + rng.uniform(0, 6))
    bent = cv2.remap(pixels, columns, rows + height * 0.04 * wave, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    light = 1 + 0.18 * wave
    return clip(bent * (light if bent.ndim == 2 else light[:, :, None]))


def _wave(rows: Floats, columns: Floats, rng: Generator, shortest: float, longest: float) -> Floats:
    angle, length = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(shortest), np.log(longest)))
    bow = rng.normal(0, 0.0015, 2)
    place = columns * np.cos(angle) + rows * np.sin(angle) + bow[0] * columns**2 / 10 + bow[1] * rows**2 / 10
    return np.asarray(np.sin(place * 2 * np.pi / length + rng.uniform(0, 6)), np.float32)


def _moire(pixels: Image, inside: Floats, rng: Generator) -> Image:
    """The beat between the panel's raster and the sensor's: fine or wide fringes, out of step between the colours."""
    if chance(rng, 0.25):
        return pixels
    height, width = inside.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    gain = np.zeros((height, width, 3), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        fringe = _wave(rows, columns, rng, 2.1, 40)
        if chance(rng, 0.5):
            fringe = fringe * _wave(rows, columns, rng, 20, 120)
        tint = rng.normal(0, 1, 3) if chance(rng, 0.5) else np.ones(3)
        gain += fringe[:, :, None] * tint.astype(np.float32) * rng.uniform(0.01, 0.09)
    return clip(pixels * (1 + gain * inside[:, :, None]))


def _interlace(pixels: Image, inside: Floats, rng: Generator) -> Image:
    """A flickering panel: dark bands and lines that shift against each other."""
    height = len(pixels)
    rows = np.arange(height, dtype=np.float32)
    bands = 1 + rng.uniform(0.05, 0.2) * np.sin(rows * 2 * np.pi / rng.uniform(40, 200))
    lines = 1 + rng.uniform(0.04, 0.15) * np.sign(np.sin(rows * np.pi / rng.uniform(1.5, 4)))
    return clip(pixels * (1 + ((bands * lines)[:, None] - 1) * inside)[:, :, None])


def _reflect(pixels: Image, inside: Floats, scene: Image, rng: Generator) -> Image:
    """Light on glass or gloss: the room in front of it, lamps, a window."""
    height, width = inside.shape
    glow = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(0, 4))):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.uniform(3, 60)), int(rng.uniform(3, 40)))
        cv2.ellipse(glow, centre, axes, rng.uniform(0, 180), 0, 360, float(rng.uniform(0.1, 0.9)), -1)
    if chance(rng, 0.3):
        quad = rng.uniform(0, 1, (4, 2)) * (width, height)
        cv2.fillConvexPoly(glow, cv2.convexHull(quad.astype(np.int32)), float(rng.uniform(0.05, 0.3)))
    glow = cv2.GaussianBlur(glow, (0, 0), rng.uniform(1, 12)) * inside
    room = cv2.GaussianBlur(cv2.resize(scene[:, ::-1], (width, height)), (0, 0), rng.uniform(2, 8)).astype(np.float32)
    share = (rng.uniform(0.0, 0.18) * inside)[:, :, None]
    return clip(pixels + room * share + 255 * glow[:, :, None] * (1 - pixels / 255.0 * 0.5))


def _fingers(pixels: Image, inside: Floats, rng: Generator) -> Image:
    """Fingertips over the edge that hold it."""
    pixels = pixels.copy()
    edge = np.argwhere(cv2.Canny((inside * 255).astype(np.uint8), 50, 150))
    if not len(edge):
        return pixels
    skin = np.array([200, 150, 125]) * rng.uniform(0.35, 1.1) + rng.normal(0, 10, 3)
    start = int(rng.integers(len(edge)))
    length, angle = rng.uniform(18, 40), rng.uniform(0, 180)
    for step in range(int(rng.integers(1, 5))):
        y, x = edge[start] + np.array([step * length * 0.7, 0])
        shade = np.clip(skin * rng.uniform(0.85, 1.1), 0, 255).tolist()
        cv2.ellipse(pixels, (int(x), int(y)), (int(length), int(length * 0.32)), angle, 0, 360, shade, -1, cv2.LINE_AA)
    return pixels
