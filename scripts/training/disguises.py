"""Things put on faces: spectacles, sunglasses, masks, closed eyes; and faces turned into drawings.

Every function takes RGB pixels and the five points of the face in them, and returns new pixels.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.training.camera import chance, clip
from scripts.training.corpus import Image, Points

Floats = NDArray[np.float32]
FINE = 4  # shapes are drawn this much larger and shrunk: smooth edges


def _frame(points: Points) -> tuple[Floats, Floats, Floats]:
    """The face's own axes: middle of the eyes, the vector from eye to eye, and the one from eyes to mouth."""
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    return eyes, points[1] - points[0], mouth - eyes


def _filled(shape: tuple[int, ...], outlines: list[Floats], thickness: int = -1) -> Floats:
    """Coverage 0..1 of polygons (or of their outlines)."""
    canvas = np.zeros((shape[0] * FINE, shape[1] * FINE), np.uint8)
    for outline in outlines:
        corners = np.round((outline + 0.5) * FINE - 0.5).astype(np.int32)
        if thickness < 0:
            cv2.fillPoly(canvas, [corners], 255)
        else:
            cv2.polylines(canvas, [corners], True, 255, thickness)
    small = cv2.resize(canvas, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(small[:, :, None], np.float32) / np.float32(255)


def blend(pixels: Image, cover: Floats, paint: Floats) -> Image:
    return clip(pixels * (1 - cover) + paint * cover)


def lenses(points: Points, rng: Generator) -> list[Floats]:
    """Two lens outlines, between round and square."""
    _, across, down = _frame(points)
    wide, high = rng.uniform(0.36, 0.48), rng.uniform(0.2, 0.4)
    power = rng.uniform(2, 5)
    drop = rng.uniform(-0.02, 0.12)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** (2 / power)
    y = np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** (2 / power)
    outlines = []
    for eye, side in ((points[0], -1), (points[1], 1)):
        centre = eye + across * side * rng.uniform(0.0, 0.04) + down * drop
        outlines.append(centre + x[:, None] * across * wide + y[:, None] * down * high)
    return [np.asarray(outline, np.float32) for outline in outlines]


def spectacles(pixels: Image, points: Points, rng: Generator) -> Image:
    """Frames with clear glass: rims, bridge, temples, sometimes a glint."""
    return _glasses(pixels, points, rng, lenses(points, rng), rng.uniform(0.0, 0.08))


def sunglasses(pixels: Image, points: Points, rng: Generator) -> Image:
    """Dark lenses: the eyes are gone or nearly."""
    return _glasses(pixels, points, rng, lenses(points, rng), rng.uniform(0.75, 1.0))


def _glasses(pixels: Image, points: Points, rng: Generator, outlines: list[Floats], tint: float) -> Image:
    eyes, across, down = _frame(points)
    shape = pixels.shape
    glass = _filled(shape, outlines)
    shade = np.array(rng.uniform(0, 60, 3) if chance(rng, 0.8) else rng.uniform(0, 200, 3), np.float32)
    paint = shade + np.linspace(0, rng.uniform(0, 60), shape[0], dtype=np.float32)[:, None, None]
    pixels = blend(pixels, glass * tint, paint)
    unit = float(np.linalg.norm(across))
    thick = max(1, int(unit * FINE * rng.uniform(0.015, 0.09)))
    rims = _filled(shape, outlines, thick)
    inner = [outlines[0].mean(0) + across * 0.4, outlines[1].mean(0) - across * 0.4]
    bridge = np.array([inner[0], inner[1]], np.float32)
    temples = [
        np.array([outlines[0].mean(0) - across * 0.42, eyes - across * 1.15 + down * 0.05], np.float32),
        np.array([outlines[1].mean(0) + across * 0.42, eyes + across * 1.15 + down * 0.05], np.float32),
    ]
    rims = np.maximum(rims, _filled(shape, [bridge, *temples], thick))
    colour = np.array([rng.uniform(0, 70)] * 3 if chance(rng, 0.7) else rng.uniform(0, 220, 3), np.float32)
    pixels = blend(pixels, rims * rng.uniform(0.7, 1.0), np.broadcast_to(colour, shape).astype(np.float32))
    if chance(rng, 0.5):
        start = outlines[int(rng.integers(2))].mean(0)
        streak = np.array([start, start + across * rng.normal(0, 0.2) + down * rng.normal(0, 0.2)], np.float32)
        glint = cv2.GaussianBlur(_filled(shape, [streak], int(thick * 2)), (0, 0), 1)[:, :, None] * glass
        pixels = blend(pixels, glint * rng.uniform(0.3, 0.9), np.full(shape, 255, np.float32))
    return pixels


def mask_outline(points: Points, rng: Generator) -> Floats:
    """From the bridge of the nose along the cheeks to below the chin."""
    eyes, across, down = _frame(points)
    top, chin = rng.uniform(0.3, 0.62), rng.uniform(1.55, 1.8)
    shape = [(-0.12, top), (0.12, top), (0.55, top + 0.15), (0.98, 0.62), (0.9, 1.15), (0.5, chin - 0.12), (0.15, chin)]
    right = [(x, y) for x, y in shape if x > 0]
    places = right + [(-x, y) for x, y in reversed(right)]
    # A turned head shows the nose off the middle: the mask follows it.
    lean = (points[2] - (eyes + 0.55 * down)) @ across / (across @ across)
    return np.array([eyes + (x + lean * 0.5 * (y < 1)) * across + y * down for x, y in places], np.float32)


def mask(pixels: Image, points: Points, rng: Generator, light: float | None = None) -> Image:
    """A surgical or cloth mask: folds, shade towards the edges; as light as the picture unless told otherwise."""
    outline = mask_outline(points, rng)
    cover = _filled(pixels.shape, [outline])
    palette = [(200, 220, 235), (235, 238, 240), (35, 35, 40), (120, 170, 200), (220, 180, 190), (90, 110, 90)]
    base = (
        np.array(palette[int(rng.integers(len(palette)))], np.float32) if chance(rng, 0.75) else rng.uniform(0, 255, 3)
    )
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    middle = outline.mean(0)
    reach = float(np.ptp(outline[:, 0])) / 2
    curve = 1 - 0.35 * ((columns - middle[0]) / reach) ** 2 + rng.normal(0, 0.1) * (columns - middle[0]) / reach
    folds = 1 + rng.uniform(0, 0.12) * np.sin(rows * rng.uniform(0.2, 0.9) + columns * rng.normal(0, 0.1))
    light = float(np.clip(np.mean(pixels) / 130, 0.35, 1.2)) if light is None else light
    paint = base * np.asarray((curve * folds)[:, :, None], np.float32) * light
    if chance(rng, 0.2):
        paint = paint + cv2.resize(rng.normal(0, 40, (12, 12, 3)).astype(np.float32), (width, height))
    soft = np.asarray(cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    return blend(pixels, soft[:, :, None], np.asarray(paint, np.float32))


def closed(pixels: Image, points: Points, lids: tuple[Image | None, Image | None], rng: Generator) -> Image:
    """Eyes replaced by photographs of other eyes, colours matched; None leaves that eye as it is."""
    _, across, down = _frame(points)
    result = pixels
    size = float(np.linalg.norm(across)) * rng.uniform(0.75, 0.95)
    for eye, lid in zip(points[:2], lids, strict=True):
        if lid is None:
            continue
        scale = size / max(lid.shape[:2])
        angle = np.arctan2(across[1], across[0])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
        shift = eye - turn @ (np.array([lid.shape[1], lid.shape[0]]) / 2)
        matrix = np.hstack([turn, shift[:, None]])
        target = (pixels.shape[1], pixels.shape[0])
        patch = cv2.warpAffine(lid, matrix, target, flags=cv2.INTER_AREA).astype(np.float32)
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        oval = eye + np.cos(angles)[:, None] * across * 0.36 + np.sin(angles)[:, None] * down * 0.26
        inside = _filled(pixels.shape, [np.asarray(oval, np.float32)])
        cover = np.asarray(cv2.GaussianBlur(inside, (0, 0), size * 0.07), np.float32)[:, :, None]
        weight = cover.sum() + 1e-3
        old, new = (result * cover).sum((0, 1)) / weight, (patch * cover).sum((0, 1)) / weight
        result = blend(result, cover, patch * (old / new.clip(10)).clip(0.4, 2.5).astype(np.float32))
    return result


def _flat(pixels: Image, rng: Generator) -> Image:
    """Few colours, smooth areas."""
    smooth = pixels
    for _ in range(int(rng.integers(2, 5))):
        smooth = np.asarray(cv2.bilateralFilter(smooth, 7, rng.uniform(30, 60), 5), np.uint8)
    levels = rng.uniform(3, 7)
    flat = np.round(smooth.astype(np.float32) / 255 * levels) / levels * 255
    return clip(smooth * 0.3 + flat * 0.7)


def _lines(pixels: Image, rng: Generator) -> Floats:
    """Dark strokes where brightness changes, 0..1."""
    grey = cv2.medianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), 3)
    block = 2 * int(rng.integers(3, 7)) + 1
    ink = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, block, rng.uniform(4, 9))
    return np.asarray(cv2.GaussianBlur(ink, (0, 0), 0.6)[:, :, None], np.float32) / np.float32(255)


