"""Teacher answers for every FairFace crop, cached once: YuNet's box and points, 68, 98 and 478 landmarks.

    python -m scripts.training.landmarks_labels

Each teacher sees two upright views a few degrees and percent apart; their mean takes out part of its noise. Shards of
2000 crops in a fixed random order: an interrupted run goes on where it stopped, and training may begin early.
"""

import logging
import random
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training import runs
from scripts.training.corpus import Corpus, Crop, Image
from scripts.training.landmarks_teachers import FaceBox, LandmarkTeachers
from scripts.training.teachers import YuNet

SHARD = 2000
PAD = 0.25  # YuNet wants some air around a face that fills its crop
VIEWS = ((-5.0, 1.0), (5.0, 1.06))  # degrees, zoom
KEYS = ("p68", "p98", "p478")
Labels = dict[str, NDArray[np.generic]]


def find_face(detector: YuNet, pixels: Image) -> FaceBox | None:
    """The best face near the middle of a crop."""
    pad = round(pixels.shape[0] * PAD)
    padded = np.asarray(cv2.copyMakeBorder(pixels, pad, pad, pad, pad, cv2.BORDER_REFLECT_101), np.uint8)
    middle = padded.shape[0] / 2
    faces = [FaceBox.from_row(row) for row in detector(padded)]
    central = [face for face in faces if abs(face.centre - middle).max() < middle / 2]
    return max(central, key=lambda face: face.score).shifted(-pad) if central else None


def label(corpus: Corpus, crops: list[Crop], detector: YuNet, teachers: LandmarkTeachers) -> Labels:
    """Arrays over the crops that show a face; coordinates as shares of the crop's side (landmarks: minus 0.5)."""
    kept: dict[str, list[object]] = {key: [] for key in ("name", "part", "box", "score", "five", *KEYS)}
    for crop in crops:
        pixels = corpus.pixels(crop)
        face = find_face(detector, pixels)
        if face is None:
            continue
        side = pixels.shape[0]
        answers = [teachers(pixels, face, turn, zoom) for turn, zoom in VIEWS]
        row = {"name": crop.file, "part": crop.part, "box": face.box / side, "score": face.score}
        row["five"] = face.points / side
        for key in KEYS:
            row[key] = (np.mean([answer[key] for answer in answers], axis=0) / side - 0.5).astype(np.float16)
        for key, value in row.items():
            kept[key].append(value)
    return {key: np.array(values) for key, values in kept.items()}


def read(folder: Path) -> Labels:
    """All shards made so far as one set of arrays."""
    shards = [np.load(path) for path in sorted(folder.glob("faces_???.npz"))]
    if not shards:
        raise FileNotFoundError(f"no labels in {folder}: run scripts.training.landmarks_labels first")
    return {key: np.concatenate([shard[key] for shard in shards]) for key in shards[0].files}


def make(work: Path, corpus: Corpus, log: logging.Logger) -> None:
    """All shards that are not there yet."""
    work.mkdir(parents=True, exist_ok=True)
    crops = corpus.select("fairface", aligned=False)
    random.Random(7).shuffle(crops)
    detector, teachers = YuNet(threshold=0.5, side=224), LandmarkTeachers()
    for start in range(0, len(crops), SHARD):
        path = work / f"faces_{start // SHARD:03d}.npz"
        if path.exists():
            continue
        shard = label(corpus, crops[start : start + SHARD], detector, teachers)
        fresh = path.with_suffix(".new.npz")
        np.savez_compressed(fresh, allow_pickle=False, **shard)
        fresh.replace(path)
        log.info("%s: %d of %d crops show a face", path.name, len(shard["name"]), SHARD)


def main() -> None:
    args = runs.arguments("Cache the landmark teachers' answers.", "landmarks").parse_args()
    log = runs.start(args)
    make(args.work, Corpus(args.corpus), log)


if __name__ == "__main__":
    main()
