"""What the attribute heads learn from: every aligned face with what is known of it, and faces with things put on them.

An unknown label is -1 (a class) or NaN (a number) and takes no part in the loss.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from face_server.vision import faceapi
from scripts.training import align, disguises
from scripts.training.camera import chance
from scripts.training.corpus import Corpus, Crop, Image, Points, split
from scripts.training.landmarks_teachers import apply
from scripts.training.livefaces import box_of
from scripts.training.mesh_facts import mesh_facts
from scripts.training.teachers import FaceApi, square
from scripts.training.views import Row, Views

SIZE, MARGIN = 120, 0.06  # of the stored pictures: a little more than the template, room for jitter
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")
EMOTIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PARTS = ("train", "valid", "test")
TAUGHT = ("celeba89", "celeba_wild", "lfw", "muxspace", "fer_grey", "fairface")  # sources the teachers answer for
TRICKS = ("plain", "spectacles", "sunglasses", "mask", "cartoon", "oil", "lids")
SYNTHETIC = 14_000
FIELDS = {
    "pixels": (np.uint8, (SIZE, SIZE, 3)),
    "crop": (np.int32, ()),  # place in Corpus.crops
    "part": (np.int8, ()),
    "trick": (np.int8, ()),
    "age": (np.int8, ()),
    "gender": (np.int8, ()),  # 0 female, 1 male
    "emotion": (np.int8, ()),
    "emotions": (np.float32, (7,)),  # the teacher's word
    "glasses": (np.int8, ()),  # 0 none, 1 some, of whatever kind
    "shade": (np.float32, ()),  # brightness at the eyes over brightness at the cheeks
    "mask": (np.float32, ()),
    "smile": (np.float32, ()),
    "gap": (np.float32, ()),  # between the lips, in distances of the outer eye corners
    "blink": (np.float32, (2,)),  # eye at image left, eye at image right; 1 = closed
    "smiling": (np.float32, ()),
    "cartoon": (np.float32, ()),
    "beauty": (np.float32, ()),
}


def rows(corpus: Corpus, work: Path) -> Views:
    """All rows, made once."""
    maker = _Maker(corpus)
    views = Views(work / "rows", len(maker.plain) + SYNTHETIC, FIELDS)
    views.fill(maker)
    return views


@dataclass(slots=True)
class _Lids:
    """Photographs of single closed eyes, by part."""

    by_part: dict[str, list[Image]]

    @classmethod
    def of(cls, corpus: Corpus) -> "_Lids":
        by_part: dict[str, list[Image]] = {part: [] for part in PARTS}
        for name, is_open, pixels in corpus.eyes():
            if not is_open:
                by_part[split(name)].append(pixels)
        return cls(by_part)


class _Maker:
    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        # Sources with many labels first, so that a half-made folder already teaches every head.
        places = [i for i, crop in enumerate(corpus.crops) if crop.points is not None]
        order = default_rng(5).permutation(len(places))
        self.plain = sorted((places[i] for i in order), key=lambda i: corpus.crops[i].source == "fairface")
        self._fairface = [i for i in self.plain if corpus.crops[i].source == "fairface"]
        self._emotions = FaceApi(faceapi.emotion, "face_expression_model")

    @cached_property
    def _lids(self) -> _Lids:
        return _Lids.of(self._corpus)

    def __call__(self, number: int) -> Row:
        rng = default_rng((2, number))
        # Every fourth row is a trick until they are used up.
        if number % 4 == 3 and number // 4 < SYNTHETIC:
            return self._trick(rng)
        place = self.plain[number - min((number + 1) // 4, SYNTHETIC)]
        crop = self._corpus.crops[place]
        pixels = self._corpus.pixels(crop)
        known = _labels(crop, place)
        if self._is_taught(crop):
            known |= self._taught(pixels, crop)
        aligned, points = _aligned(pixels, crop, rng)
        return {**known, "pixels": aligned, "shade": _shade(aligned, points)}

    @staticmethod
    def _is_taught(crop: Crop) -> bool:
        return crop.source in TAUGHT and crop.archive != "fairface_all.zip" and crop.archive != "faces_03.tar"

    def _taught(self, pixels: Image, crop: Crop) -> dict[str, object]:
        facts = mesh_facts(pixels, crop)
        (emotions,) = self._emotions(square(pixels, box_of(crop), 1.2, 112)[0][None])
        return {"smile": facts.smile, "gap": facts.gap, "blink": facts.blink, "emotions": emotions[0]}

    def _trick(self, rng: Generator) -> Row:
        place = self._fairface[int(rng.integers(len(self._fairface)))]
        crop = self._corpus.crops[place]
        known = _labels(crop, place)
        pixels, points = _aligned(self._corpus.pixels(crop), crop, rng)
        kind = ("spectacles", "sunglasses", "mask", "cartoon", "lids")[int(rng.integers(5))]
        if kind == "spectacles":
            pixels, known = disguises.spectacles(pixels, points, rng), {**known, "glasses": 1, "shade": 1.0}
        elif kind == "sunglasses":
            pixels, known = disguises.sunglasses(pixels, points, rng), {**known, "glasses": 1, "shade": 0.0}
        elif kind == "mask":
            pixels, known = disguises.mask(pixels, points, rng), {**known, "mask": 1.0}
        elif kind == "lids":
            which = [(True, True), (True, True), (True, False), (False, True)][int(rng.integers(4))]
            lids = self._lids.by_part[crop.part]
            left, right = (lids[int(rng.integers(len(lids)))] if shut else None for shut in which)
            pixels = disguises.closed(pixels, points, (left, right), rng)
            known["blink"] = np.array([1.0 if shut else np.nan for shut in which])
        else:
            left_out = crop.part != "train" and chance(rng, 0.5)
            style = disguises.LEFT_OUT_STYLE if left_out else disguises.STYLES[int(rng.integers(len(disguises.STYLES)))]
            pixels, known = style(pixels, points, rng), {**known, "cartoon": 1.0, "age": -1, "gender": -1}
            kind = "oil" if left_out else kind
        return {**known, "pixels": pixels, "trick": TRICKS.index(kind)}


def _labels(crop: Crop, place: int) -> dict[str, object]:
    """What index.csv says."""
    says = crop.labels
    return {
        "crop": place,
        "part": PARTS.index(crop.part),
        "trick": 0,
        "age": AGES.index(says["age"]) if says["age"] in AGES else -1,
        "gender": ("Female", "Male").index(says["gender"]) if says["gender"] else -1,
        "emotion": EMOTIONS.index(says["expression"]) if says["expression"] in EMOTIONS else -1,
        "emotions": np.nan,
        "glasses": ("none", "glasses").index(says["glasses"]) if says["glasses"] else -1,
        "shade": np.nan,
        # Nobody in these older pictures wears a mask.
        "mask": float(says["mask"] == "mask") if says["mask"] else 0.0 if crop.source != "bolly" else np.nan,
        "smile": np.nan,
        "gap": np.nan,
        "blink": np.nan,
        "smiling": float(says["smiling"]) if says["smiling"] else np.nan,
        "cartoon": 0.0,
        "beauty": float(says["beauty"] == "attractive") if says["beauty"] else np.nan,
    }


def _aligned(pixels: Image, crop: Crop, rng: Generator) -> tuple[Image, Points]:
    """The stored picture and the points in it; what lies outside the crop is black or mirrored."""
    assert crop.points is not None
    matrix = align.similarity(crop.points, align.template(SIZE, MARGIN))
    border = cv2.BORDER_REFLECT_101 if chance(rng, 0.5) else cv2.BORDER_CONSTANT
    aligned = cv2.warpAffine(pixels, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(aligned, np.uint8), apply(matrix, crop.points)


def _shade(pixels: Image, points: Points) -> float:
    """How bright the eyes' surroundings are beside the cheeks: dark lenses are below a half."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = points[1] - points[0], points[3:].mean(0) - points[:2].mean(0)
    cheeks = [points[0] + 0.5 * down - 0.05 * across, points[1] + 0.5 * down + 0.05 * across]
    return float(_level(grey, points[:2], across) / max(_level(grey, cheeks, across), 1.0))


def _level(grey: NDArray[np.float32], places: object, across: Points) -> float:
    reach = int(np.linalg.norm(across) * 0.2)
    values = []
    for x, y in np.asarray(places):
        top, left = max(0, int(y) - reach), max(0, int(x) - reach)
        part = grey[top : int(y) + reach, left : int(x) + reach]
        if part.size:
            values.append(float(np.median(part)))
    return float(np.mean(values)) if values else 0.0