def _vivid(pixels: Image, rng: Generator) -> Image:
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[:, :, 1] *= rng.uniform(1.1, 2.0)
    hsv[:, :, 2] = hsv[:, :, 2] * rng.uniform(1.0, 1.3) + rng.uniform(0, 25)
    return np.asarray(cv2.cvtColor(clip(hsv), cv2.COLOR_HSV2RGB), np.uint8)


def _big_eyes(pixels: Image, points: Points, rng: Generator) -> Image:
    """Eyes swollen as in a drawing."""
    height, width = pixels.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    reach = float(np.linalg.norm(points[1] - points[0])) * 0.45
    strength = rng.uniform(0.2, 0.5)
    map_x, map_y = columns.copy(), rows.copy()
    for x, y in points[:2]:
        dx, dy = columns - x, rows - y
        pull = strength * np.clip(1 - (dx**2 + dy**2) / reach**2, 0, 1)
        map_x -= dx * pull
        map_y -= dy * pull
    return np.asarray(cv2.remap(pixels, map_x, map_y, cv2.INTER_LINEAR), np.uint8)


def cel(pixels: Image, points: Points, rng: Generator) -> Image:
    """Flat colours with ink lines: the look of an animated film."""
    if chance(rng, 0.7):
        pixels = _big_eyes(pixels, points, rng)
    flat = _vivid(_flat(pixels, rng), rng)
    return blend(flat, _lines(pixels, rng) * rng.uniform(0.5, 1.0), np.zeros(pixels.shape, np.float32))


def poster(pixels: Image, points: Points, rng: Generator) -> Image:
    """Flat colours, no lines."""
    return _vivid(_flat(_big_eyes(pixels, points, rng), rng), rng)


def sketch(pixels: Image, points: Points, rng: Generator) -> Image:
    """Pencil on paper: a dodge of the picture by its own blur."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(255 - grey, (0, 0), rng.uniform(2, 6))
    drawn = (grey * 256 / (256 - soft).clip(1)).clip(0, 255)[:, :, None]
    paper = np.array([255, rng.uniform(235, 255), rng.uniform(210, 255)], np.float32)
    return clip(drawn / 255 * paper)


def oil(pixels: Image, points: Points, rng: Generator) -> Image:
    """Large patches of one colour each."""
    shifted = cv2.pyrMeanShiftFiltering(pixels, rng.uniform(5, 10), rng.uniform(25, 45))
    return _vivid(np.asarray(shifted, np.uint8), rng)


Style = Callable[[Image, Points, Generator], Image]
STYLES: tuple[Style, ...] = (cel, poster, sketch)
LEFT_OUT_STYLE: Style = oil
