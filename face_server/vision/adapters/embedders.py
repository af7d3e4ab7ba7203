"""Embedders: an aligned face in, a vector of unit length out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from face_server.vision.adapters.base import Net, Params, adapter, blob, only, side_of
from face_server.vision.align import TEMPLATE_SIDE, Floats
from face_server.vision.view import Crop, Crops, View


@adapter("aligned", "arcface")
class Embedder:
    """`aligned`: ours, uint8 NHWC. `arcface`: float NCHW, normalised here by `mean` and `std` (0..255), `bgr`."""

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        self.net, self.input = only(nets)
        self.raw = name == "aligned"
        self.crop = Crop("aligned", side_of(self.net, TEMPLATE_SIDE))
        self.flip = bool(params.get("flip", False))
        self.mean, self.std = params.get("mean", 127.5), params.get("std", 127.5)
        self.bgr = bool(params.get("bgr", False))
        # Graphs often do not say how long the vector is, so one is made; that also warms the model up.
        blank = np.zeros((1, self.crop.size, self.crop.size, 3), np.uint8)
        self.dimensions = self.embed(blank).shape[1]

    def read(self, view: View) -> Floats:
        """(n, dimensions)"""
        return self.embed(view.crops(self.crop))

    def embed(self, crops: Crops) -> Floats:
        count = len(crops)
        if self.flip:
            crops = np.concatenate([crops, crops[:, :, ::-1]])
        batch = crops if self.raw else blob(crops, self.mean, self.std, self.bgr)
        vectors = unit(next(iter(self.net.run({self.input: batch}).values())))
        return unit(vectors[:count] + vectors[count:]) if self.flip else vectors


def unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)
