"""Adapters whose answer is a picture: which part of the face each pixel is, and a face without its watermark."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from face_server.vision.adapters.base import Net, Params, adapter, only, side_of
from face_server.vision.align import Floats, floats
from face_server.vision.images import Pixels
from face_server.vision.view import Crop, View


@adapter("parsing")
class Parser:
    """(n, height, width) class of every pixel of the picture; 0 is the background and all that lies outside a crop."""

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        self.net, _ = only(nets)
        self.labels = tuple(str(label) for label in params["labels"])
        self.crop = Crop.of(params, int(params.get("size", side_of(self.net, 112))))
        self.output = str(params.get("output", "classes"))
        self.aligned = self.crop.kind == "aligned"

    def read(self, view: View, width: int, height: int) -> list[NDArray[np.uint8]]:
        """`width` and `height`: of the picture as it was sent, which may be larger than the view."""
        logits = view.answer(self.net, self.crop)[self.output]
        classes = logits.argmax(axis=1).astype(np.uint8)
        zoom = floats([[view.pixels.shape[1] / width, view.pixels.shape[0] / height, 1]])
        # Some networks answer at another size than they see.
        step = np.float32(classes.shape[-1] / self.crop.size)
        maps = []
        for crop, matrix in zip(classes, view.matrices(self.crop) * zoom * step, strict=True):
            flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
            maps.append(np.asarray(cv2.warpAffine(crop, matrix, (width, height), flags=flags), np.uint8))
        return maps


@adapter("image_to_image")
class Repainter:
    """Faces painted anew by a network that takes any size divisible by `multiple`, best between two `sides`."""

    def __init__(self, name: str, nets: Sequence[Net], params: Params) -> None:
        self.net, self.input = only(nets)
        self.scale = float(params.get("scale", 1.6))
        self.multiple = int(params.get("multiple", 16))
        self.least, self.most = params.get("sides", (128, 320))

    def repaint(self, pixels: Pixels, boxes: Floats) -> Pixels:
        """A copy of the picture with every face cleaned."""
        pixels = pixels.copy()
        for box in boxes:
            self._repaint(_around(pixels, box, self.scale))
        return pixels

    def _repaint(self, part: Pixels) -> None:
        height, width = part.shape[:2]
        longer = max(height, width)
        zoom = min(max(longer, self.least), self.most) / longer
        high, wide = (
            max(self.multiple, round(side * zoom / self.multiple) * self.multiple) for side in (height, width)
        )
        seen = cv2.resize(part, (wide, high), interpolation=cv2.INTER_LINEAR)
        answer = next(iter(self.net.run({self.input: seen[None]}).values()))[0]
        clean = np.clip(answer + 0.5, 0, 255).astype(np.uint8)
        part[:] = cv2.resize(clean, (width, height), interpolation=cv2.INTER_LINEAR)


def _around(pixels: Pixels, box: Floats, scale: float) -> Pixels:
    """A view into the picture, so that writing there changes it."""
    height, width = pixels.shape[:2]
    middle = (box[:2] + box[2:]) / 2
    reach = max(float((box[2:] - box[:2]).max()) * scale / 2, 8.0)
    left, top = (int(value) for value in np.clip(middle - reach, 0, (width - 1, height - 1)))
    right, bottom = (int(value) + 1 for value in np.clip(middle + reach, 0, (width - 1, height - 1)))
    return pixels[top:bottom, left:right]
