"""The pictures liveness learns from: real faces, the same faces shown on something, the teacher's word on both."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.training import align
from scripts.training.camera import capture, chance, clip
from scripts.training.corpus import Corpus, Crop, Image, split
from scripts.training.replays import KINDS, LEFT_OUT, Box, Shown, attack
from scripts.training.teachers import YuNet, session

SCALE, SIDE = 2.7, 80  # of the look: shares of the detector's box, pixels
# The detector's box around five points, in pixels of the 112 template from the points' middle (measured on YuNet).
BOX = np.array([-40.5, -61.0, 39.0, 46.0], np.float32)
TIGHT = ("fairface",)
OTHERS = ("lfw", "celeba_wild", "celeba89", "glint24", "bolly", "muxspace", "rmfd_real", "mask_rmfd", "mask_chandrika")
LABELS = ("nuaa", "real", *KINDS, *LEFT_OUT)


@dataclass(frozen=True, slots=True)
class View:
    """One training picture: what it shows (a place in LABELS) and whether the face is live."""

    shown: Shown
    label: str
    live: bool


def cut(pixels: Image, box: Box, scale: float = SCALE, size: int = SIDE) -> Image:
    """The box with its surroundings, resized to a square."""
    part = _part(pixels, box, scale)
    shrinks = part.shape[0] > size or part.shape[1] > size
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (size, size), interpolation=kind), np.uint8)


def _part(pixels: Image, box: Box, scale: float) -> Image:
    """The box enlarged `scale` times, then shrunk and moved until it lies inside the picture."""
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (float(v) for v in box)
    scale = min(scale, (width - 1) / (x2 - x1), (height - 1) / (y2 - y1))
    w, h = (x2 - x1) * scale, (y2 - y1) * scale
    left = min(max((x1 + x2 - w) / 2, 0.0), width - 1 - w)
    top = min(max((y1 + y2 - h) / 2, 0.0), height - 1 - h)
    return pixels[int(top) : int(top + h) + 1, int(left) : int(left + w) + 1]


def box_of(crop: Crop) -> Box:
    """Where the detector would put its box."""
    assert crop.points is not None
    matrix = align.similarity(crop.points, align.template())
    scale = np.hypot(matrix[0, 0], matrix[1, 0])
    middle = crop.points.mean(0)
    return np.asarray(np.concatenate([middle, middle]) + BOX / scale, np.float32)


class MiniFASNet:
    """The teacher pair, Apache-2.0: log-odds that the face is live, of V2 (2.7 boxes) and V1SE (4 boxes)."""

    def __init__(self) -> None:
        self._nets = [
            (session(f"minifasnet/{file}.onnx"), scale) for file, scale in (("antispoof", 2.7), ("antispoof_4", 4.0))
        ]

    def __call__(self, pixels: Image, box: Box) -> NDArray[np.float32]:
        answers = []
        for net, scale in self._nets:
            # The teachers were fed by bilinear sampling without smoothing.
            part = _part(pixels, box, scale)
            small = (
                cv2.resize(part, (80, 80), interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
                .astype(np.float32)
                .transpose(2, 0, 1)[None]
            )
            logits = net.run(None, {"input": small})[0][0]
            spoof = np.logaddexp(logits[0], logits[2])
            answers.append(logits[1] - spoof)
        return np.array(answers, np.float32)


class Faces:
    """Pictures of one set of parts (train, or those left out), drawn at random."""

    def __init__(self, corpus: Corpus, parts: Sequence[str], kinds: Sequence[str]) -> None:
        self._corpus, self._kinds = corpus, kinds
        self._tight = corpus.select(*TIGHT, parts=parts)
        self._others = corpus.select(*OTHERS, parts=parts)
        self._nuaa = corpus.select("nuaa", parts=parts)
        self._names = [name for name in corpus.scenes() if split(name) in parts]

    @cached_property
    def peopled(self) -> list[tuple[str, Box, NDArray[np.float32]]]:
        """Scenes with a face of 40 pixels or more: name, box, five points. The threshold keeps dogs out."""
        detector = YuNet(threshold=0.88)
        found = []
        for name in self._names:
            rows = detector(self._corpus.scene(name))
            found += [(name, row[:4], row[5:].reshape(5, 2)) for row in rows if row[3] - row[1] >= 40]
        return found

    def view(self, rng: Generator) -> View:
        """Half live, half shown; one in twelve from the webcam set."""
        if chance(rng, 1 / 12):
            crop = self._pick(self._nuaa, rng)
            live = crop.labels["live"] == "live"
            return self._finish(self._crop(crop), "nuaa" if not live else "real", live, rng, 0.6)
        shown = self.any(rng)
        if chance(rng, 0.5):
            return self._finish(shown, "real", True, rng, 1.0)
        kind = self._kinds[int(rng.integers(len(self._kinds)))]
        if chance(rng, 0.5):
            shown = Shown(capture(shown.pixels, rng, 0.5), shown.box)
        return self._finish(attack(shown, kind, self.scene(rng), rng), kind, False, rng, 1.0)

    def _finish(self, shown: Shown, label: str, live: bool, rng: Generator, strength: float) -> View:
        pixels = capture(shown.pixels, rng, strength)
        wobble = rng.normal(0, 0.04, 4) * (shown.box[2] - shown.box[0])
        return View(Shown(pixels, np.asarray(shown.box + wobble, np.float32)), label, live)

    def any(self, rng: Generator) -> Shown:
        """A real face from any source."""
        draw = rng.random()
        if draw < 0.4:
            return self._crop(self._pick(self._tight, rng))
        if draw < 0.65:
            return self._crop(self._pick(self._others, rng))
        return self.in_scene(rng)

    def _crop(self, crop: Crop) -> Shown:
        return Shown(self._corpus.pixels(crop), box_of(crop))

    def scene(self, rng: Generator) -> Image:
        """A place to hold it up in."""
        return self._corpus.scene(self._names[int(rng.integers(len(self._names)))])

    def in_scene(self, rng: Generator) -> Shown:
        """A face with its surroundings: the one that is there, or another put in its place."""
        number = int(rng.integers(len(self.peopled)))
        return self.framed(number, rng, self._pick(self._tight, rng) if chance(rng, 0.4) else None)

    def framed(self, number: int, rng: Generator, donor: Crop | None = None) -> Shown:
        """The face of that number in `peopled` (or the donor's in its place), framed at random."""
        name, box, points = self.peopled[number]
        pixels = self._corpus.scene(name)
        if donor is not None:
            pixels = self._transplant(pixels, points, donor, rng)
        height, width = pixels.shape[:2]
        reach = (box[2] - box[0]) * rng.uniform(0.8, 3, 4)
        left, top = (int(max(0, v)) for v in box[:2] - reach[:2])
        right, bottom = int(min(width, box[2] + reach[2])), int(min(height, box[3] + reach[3]))
        part = pixels[top:bottom, left:right]
        shown = Shown(part, np.asarray(box - (left, top, left, top), np.float32))
        return Shown(part[:, ::-1].copy(), _mirrored(shown)) if chance(rng, 0.5) else shown

    def _transplant(self, pixels: Image, points: NDArray[np.float32], crop: Crop, rng: Generator) -> Image:
        """Another person's face, colours matched, faded into a scene's face: new people with real surroundings."""
        assert crop.points is not None
        donor = self._corpus.pixels(crop)
        matrix = align.similarity(crop.points, points)
        size = (pixels.shape[1], pixels.shape[0])
        moved = cv2.warpAffine(donor, matrix, size, flags=cv2.INTER_LINEAR).astype(np.float32)
        mask = np.zeros(pixels.shape[:2], np.float32)
        reach = float(np.linalg.norm(points[1] - points[0]))
        middle = points.mean(0)
        cv2.ellipse(mask, (int(middle[0]), int(middle[1])), (int(reach * 0.95), int(reach * 1.15)), 0, 0, 360, 1.0, -1)
        inside = cv2.warpAffine(np.ones(donor.shape[:2], np.float32), matrix, size)
        faded = cv2.GaussianBlur(mask * inside, (0, 0), reach * rng.uniform(0.1, 0.2))
        mask = np.asarray(faded, np.float32)[:, :, None]
        weight = mask.sum() + 1e-3
        old, new = (pixels * mask).sum((0, 1)) / weight, (moved * mask).sum((0, 1)) / weight
        moved = moved * (old / new.clip(8)).clip(0.6, 1.7)
        return clip(moved * mask + pixels * (1 - mask))

    @staticmethod
    def _pick(crops: list[Crop], rng: Generator) -> Crop:
        return crops[int(rng.integers(len(crops)))]


def _mirrored(shown: Shown) -> Box:
    width = shown.pixels.shape[1]
    x1, y1, x2, y2 = shown.box
    return np.array([width - x2, y1, width - x1, y2], np.float32)
