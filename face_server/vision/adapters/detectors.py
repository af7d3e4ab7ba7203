"""Detectors. Each takes letterboxed pictures (uint8 NHWC RGB) and answers the faces of each in input pixels.

A family says how its input is made (`feed`), where its scores are and what its rows mean (`decode`). Threshold,
suppression and the loop over the batch are the same for all, and only rows that may be faces are decoded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_server.vision.adapters.base import Net, Params, adapter, blob, only
from face_server.vision.adapters.nms import suppress
from face_server.vision.align import Floats, floats
from face_server.vision.view import Faces

STRIDES = (8, 16, 32)
Outputs = dict[str, NDArray[Any]]
Rows = tuple[Floats, Floats, Floats]  # of the batch: scores (n, a), boxes (n, a, 4), points (n, a, 10), as answered
Shape = tuple[int, int]  # height, width of the input


class Detector(ABC):
    threshold = 0.5
    doubt = 0.0  # below this score a face is looked at a second time
    nms = 0.4
    layout_channels_first = True

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        self.net, self.input = only(nets)
        self.threshold = float(params.get("threshold", self.threshold))
        self.doubt = float(params.get("doubt", self.doubt))
        self.sure = float(params.get("sure", self.threshold))  # what the second look must give
        self.nms = float(params.get("nms", self.nms))
        self.fixed = self._fixed()  # where the graph takes one size only
        longest = max(self.fixed) if self.fixed else 640
        self.sizes = tuple(sorted(int(size) for size in params.get("sizes", sorted({320, longest}))))
        self.crowd = int(params.get("crowd", 0))  # a larger size, for pictures in which these find several small faces

    def detect(self, pictures: NDArray[np.uint8], threshold: float | None = None) -> list[Faces]:
        least = self.threshold if threshold is None else threshold
        shape = (pictures.shape[1], pictures.shape[2])
        found = []
        for score, box, point in zip(*self.rows(self.net.run({self.input: self.feed(pictures)})), strict=True):
            sure = np.flatnonzero(score >= least)
            boxes, points = self.decode(box[sure], point[sure], sure, shape)
            faces = Faces(floats(boxes), floats(score[sure]), floats(points).reshape(-1, 5, 2))
            found.append(suppress(faces, self.nms))
        return found

    @abstractmethod
    def feed(self, pictures: NDArray[np.uint8]) -> NDArray[Any]: ...

    @abstractmethod
    def rows(self, outputs: Outputs) -> Rows: ...

    @abstractmethod
    def decode(self, box: Floats, point: Floats, row: NDArray[np.intp], shape: Shape) -> tuple[Floats, Floats]:
        """What was answered for some rows, as corners (k, 4) and points (k, 10) in input pixels."""

    def _fixed(self) -> Shape | None:
        shape = self.net.inputs[self.input]
        height, width = shape[2:4] if self.layout_channels_first else shape[1:3]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None


@adapter("anchor_free")
class AnchorFree(Detector):
    """Our own: normalisation and decoding are in the graph."""

    layout_channels_first = False
    doubt = 0.6

    def feed(self, pictures: NDArray[np.uint8]) -> NDArray[Any]:
        return pictures

    def rows(self, outputs: Outputs) -> Rows:
        return outputs["scores"], outputs["boxes"], outputs["points"]

    def decode(self, box: Floats, point: Floats, row: NDArray[np.intp], shape: Shape) -> tuple[Floats, Floats]:
        return box, point


@adapter("yunet")
class YuNet(Detector):
    """One anchor per cell; a score is the root of class times objectness."""

    threshold = 0.6
    doubt = 0.88

    def feed(self, pictures: NDArray[np.uint8]) -> NDArray[Any]:
        return blob(pictures, bgr=True)

    def rows(self, outputs: Outputs) -> Rows:
        cls, obj, box, point = (
            np.concatenate([outputs[f"{kind}_{stride}"] for stride in STRIDES], axis=1)
            for kind in ("cls", "obj", "bbox", "kps")
        )
        return np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1))[..., 0], box, point

    def decode(self, box: Floats, point: Floats, row: NDArray[np.intp], shape: Shape) -> tuple[Floats, Floats]:
        corner, stride = (part[row] for part in cells(*shape))
        middle = corner + box[:, :2] * stride
        half = np.exp(np.clip(box[:, 2:], -20, 20)) * (stride / 2)
        return np.concatenate([middle - half, middle + half], axis=1), np.tile(corner, 5) + point * stride


@adapter("scrfd")
class Scrfd(Detector):
    """Two anchors per cell; a box is four distances, in strides. Nine outputs, named or only in order."""

    def feed(self, pictures: NDArray[np.uint8]) -> NDArray[Any]:
        return blob(pictures, mean=127.5, std=128.0)

    def rows(self, outputs: Outputs) -> Rows:
        # By width: 1 is a score, 4 a box, 10 the points; by length: the finest stride has the most rows.
        by_width: dict[int, list[NDArray[Any]]] = {1: [], 4: [], 10: []}
        for value in outputs.values():
            rows = value if value.ndim == 3 else value[None]
            by_width[rows.shape[2]].append(rows)
        scores, box, point = (
            np.concatenate(sorted(parts, key=lambda rows: -rows.shape[1]), axis=1) for parts in by_width.values()
        )
        return scores[..., 0], box, point

    def decode(self, box: Floats, point: Floats, row: NDArray[np.intp], shape: Shape) -> tuple[Floats, Floats]:
        corner, stride = (part[row] for part in cells(*shape, anchors=2))
        boxes = np.concatenate([corner - box[:, :2] * stride, corner + box[:, 2:] * stride], axis=1)
        return boxes, np.tile(corner, 5) + point * stride


@adapter("retinaface")
class RetinaFace(Detector):
    """Two priors of different size per cell, centred in the cell; variances .1 and .2."""

    threshold = 0.6
    # For each stride the sides of its two priors.
    priors = floats([[16, 32], [64, 128], [256, 512]])

    def feed(self, pictures: NDArray[np.uint8]) -> NDArray[Any]:
        return np.ascontiguousarray(blob(pictures, mean=(123.0, 117.0, 104.0))[:, ::-1])

    def rows(self, outputs: Outputs) -> Rows:
        by_width = {value.shape[-1]: value for value in outputs.values()}
        return by_width[2][..., 1], by_width[4], by_width[10]

    def decode(self, box: Floats, point: Floats, row: NDArray[np.intp], shape: Shape) -> tuple[Floats, Floats]:
        corner, stride = (part[row] for part in cells(*shape, anchors=2))
        side = self.priors[np.searchsorted(STRIDES, stride[:, 0]), row % 2][:, None]
        middle = corner + stride / 2
        centre = middle + box[:, :2] * 0.1 * side
        half = np.exp(np.clip(box[:, 2:] * 0.2, -20, 20)) * (side / 2)
        return np.concatenate([centre - half, centre + half], axis=1), np.tile(middle, 5) + point * 0.1 * side


@lru_cache(maxsize=64)
def cells(height: int, width: int, anchors: int = 1) -> tuple[Floats, Floats]:
    """The top left corner (a, 2) and the stride (a, 1) of every cell of all three grids, `anchors` rows per cell."""
    corners, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: -(-height // stride), : -(-width // stride)]
        grid = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float32) * stride
        corners.append(np.repeat(grid, anchors, axis=0))
        strides.append(np.full((len(grid) * anchors, 1), stride, np.float32))
    return np.concatenate(corners), np.concatenate(strides)
