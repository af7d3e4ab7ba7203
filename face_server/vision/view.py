"""The faces of one picture as the networks see them. Crops and answers are kept: roles that share them pay once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from face_server.vision.align import Floats, aligned, roll_of, squares, warp
from face_server.vision.images import Pixels

Crops = NDArray[np.uint8]  # (n, size, size, 3), RGB


@dataclass(frozen=True, slots=True)
class Faces:
    """In the pixels that crops are taken from."""

    boxes: Floats  # (n, 4): x1, y1, x2, y2
    scores: Floats  # (n,)
    points: Floats  # (n, 5, 2): eye at image left, eye at image right, nose, mouth left, mouth right

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, which: NDArray[Any] | slice) -> Faces:
        return Faces(self.boxes[which], self.scores[which], self.points[which])

    @property
    def sides(self) -> Floats:
        """The longer side of each box."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).max(axis=1, initial=0.0), np.float32)

    @staticmethod
    def none() -> Faces:
        return Faces(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))

    @staticmethod
    def joined(parts: Sequence[Faces]) -> Faces:
        return Faces(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.points for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Crop:
    """What part of the picture a network was trained to see.

    aligned  the five points brought to ArcFace's template, with `margin` (share of the face's side) all around
    box      a square of `scale` times the box's longer side around its centre; `upright`: turned by the face's roll
    inside   the box enlarged `scale` times, then shrunk and moved until it lies in the picture; `smooth`: averaged
             when made smaller, not sampled
    """

    kind: str
    size: int
    margin: float = 0.0
    scale: float = 1.0
    upright: bool = False
    smooth: bool = False

    @staticmethod
    def of(params: Mapping[str, Any], size: int) -> Crop:
        """As a pack describes it: crop, margin, scale, rotate."""
        kind = str(params.get("crop", "aligned"))
        if kind not in ("aligned", "box"):
            raise ValueError(f"unknown crop {kind!r}: aligned or box")
        return Crop(
            kind,
            size,
            margin=float(params.get("margin", 0.0)),
            scale=float(params.get("scale", 1.0)),
            upright=bool(params.get("rotate", False)),
        )


class View:
    def __init__(self, pixels: Pixels, faces: Faces) -> None:
        self.pixels = pixels
        self.faces = faces
        self._matrices: dict[Crop, Floats] = {}
        self._crops: dict[Crop, Crops] = {}
        self._answers: dict[tuple[int, Crop], dict[str, NDArray[Any]]] = {}

    def __len__(self) -> int:
        return len(self.faces)

    def matrices(self, crop: Crop) -> Floats:
        """(n, 2, 3) from the picture into the crops."""
        if crop not in self._matrices:
            if crop.kind == "aligned":
                self._matrices[crop] = aligned(self.faces.points, crop.size, crop.margin)
            else:
                roll = roll_of(self.faces.points) if crop.upright else None
                self._matrices[crop] = squares(self.faces.boxes, crop.size, crop.scale, roll)
        return self._matrices[crop]

    def crops(self, crop: Crop) -> Crops:
        if crop not in self._crops:
            self._crops[crop] = (
                np.stack([_inside(self.pixels, box, crop) for box in self.faces.boxes])
                if crop.kind == "inside"
                else warp(self.pixels, self.matrices(crop), crop.size)
            )
        return self._crops[crop]

    def answer(self, net: Any, crop: Crop) -> dict[str, NDArray[Any]]:
        """What a network with one uint8 input says about every face."""
        key = (id(net), crop)
        if key not in self._answers:
            self._answers[key] = net.run({next(iter(net.inputs)): self.crops(crop)})
        return self._answers[key]


def _inside(pixels: Pixels, box: Floats, crop: Crop) -> Pixels:
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in box)
    scale = min(crop.scale, (width - 1) / max(x2 - x1, 1.0), (height - 1) / max(y2 - y1, 1.0))
    wide, high = (x2 - x1) * scale, (y2 - y1) * scale
    left = min(max((x1 + x2 - wide) / 2, 0.0), width - 1 - wide)
    top = min(max((y1 + y2 - high) / 2, 0.0), height - 1 - high)
    part = pixels[int(top) : int(top + high) + 1, int(left) : int(left + wide) + 1]
    average = crop.smooth and max(part.shape[:2]) > crop.size
    return np.asarray(
        cv2.resize(part, (crop.size, crop.size), interpolation=cv2.INTER_AREA if average else cv2.INTER_LINEAR)
    )
