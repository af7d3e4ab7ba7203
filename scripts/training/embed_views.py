"""Views for the embedder: FairFace crops, disturbed and mixed, each with the teacher's answer to exactly that picture.

`python -m scripts.training.embed_views` adds shards to WORK/views until there are --count views. Faces that only mix
two people are meant: the teacher's function is learned, not names.
"""

import argparse
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.training import align, runs
from scripts.training.corpus import Corpus, Crop, Image, decode, encode_jpeg
from scripts.training.teachers import MobileFaceNet

SHARD, COUNT = 2048, 278_528
STORED_QUALITY = 95
# Centres (x, y) and half axes, in template pixels, of what one face may lend another.
REGIONS = {
    "eyes": (56, 50, 38, 16),
    "left_eye": (38, 52, 16, 12),
    "right_eye": (74, 52, 16, 12),
    "nose": (56, 68, 15, 18),
    "mouth": (56, 92, 24, 14),
    "inner": (56, 70, 34, 40),
}
Floats = NDArray[np.float32]


def balanced(crops: list[Crop]) -> NDArray[np.float64]:
    """Chances that make every group of FairFace equally likely and its rare ages less rare."""
    groups = Counter(crop.labels["race"] for crop in crops)
    ages = Counter((crop.labels["race"], crop.labels["age"]) for crop in crops)
    weights = np.array(
        [
            (ages[crop.labels["race"], crop.labels["age"]] / groups[crop.labels["race"]]) ** -0.4
            / groups[crop.labels["race"]]
            for crop in crops
        ]
    )
    return np.asarray(weights / weights.sum(), np.float64)


