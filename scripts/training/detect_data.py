"""Training pictures of the detector: mosaics of crops, faces pasted over scenes, real scenes, no faces at all."""

import copy
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training import detect_labels, detect_mistakes
from scripts.training.camera import recompress
from scripts.training.corpus import Corpus, Image
from scripts.training.detect_paint import body, degrade, dress
from scripts.training.detect_people import People
from scripts.training.detect_picture import Matrix, Picture, turned_box
from scripts.training.landmarks_data import BORDERS, SIDE
from scripts.training.landmarks_teachers import apply
from scripts.training.teachers import Floats

CROWD = 70  # faces of a crowd, about


class Synthesis:
    """Random pictures."""

    def __init__(self, work: Path, corpus: Corpus, part: str) -> None:
        self.rng = np.random.default_rng(0)
        self.people = People(work.parent / "landmarks", corpus, part)
        self._labels: dict[str, Any] = {n: e for n, e in detect_labels.load(work).items() if e["part"] == part}
        self._mistakes = [place for place in detect_mistakes.load(work) if place[0] in self._labels]
        self._scenes = {name: corpus.scene(name) for name in self._labels}

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

    def picture(self, size: int, rng: np.random.Generator) -> Picture:
        """The generator decides about everything: the same one makes the same picture."""
        maker = copy.copy(self)
        maker.rng = rng
        return maker._picture(size)

    def _picture(self, size: int) -> Picture:
        rng = self.rng
        drawn = size if rng.random() < 0.8 else round(size * rng.uniform(1.2, 2.0))
        kind = int(rng.choice(5, p=[0.2, 0.27, 0.09, 0.29, 0.15]))
        picture = (self._mosaic, self._composite, self._crowd, self._real, self._background)[kind](drawn)
        self._dress(picture)
        if drawn > size:
            if rng.random() < 0.5:
                picture.pixels = recompress(picture.pixels, rng)
            picture = picture.shrunk(size)
        if rng.random() < 0.15:
            picture = self._cut(picture)
        picture.pixels = degrade(picture.pixels, rng)
        return picture.mirrored() if rng.random() < 0.5 else picture

    def _dress(self, picture: Picture) -> None:
        """In a third of the pictures most people wear masks, in a few sunglasses, even those of real scenes."""
        kind = self.rng.random()
        if kind > 0.4:
            return
        for box, points in zip(picture.boxes, picture.points, strict=True):
            if self.rng.random() < 0.8:
                dress(picture.pixels, box, points, self.rng, mask=kind < 0.34)

    def _cut(self, picture: Picture) -> Picture:
        """Bars at one to four sides, as around a photo of other shape or a face looked at alone at the border."""
        size, rng = picture.size, self.rng
        bars = rng.uniform(0, 0.4, 4) * size * (rng.random(4) < 0.4)
        shade = (0, 0, 0) if rng.random() < 0.8 else (int(rng.integers(256)),) * 3
        return picture.cut((bars[0], bars[1], size - bars[2], size - bars[3]), shade)

    def _background(self, size: int) -> Picture:
        """A random piece of a scene without people."""
        if self.rng.random() < 0.4:
            return self._decoy(size)
        name = self._empty[self.rng.integers(len(self._empty))]
        return self._view(name, size, zoom=float(np.exp(self.rng.uniform(np.log(0.5), np.log(2.5)))), turn=0.0)

    def _decoy(self, size: int) -> Picture:
        """A scene around a decoy, at the sizes and turns that faces have, or around a former mistake as it was."""
        mistaken = len(self._mistakes) > 0 and self.rng.random() < 0.6
        places = self._mistakes if mistaken else self._decoys
        name, box = places[self.rng.integers(len(places))]
        wanted = np.exp(self.rng.uniform(np.log(8 if mistaken else 16), np.log((0.4 if mistaken else 0.9) * size)))
        zoom = min(wanted / float((box[2:] - box[:2]).max()), 3.0) * max(self._scenes[name].shape[:2]) / size
        return self._view(name, size, zoom, self._turn(), around=(box[:2] + box[2:]) / 2)

    def _view(
        self, name: str, size: int, zoom: float, turn: float, around: NDArray[np.floating] | None = None
    ) -> Picture:
        """A scene scaled to `zoom` times the canvas, turned, shifted; its labels go with it."""
        scene, entry = self._scenes[name], self._labels[name]
        high, wide = scene.shape[:2]
        factor = zoom * size / max(high, wide)
        if factor < 0.5:
            small = cv2.resize(scene, None, fx=factor * 1.2, fy=factor * 1.2, interpolation=cv2.INTER_AREA)
            scene = np.asarray(small, np.uint8)
        shrunk = scene.shape[1] / wide
        middle = np.array([wide, high]) / 2 if around is None else around
        matrix = np.asarray(cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), turn, factor), np.float64)
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
        if kind < 0.76:
            return float(self.rng.normal(0, 12))
        return float(self.rng.uniform(-60, 60) if kind < 0.9 else self.rng.uniform(-180, 180))

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
            face = self.people.someone(self.rng)
            down = points[3:].mean(0) - points[:2].mean(0)
            turn = float(np.degrees(np.arctan2(-down[0], down[1])))
            middle, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
            matrix = self.people.place(face, middle, side * float(self.rng.uniform(0.95, 1.1)), turn)
            self.people.paste(picture, face, matrix, "oval", self.rng)
            picture.boxes[i], picture.points[i] = self.people.target(face, matrix)

    def _composite(self, size: int) -> Picture:
        picture = self._background(size)
        count = int(np.ceil(np.exp(self.rng.uniform(0, np.log(28)))))
        self._scatter(picture, count)
        return picture

    def _crowd(self, size: int) -> Picture:
        """Rows of small faces, the nearer ones larger and in front of the others."""
        picture, rng = self._background(size), self.rng
        side = float(np.exp(rng.uniform(np.log(9), np.log(36))))
        wide, high, empty = rng.uniform(1.05, 2.2), rng.uniform(1.15, 2.2), rng.uniform(0, 0.4)
        bodies, growth, row = rng.random() < 0.8, rng.uniform(1.0, 1.12), rng.uniform(0, 2) * side
        while row < size + side / 2 and len(picture.boxes) < CROWD:
            columns = np.arange(rng.uniform(-0.5, 0.5), size / side, wide)
            columns = columns[rng.random(len(columns)) > empty]
            places = np.stack([columns * side, np.full(len(columns), row)], 1)
            places += rng.normal(0, 0.1 * side, places.shape)
            planned = [(place, side * float(np.exp(rng.normal(0, 0.1))), float(rng.normal(0, 10))) for place in places]
            if bodies:
                for middle, one, turn in planned:
                    body(picture.pixels, middle, one, turn, self.people.skin(self.rng), rng)
            for middle, one, turn in planned:
                face = self.people.someone(self.rng)
                matrix = self.people.place(face, middle, one, turn)
                self.people.paste(picture, face, matrix, "oval", self.rng)
                picture.add(*self.people.target(face, matrix))
            row, side = row + side * high, side * growth
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
                body(picture.pixels, middle, side, turn, self.people.skin(self.rng), rng)
        for middle, side, turn in planned:
            face = self.people.someone(self.rng)
            matrix = self.people.place(face, middle, side, turn)
            kind = ("oval", "square", "photo")[int(rng.choice(3, p=[0.55, 0.35, 0.1]))]
            self.people.paste(picture, face, matrix, kind, rng)
            picture.add(*self.people.target(face, matrix))

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
            face = self.people.someone(self.rng)
            turn = float(rng.normal(0, 10))
            zoom = inner / SIDE * float(rng.uniform(0.85, 1.25))
            matrix = np.asarray(cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), -turn, zoom), np.float64)
            matrix[:, 2] += corner + inner / 2 - SIDE / 2 + rng.normal(0, 0.04, 2) * inner
            window = [int(v) for v in (*corner, *(corner + inner))]
            self.people.paste(picture, face, matrix, "tile", rng, window)
            picture.add(*self.people.target(face, matrix))
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
