"""From similarities of known pairs to the score table: 60, 70, 80, 90 are false accept rates of 1e-2 ... 1e-5."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face_server.errors import PictureError
from face_server.model import Task, Want
from face_server.vision import offline
from face_server.vision.packs import Pack, PackError, TooFewPairs

Floats = NDArray[np.float32]

SCORES = {1e-2: 60.0, 1e-3: 70.0, 1e-4: 80.0, 1e-5: 90.0}
REQUIRED = 1e-4
# A rate is measured when at least so many strangers pass; fewer, and it is luck.
_LEAST_PASSES = 10
# Rows compared at a time: bounds memory at 16 MB per 1,000 pictures.
_BLOCK = 2000
# Similarities are counted in steps of 1/20,000: finer than a score's last digit on the wire.
_STEPS = 40_000
_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class Operating:
    """One measured point: strangers pass at `rate` when the threshold is `cosine`, `recall` of true pairs pass."""

    rate: float
    cosine: float
    recall: float

    @property
    def score(self) -> float:
        return SCORES[self.rate]


@dataclass(frozen=True, slots=True)
class Measured:
    genuine: int
    impostor: int
    points: tuple[Operating, ...]

    def table(self) -> dict[str, int | list[float] | list[list[float]]]:
        """As pack.toml holds it: piecewise linear from cosine to 0..100."""
        low = [(-1.0, 0.0), (0.0, 20.0)] if self.points[0].cosine > 0 else [(-1.0, 0.0)]
        measured = [(point.cosine, point.score) for point in self.points]
        knots = [*low, *measured, (1.0, 100.0)]
        return {
            "cosine": [round(cosine, 4) for cosine, _ in knots],
            "score": [score for _, score in knots],
            "far": [[point.rate, round(point.cosine, 4)] for point in self.points],
            "genuine_pairs": self.genuine,
            "impostor_pairs": self.impostor,
        }


class Histogram:
    """Counts of similarities between -1 and 1: millions of pairs in a fixed space."""

    def __init__(self) -> None:
        self._counts = np.zeros(_STEPS + 1, np.int64)

    def add(self, similarities: NDArray[np.floating]) -> None:
        places = np.rint((similarities + 1) * (_STEPS / 2)).astype(np.int64)
        self._counts += np.bincount(places.clip(0, _STEPS), minlength=_STEPS + 1)

    @property
    def total(self) -> int:
        return int(self._counts.sum())

    def threshold(self, rate: float) -> float:
        """The lowest similarity that at most this share reaches."""
        reach = self._counts[::-1].cumsum()[::-1]
        return float(np.argmax(reach <= rate * self.total)) * 2 / _STEPS - 1

    def share_from(self, similarity: float) -> float:
        first = round((similarity + 1) * (_STEPS / 2))
        return float(self._counts[first:].sum()) / max(self.total, 1)


def measure(genuine: Histogram, impostor: Histogram) -> Measured:
    least = round(_LEAST_PASSES / REQUIRED)
    if impostor.total < least or not genuine.total:
        raise TooFewPairs(
            f"{impostor.total:,} pairs of different people and {genuine.total:,} of the same: "
            f"a false accept rate of {REQUIRED:g} needs {least:,} pairs of different people (about "
            f"{int((2 * least) ** 0.5) + 1} pictures, compared each with each) and some of the same"
        )
    points = []
    for rate in SCORES:
        if rate * impostor.total >= _LEAST_PASSES:
            cosine = impostor.threshold(rate)
            points.append(Operating(rate, cosine, genuine.share_from(cosine)))
    return Measured(genuine.total, impostor.total, tuple(points))


def each_with_each(vectors: Floats, people: Sequence[str]) -> tuple[Histogram, Histogram]:
    """Every picture against every other: same person, different people."""
    genuine, impostor = Histogram(), Histogram()
    numbers = np.unique(np.array(people), return_inverse=True)[1]
    for start in range(0, len(vectors), _BLOCK):
        rows = slice(start, start + _BLOCK)
        similarities = vectors[rows] @ vectors.T
        same = numbers[rows, None] == numbers[None]
        later = np.arange(len(vectors))[None] > np.arange(start, start + len(similarities))[:, None]
        genuine.add(similarities[same & later])
        impostor.add(similarities[~same & later])
    return genuine, impostor


def listed(vectors: Mapping[Path, Floats], pairs: Sequence[tuple[Path, Path, bool]]) -> tuple[Histogram, Histogram]:
    """The pairs of a list; a pair with a picture that shows no face is left out."""
    genuine, impostor = Histogram(), Histogram()
    for histogram, wanted in ((genuine, True), (impostor, False)):
        known = [(a, b) for a, b, same in pairs if same is wanted and a in vectors and b in vectors]
        for chunk in _chunks(known):
            left, right = (np.stack([vectors[pair[side]] for pair in chunk]) for side in (0, 1))
            histogram.add((left * right).sum(axis=1))
    return genuine, impostor


def embedder(pack: Pack) -> Callable[[Path], Floats | None]:
    """Picture file -> template of its largest face by the whole way a request takes; None where no face is found."""
    if "embed" not in pack.roles:
        raise PackError(f"{pack.folder}: no embedder to calibrate")
    analyzer = offline.analyzer(pack, only=("detect", "landmarks", "embed"))

    def embed(path: Path) -> Floats | None:
        try:
            faces = analyzer.analyze(path.read_bytes(), Task(Want.EMBEDDING)).faces
        except PictureError:
            return None
        return faces[0].embedding if faces else None

    return embed


def people_in(folder: Path) -> dict[Path, str]:
    """Pictures of a folder that holds one folder per person."""
    return {
        path: person.name
        for person in sorted(folder.iterdir())
        if person.is_dir()
        for path in sorted(person.rglob("*"))
        if path.suffix.lower() in _PICTURES
    }


def pairs_in(path: Path) -> list[tuple[Path, Path, bool]]:
    """Rows of a CSV file without a head: two pictures, seen from the file's folder, and 1 for the same person."""
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.reader(handle) if row]
    wrong = next((number for number, row in enumerate(rows, 1) if len(row) != 3 or row[2].strip() not in "01"), None)
    if wrong:
        raise PackError(f"{path}, row {wrong}: expected two pictures and 0 or 1")
    return [(path.parent / a.strip(), path.parent / b.strip(), same.strip() == "1") for a, b, same in rows]


def _chunks(pairs: Sequence[tuple[Path, Path]]) -> Iterator[Sequence[tuple[Path, Path]]]:
    for start in range(0, len(pairs), _BLOCK):
        yield pairs[start : start + _BLOCK]