def place(pixels: Image, crop: Crop, rng: Generator) -> Floats:
    """The aligned face, as badly aligned as real detectors leave it."""
    if crop.points is None:
        raise ValueError(f"{crop.file} has no points to align by")
    matrix = align.similarity(crop.points, align.TEMPLATE)
    angle, centre = np.deg2rad(rng.normal(0, 4)), np.array([56.0, 66.0])
    # Some pictures on the web were squeezed into another shape.
    squeezed = rng.normal(0, 0.12 if rng.random() < 0.15 else 0.015)
    stretch = np.exp(rng.normal(0, 0.03) + np.array([1, -1]) * squeezed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * stretch
    shift = centre - turn @ centre + rng.normal(0, 1.5, 2)
    matrix = turn @ matrix + np.hstack([np.zeros((2, 2)), shift[:, None]])
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    face = cv2.warpAffine(pixels, matrix, (align.SIZE, align.SIZE), flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(face[:, ::-1] if rng.random() < 0.5 else face, np.float32)


def mix(one: Floats, two: Floats, rng: Generator) -> Floats:
    """A person who does not exist: a blend, two halves, or some features of the other."""
    size = align.SIZE
    kind = rng.random()
    if kind < 0.4:
        mask = np.full((size, size), rng.uniform(0.2, 0.8), np.float32)
    elif kind < 0.6:
        cut = rng.uniform(0.35, 0.65) * size
        mask = np.zeros((size, size), np.float32)
        if rng.random() < 0.5:
            mask[int(cut) :] = 1
        else:
            mask[:, int(cut) :] = 1
    else:
        mask = np.zeros((size, size), np.float32)
        for name in rng.choice(list(REGIONS), rng.integers(1, 4), replace=False):
            x, y, width, height = REGIONS[name]
            cv2.ellipse(mask, (x, y), (width, height), 0, 0, 360, 1.0, -1)
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(1.5, 6))[:, :, None]
    return np.asarray(one + (two - one) * soft, np.float32)


def light(face: Floats, rng: Generator) -> Floats:
    """Contrast, brightness, gamma, colour, a light ramp, grey: FairFace is darker and duller than press photographs."""
    mean = face.mean()
    face = (face - mean) * np.exp(rng.normal(0.06, 0.2)) + mean + rng.normal(14, 18)
    face *= np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    if rng.random() < 0.3:
        slope = rng.normal(0, 0.35, 2) / align.SIZE
        y, x = np.mgrid[: align.SIZE, : align.SIZE].astype(np.float32) - align.SIZE / 2
        face *= (1 + slope[0] * x + slope[1] * y).clip(0.3, 1.8)[:, :, None]
    face = face.clip(0, 255)
    if rng.random() < 0.4:
        face = 255 * (face / 255) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.12:
        face = np.repeat(np.dot(face, np.array([[0.299], [0.587], [0.114]], np.float32)), 3, 2)
    return np.asarray(face, np.float32)


def degrade(face: Floats, rng: Generator) -> Image:
    """Blur, low resolution, sharpening, noise, covering boxes, JPEG."""
    if rng.random() < 0.2:
        face = cv2.GaussianBlur(face, (0, 0), rng.uniform(0.4, 1.8)).astype(np.float32)
    if rng.random() < 0.2:
        side = int(rng.uniform(28, 90))
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        face = cv2.resize(small, (align.SIZE, align.SIZE), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    if rng.random() < 0.25:
        soft = cv2.GaussianBlur(face, (0, 0), rng.uniform(0.8, 2))
        face = np.asarray(face + (face - soft) * rng.uniform(0.3, 1.3), np.float32).clip(0, 255)
    if rng.random() < 0.2:
        face = face + rng.standard_normal(face.shape, np.float32) * np.float32(rng.uniform(2, 14))
    if rng.random() < 0.15:
        height, width = rng.integers(10, 50, 2)
        top, left = rng.integers(0, align.SIZE - height), rng.integers(0, align.SIZE - width)
        face[top : top + height, left : left + width] = rng.uniform(0, 255, 3)
    pixels = np.asarray(face.clip(0, 255), np.uint8)
    return decode(encode_jpeg(pixels, int(rng.integers(20, 76)))) if rng.random() < 0.25 else pixels


class Maker:
    """Draws views without end."""

    def __init__(self, corpus: Corpus, seed: int, mixed: float) -> None:
        self._corpus, self._mixed = corpus, mixed
        self._rng = np.random.default_rng(seed)
        self._crops = corpus.select("fairface", parts=("train", "valid"))
        self._chances = balanced(self._crops)
        self._teacher = MobileFaceNet()

    def shard(self, count: int) -> dict[str, NDArray[np.generic]]:
        """`count` views as JPEG bytes laid end to end, where each ends, and the teacher's answers."""
        pairs = self._rng.choice(len(self._crops), (count, 2), p=self._chances)
        # Stored compressed, so the teacher looks at what the compression left.
        files = [encode_jpeg(self._view(self._crops[a], self._crops[b]), STORED_QUALITY) for a, b in pairs]
        answers = np.concatenate([self._teacher(decode(file)[None]) for file in files])
        ends = np.cumsum([len(file) for file in files])
        return {"data": np.frombuffer(b"".join(files), np.uint8), "ends": ends, "answers": answers.astype(np.float16)}

    def _view(self, one: Crop, two: Crop) -> Image:
        face = place(self._corpus.pixels(one), one, self._rng)
        if self._rng.random() < self._mixed:
            face = mix(face, place(self._corpus.pixels(two), two, self._rng), self._rng)
        return degrade(light(face, self._rng), self._rng)


def shards(folder: Path) -> list[Path]:
    """The finished shards of all makers."""
    return sorted(folder.glob("*.npz"))


class Stored:
    """Finished views, in the order they were made: those of one process out of `world`, which share the shards."""

    def __init__(self, folder: Path, rank: int = 0, world: int = 1, most: int | None = None) -> None:
        self._data, self._places, answers = [], [], []
        for path in shards(folder)[rank::world][:most]:
            with np.load(path) as shard:
                self._data.append(shard["data"])
                ends = [0, *shard["ends"].tolist()]
                answers.append(shard["answers"].astype(np.float32))
            self._places += [(len(self._data) - 1, *place) for place in pairwise(ends)]
        self.answers = np.concatenate(answers)

    def __len__(self) -> int:
        return len(self._places)

    def pixels(self, number: int) -> Image:
        shard, start, end = self._places[number]
        return decode(self._data[shard][start:end].tobytes())


def make(args: argparse.Namespace) -> None:
    """Add shards until there are enough."""
    log = runs.start(args)
    cv2.setNumThreads(args.threads)
    folder = args.work / "views"
    folder.mkdir(exist_ok=True)
    corpus = Corpus(args.corpus)
    while len(shards(folder)) * SHARD < args.count:
        number = len(list(folder.glob(f"{args.seed}-*.npz")))
        busy = time.process_time()
        # The seed of a shard comes from the run's and its number: a run that was stopped goes on as if it had not been,
        # and runs of several seeds work side by side.
        content = Maker(corpus, args.seed * 1_000_003 + number, args.mixed).shard(SHARD)
        fresh = folder / f"{args.seed}-{number:05d}.new"
        with fresh.open("wb") as handle:
            np.savez(handle, allow_pickle=False, **content)
        fresh.replace(fresh.with_suffix(".npz"))
        busy = time.process_time() - busy
        log.info("views %d, %.1f ms each", (number + 1) * SHARD, busy / SHARD * 1000)


def main() -> None:
    parser = runs.arguments(__doc__ or "", "embed")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--mixed", type=float, default=0.4, help="share of views that mix two faces")
    make(parser.parse_args())


if __name__ == "__main__":
    main()
