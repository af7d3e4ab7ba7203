"""Training pictures of the detector: mosaics of crops, faces pasted over scenes, real scenes, no faces at all."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training import detect_labels
from scripts.training.corpus import Corpus, Image
from scripts.training.detect_paint import body, cover, degrade
from scripts.training.landmarks_consensus import five_of
from scripts.training.landmarks_data import BORDERS, SIDE, Faces, disguise
from scripts.training.landmarks_data import load as load_faces
from scripts.training.landmarks_teachers import apply
from scripts.training.teachers import Floats

DRESSED = 800  # crops with a mask or sunglasses drawn on, made once
SMALLEST = 9.0  # pixels: smaller faces are neither face nor background
MIRROR = [1, 0, 2, 4, 3]
Matrix = NDArray[np.float64]


@dataclass
class Picture:
    """A picture under construction: faces as x1 y1 x2 y2 and five points, plus boxes to ignore."""

    pixels: Image
    boxes: list[Floats] = field(default_factory=list)
    points: list[Floats] = field(default_factory=list)
    ignored: list[Floats] = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.pixels.shape[0]

    def add(self, box: Floats, points: Floats) -> None:
        """A face: kept when most of it lies inside and it is not too small."""
        inside = np.clip(box, 0, self.size)
        area, seen = (float(np.prod(np.clip(b[2:] - b[:2], 0, None))) for b in (box, inside))
        if seen <= 0.02 * area:
            return
        if seen < 0.45 * area or (box[2:] - box[:2]).max() < SMALLEST:
            self.ignored.append(box)
        else:
            self.boxes.append(box)
            self.points.append(points)

    def mirrored(self) -> "Picture":
        def flip(box: Floats) -> Floats:
            return np.asarray([self.size - box[2], box[1], self.size - box[0], box[3]], np.float32)

        points = [np.stack([self.size - p[MIRROR, 0], p[MIRROR, 1]], 1).astype(np.float32) for p in self.points]
        pixels = np.ascontiguousarray(self.pixels[:, ::-1])
        return Picture(pixels, [flip(b) for b in self.boxes], points, [flip(b) for b in self.ignored])


def turned_box(matrix: Matrix, box: Floats) -> Floats:
    """The upright box of a face after a similarity: the middle moves, the shape follows the head's turn."""
    middle = apply(matrix, ((box[:2] + box[2:]) / 2)[None])[0]
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    width, height = (box[2:] - box[:2]) * zoom
    c, s = abs(matrix[0, 0]) / zoom, abs(matrix[1, 0]) / zoom
    # An ellipse, not a rectangle: a head turned by 45 degrees does not become wider than it is high.
    half = np.array([np.hypot(width * c, height * s), np.hypot(width * s, height * c)]) / 2
    return np.asarray([*(middle - half), *(middle + half)], np.float32)


