"""The people of the detector's training pictures: labelled crops, some dressed up, and how they get into a picture."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training.corpus import Corpus, Image
from scripts.training.detect_picture import Matrix, Picture, turned_box
from scripts.training.landmarks_consensus import five_of
from scripts.training.landmarks_data import SIDE, Faces, disguise, load
from scripts.training.landmarks_teachers import apply
from scripts.training.teachers import Floats

DRESSED = 800  # crops with a mask or sunglasses drawn on, made once


def cover(kind: str, box: Floats) -> NDArray[np.uint8]:
    """Where a pasted crop covers what was there: an oval a little larger than the face, or the whole crop."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if kind == "oval":
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        axes = (int(half[0] * 1.08), int(half[1] * 1.1))
        cv2.ellipse(mask, (int(middle[0]), int(middle[1])), axes, 0, 0, 360, 255, -1)
        mask[:2] = mask[-2:] = 0
        mask[:, :2] = mask[:, -2:] = 0
        return np.asarray(cv2.blur(mask, (9, 9)), np.uint8)
    mask[3:-3, 3:-3] = 255
    return mask if kind == "photo" else np.asarray(cv2.blur(cv2.erode(mask, np.ones((9, 9))), (15, 15)), np.uint8)


def _halved(pixels: Image) -> Image:
    return np.asarray(cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


class People:
    def __init__(self, labels: Path, corpus: Corpus, part: str) -> None:
        rng = np.random.default_rng(0)
        self.faces: Faces = load(labels, corpus, part)
        self._five = five_of(self.faces.points)
        chosen = rng.choice(len(self.faces), min(DRESSED, len(self.faces)), replace=False)
        self._dressed = {int(i): disguise(self.faces.image(int(i)), self._five[i], rng) for i in chosen}

    def __len__(self) -> int:
        return len(self.faces)

    def someone(self, rng: np.random.Generator) -> int:
        """A face: every fifth with a mask or sunglasses."""
        if rng.random() < 0.2:
            return int(rng.choice(list(self._dressed)))
        return int(rng.integers(len(self.faces)))

    def skin(self, rng: np.random.Generator) -> tuple[int, int, int]:
        pixels = self.faces.image(int(rng.integers(len(self.faces))))[48:96, 40:88]
        red, green, blue = pixels.reshape(-1, 3).mean(0)
        return int(red), int(green), int(blue)

    def place(self, face: int, middle: NDArray[Any], side: float, turn: float) -> Matrix:
        """Matrix from the stored crop to the canvas: the face's box `side` long at `middle`, head turned clockwise."""
        target = self.faces.face(face)
        centre = (float(target.centre[0]), float(target.centre[1]))
        matrix = cv2.getRotationMatrix2D(centre, target.roll - turn, side / target.side)
        matrix[:, 2] += np.asarray(middle) - np.array(centre)
        return np.asarray(matrix, np.float64)

    def target(self, face: int, matrix: Matrix) -> tuple[Floats, Floats]:
        return turned_box(matrix, self.faces.boxes[face]), apply(matrix, self._five[face])

    def paste(
        self,
        picture: Picture,
        face: int,
        matrix: Matrix,
        kind: str,
        rng: np.random.Generator,
        window: list[int] | None = None,
    ) -> None:
        """`kind` as `cover` knows it, or "tile": the crop fills its window of the picture."""
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
            crop, mask = _halved(crop), _halved(mask)
            local[:, :2] *= 2
            zoom *= 2
        border = cv2.BORDER_REPLICATE if kind == "tile" else cv2.BORDER_CONSTANT
        fresh = cv2.warpAffine(crop, local, shape, borderMode=border)
        region = picture.pixels[low[1] : high[1], low[0] : high[0]]
        if kind == "tile":
            region[:] = fresh
            return
        alpha = cv2.warpAffine(mask, local, shape)[..., None].astype(np.float32) / 255
        if kind == "oval" and rng.random() < 0.6:  # take on a part of the light of the place
            shift = (region.reshape(-1, 3).mean(0) - fresh.reshape(-1, 3).mean(0)) * rng.uniform(0, 0.5)
            fresh = np.clip(fresh + shift, 0, 255)
        region[:] = (fresh * alpha + region * (1 - alpha)).astype(np.uint8)