class Synthesis:
    """Endless random pictures of one size."""

    def __init__(self, work: Path, corpus: Corpus, part: str, seed: int | list[int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.faces: Faces = load_faces(work.parent / "landmarks", corpus, part)
        self.five = five_of(self.faces.points)
        chosen = self.rng.choice(len(self.faces), min(DRESSED, len(self.faces)), replace=False)
        self._dressed = {int(i): disguise(self.faces.image(int(i)), self.five[i], self.rng) for i in chosen}
        self._corpus = corpus
        self._labels: dict[str, Any] = {n: e for n, e in detect_labels.load(work).items() if e["part"] == part}

    @cached_property
    def _scenes(self) -> dict[str, Image]:
        return {name: self._corpus.scene(name) for name in self._labels}

    @cached_property
    def _empty(self) -> list[str]:
        return [name for name, entry in self._labels.items() if not entry["faces"]]

    @cached_property
    def _peopled(self) -> list[str]:
        return [name for name, entry in self._labels.items() if entry["faces"]]

    @cached_property
    def _decoys(self) -> list[tuple[str, Floats]]:
        """What detectors take for a face and is none: heads of dogs, cats, monkeys."""
        return [(name, np.array(b, np.float32)) for name, e in self._labels.items() for b in e["decoys"]]

    def picture(self, size: int) -> Picture:
        kind = self.rng.random()
        if kind < 0.22:
            picture = self._mosaic(size)
        elif kind < 0.55:
            picture = self._composite(size)
        elif kind < 0.86:
            picture = self._real(size)
        else:
            picture = self._background(size)
        picture.pixels = degrade(picture.pixels, self.rng)
        return picture.mirrored() if self.rng.random() < 0.5 else picture

    def _background(self, size: int) -> Picture:
        """A random piece of a scene without people."""
        if self.rng.random() < 0.3:
            return self._decoy(size)
        name = self._empty[self.rng.integers(len(self._empty))]
        return self._view(name, size, zoom=float(np.exp(self.rng.uniform(np.log(0.5), np.log(2.5)))), turn=0.0)

    def _decoy(self, size: int) -> Picture:
        """A scene around a decoy, at the sizes and turns that faces have."""
        name, box = self._decoys[self.rng.integers(len(self._decoys))]
        wanted = np.exp(self.rng.uniform(np.log(16), np.log(0.9 * size)))
        zoom = min(wanted / float((box[2:] - box[:2]).max()), 3.0) * max(self._scenes[name].shape[:2]) / size
        return self._view(name, size, zoom, self._turn(), around=(box[:2] + box[2:]) / 2)

    def _view(self, name: str, size: int, zoom: float, turn: float, around: Floats | None = None) -> Picture:
        """A scene scaled to `zoom` times the canvas, turned, shifted; its labels go with it."""
        scene, entry = self._scenes[name], self._labels[name]
        high, wide = scene.shape[:2]
        factor = zoom * size / max(high, wide)
        if factor < 0.5:
            scene = cv2.resize(scene, None, fx=factor * 1.2, fy=factor * 1.2, interpolation=cv2.INTER_AREA)
        shrunk = scene.shape[1] / wide
        middle = np.array([wide, high]) / 2 if around is None else around
        matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), turn, factor)
        room = np.maximum(np.array([wide, high]) * factor - size, 0) / 2 if around is None else np.full(2, size / 3)
        matrix[:, 2] += size / 2 - middle + self.rng.uniform(-1, 1, 2) * room
        shown = matrix.copy()
        shown[:, :2] /= shrunk
        # A mirrored border would show faces that have no label.
        border = BORDERS[self.rng.integers(3)] if not entry["faces"] and not entry["doubtful"] else cv2.BORDER_CONSTANT
        view = np.asarray(cv2.warpAffine(scene, shown, (size, size), borderMode=border), np.uint8)
        picture = Picture(view if around is None else self._surround(view, shown, scene.shape))
        for face in entry["faces"]:
            box, points = np.array(face["box"], np.float32), np.array(face["points"], np.float32)
            picture.add(turned_box(matrix, box), apply(matrix, points))
        for doubtful in entry["doubtful"]:
            picture.ignored.append(turned_box(matrix, np.array(doubtful, np.float32)))
        return picture

    def _surround(self, view: Image, matrix: Matrix, shape: tuple[int, ...]) -> Image:
        """A scene that does not fill the canvas lies on another one, not on black."""
        size = view.shape[0]
        shown = cv2.warpAffine(np.full(shape[:2], 255, np.uint8), matrix, (size, size))
        if shown.min() == 255 or self.rng.random() < 0.15:
            return view
        clean = [name for name in self._empty if not self._labels[name]["doubtful"]]
        behind = self._view(clean[self.rng.integers(len(clean))], size, 2.0, 0.0).pixels
        return np.where(shown[..., None] > 127, view, behind)

    def _turn(self) -> float:
        """Mostly upright; sometimes lying, rarely upside down."""
        kind = self.rng.random()
        if kind < 0.8:
            return float(self.rng.normal(0, 12))
        return float(self.rng.uniform(-60, 60) if kind < 0.93 else self.rng.uniform(-180, 180))

    def _real(self, size: int) -> Picture:
        """A scene with people, zoomed onto one of them so that this face gets a random size."""
        name = self._peopled[self.rng.integers(len(self._peopled))]
        faces = self._labels[name]["faces"]
        box = np.array(faces[self.rng.integers(len(faces))]["box"], np.float32)
        side = float((box[2:] - box[:2]).max())
        wanted = np.exp(self.rng.uniform(np.log(10), np.log(0.9 * size)))
        factor = min(wanted / side, 3.0)
        zoom = factor * max(self._scenes[name].shape[:2]) / size
        picture = self._view(name, size, zoom, self._turn(), around=(box[:2] + box[2:]) / 2)
        if self.rng.random() < 0.5:
            self._swap(picture)
        if self.rng.random() < 0.3:
            self._scatter(picture, int(self.rng.integers(1, 5)))
        return picture

    def _swap(self, picture: Picture) -> None:
        """Other people's faces on the same heads."""
        for i, (box, points) in enumerate(zip(list(picture.boxes), list(picture.points), strict=True)):
            face = self._someone()
            down = points[3:].mean(0) - points[:2].mean(0)
            turn = float(np.degrees(np.arctan2(-down[0], down[1])))
            middle, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
            matrix = self._place(face, middle, side * float(self.rng.uniform(0.95, 1.1)), turn)
            self._paste(picture, face, matrix, "oval")
            picture.boxes[i], picture.points[i] = self._target(face, matrix)

    def _composite(self, size: int) -> Picture:
        picture = self._background(size)
        count = int(np.ceil(np.exp(self.rng.uniform(0, np.log(28)))))
        self._scatter(picture, count)
        return picture

    def _scatter(self, picture: Picture, count: int) -> None:
        """Faces at free places, the more of them the smaller."""
        size, rng = picture.size, self.rng
        top = min(1.05 * size, 1.6 * size / np.sqrt(count))
        typical = np.exp(rng.uniform(np.log(10), np.log(top)))
        planned: list[tuple[NDArray[np.float64], float, float]] = []
        for _ in range(count):
            side = float(np.clip(typical * np.exp(rng.normal(0, 0.35)), 8, 1.1 * size))
            if (middle := self._room(picture, planned, side)) is not None:
                planned.append((middle, side, self._turn()))
        for middle, side, turn in planned:  # all bodies before all faces: nobody's shoulder hides a labelled face
            if not picture.boxes and rng.random() < 0.6:
                body(picture.pixels, middle, side, turn, self._skin(), rng)
        for middle, side, turn in planned:
            face = self._someone()
            matrix = self._place(face, middle, side, turn)
            self._paste(picture, face, matrix, ("oval", "square", "photo")[int(rng.choice(3, p=[0.55, 0.35, 0.1]))])
            picture.add(*self._target(face, matrix))

    def _room(
        self, picture: Picture, planned: list[tuple[NDArray[np.float64], float, float]], side: float
    ) -> NDArray[np.float64] | None:
        """A place where a face of this side touches no other."""
        size, rng = picture.size, self.rng
        taken = [((b[:2] + b[2:]) / 2, float((b[2:] - b[:2]).max())) for b in (*picture.boxes, *picture.ignored)]
        taken += [(middle, other) for middle, other, _ in planned]
        for _ in range(8):
            inside = rng.uniform(-0.1 * side, size + 0.1 * side, 2)
            middle = inside if side < 0.6 * size else rng.normal(size / 2, size / 8, 2)
            if all(np.abs(place - middle).max() >= 0.55 * (other + side) for place, other in taken):
                return np.asarray(middle, np.float64)
        return None

    def _someone(self) -> int:
        """A face: every fifth with a mask or sunglasses."""
        if self.rng.random() < 0.2:
            return int(self.rng.choice(list(self._dressed)))
        return int(self.rng.integers(len(self.faces)))

    def _skin(self) -> tuple[int, int, int]:
        pixels = self.faces.image(int(self.rng.integers(len(self.faces))))[48:96, 40:88]
        red, green, blue = pixels.reshape(-1, 3).mean(0)
        return int(red), int(green), int(blue)

    def _mosaic(self, size: int) -> Picture:
        """Whole crops side by side, edge to edge or with gaps over a scene: real surroundings, many faces."""
        rng, picture = self.rng, self._background(size)
        cells = int(rng.choice([1, 1, 2, 3, 4, 5, 6, 8, 10]))
        cell, gap = size / cells, float(rng.choice([0, 0, 0.04, 0.15]))
        empty = rng.uniform(0, 0.4) if cells > 2 else 0.0
        for place in range(cells * cells):
            if rng.random() < empty:
                continue
            corner = np.array([place % cells, place // cells]) * cell + gap * cell / 2
            inner = cell * (1 - gap)
            if rng.random() < 0.12:
                self._decoy_tile(picture, corner, inner)
                continue
            face = self._someone()
            turn = float(rng.normal(0, 10))
            zoom = inner / SIDE * float(rng.uniform(0.85, 1.25))
            matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), -turn, zoom)
            matrix[:, 2] += corner + inner / 2 - SIDE / 2 + rng.normal(0, 0.04, 2) * inner
            window = [int(v) for v in (*corner, *(corner + inner))]
            self._paste(picture, face, matrix, "tile", window)
            picture.add(*self._target(face, matrix))
        return picture

    def _decoy_tile(self, picture: Picture, corner: NDArray[np.float64], side: float) -> None:
        """A decoy where the other tiles show faces, framed as they are."""
        name, box = self._decoys[self.rng.integers(len(self._decoys))]
        middle, reach = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) * self.rng.uniform(0.5, 0.8)
        scene = self._scenes[name]
        low, high = (
            np.maximum(middle - reach, 0).astype(int),
            np.minimum(middle + reach, scene.shape[1::-1]).astype(int),
        )
        left, top, right, bottom = (int(v) for v in (*corner, *(corner + side)))
        tile = cv2.resize(
            scene[low[1] : high[1], low[0] : high[0]], (right - left, bottom - top), interpolation=cv2.INTER_AREA
        )
        picture.pixels[top:bottom, left:right] = tile

    def _place(self, face: int, middle: NDArray[Any], side: float, turn: float) -> Matrix:
        """Matrix from the stored crop to the canvas: the face's box `side` long at `middle`, head turned clockwise."""
        target = self.faces.face(face)
        centre = (float(target.centre[0]), float(target.centre[1]))
        matrix = cv2.getRotationMatrix2D(centre, target.roll - turn, side / target.side)
        matrix[:, 2] += np.asarray(middle) - np.array(centre)
        return np.asarray(matrix, np.float64)

    def _target(self, face: int, matrix: Matrix) -> tuple[Floats, Floats]:
        return turned_box(matrix, self.faces.boxes[face]), apply(matrix, self.five[face])

    def _paste(self, picture: Picture, face: int, matrix: Matrix, kind: str, window: list[int] | None = None) -> None:
        crop = self._dressed.get(face, self.faces.image(face))
        zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        corners = apply(matrix, np.array([[0, 0], [SIDE, 0], [0, SIDE], [SIDE, SIDE]], np.float32))
        low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
        if window is not None:
            low, high = np.array(window[:2]), np.array(window[2:])
        low, high = np.clip(low, 0, picture.size), np.clip(high, 0, picture.size)
        if (high - low).min() < 2:
            return
        local = matrix.copy()
        local[:, 2] -= low
        shape = (int(high[0] - low[0]), int(high[1] - low[1]))
        mask = cover(kind, self.faces.boxes[face])
        while zoom < 0.55 and crop.shape[0] > 8:  # warping does not average: shrink first
            crop, mask = (cv2.resize(a, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for a in (crop, mask))
            local[:, :2] *= 2
            zoom *= 2
        border = cv2.BORDER_REPLICATE if kind == "tile" else cv2.BORDER_CONSTANT
        fresh = cv2.warpAffine(crop, local, shape, borderMode=border)
        region = picture.pixels[low[1] : high[1], low[0] : high[0]]
        if kind == "tile":
            region[:] = fresh
            return
        alpha = cv2.warpAffine(mask, local, shape)[..., None].astype(np.float32) / 255
        if kind == "oval" and self.rng.random() < 0.6:  # take on a part of the light of the place
            shift = (region.reshape(-1, 3).mean(0) - fresh.reshape(-1, 3).mean(0)) * self.rng.uniform(0, 0.5)
            fresh = np.clip(fresh + shift, 0, 255)
        region[:] = (fresh * alpha + region * (1 - alpha)).astype(np.uint8)
