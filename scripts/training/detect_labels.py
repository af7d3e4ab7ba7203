"""Faces of the scene photos as several passes of YuNet agree on them, cached once.

    python -m scripts.training.detect_labels

A face counts when at least two of four passes (the n and s nets, native size and enlarged) see it; what only one
sees is neither a face nor background and is ignored in training. Exact points come from the landmark teachers.

Detectors take many animals for people, so ImageNet's synset numbers have a say: what they see in a picture of a
mammal is background, in other pictures of animals it is ignored; elsewhere a large face must also convince the mesh.
"""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scripts.training import runs, teachers
from scripts.training.corpus import Corpus, Image, split
from scripts.training.landmarks_consensus import Maps, consensus, five_of
from scripts.training.landmarks_labels import VIEWS
from scripts.training.landmarks_teachers import FaceBox, LandmarkTeachers
from scripts.training.teachers import Floats, YuNet

SURE, DOUBTFUL = 0.6, 0.3
SAME = 0.45  # boxes of one face overlap by at least this (IoU)
EXACT = 28.0  # pixels: smaller faces keep YuNet's points
FILE = "scenes.json"
SYNSET = re.compile(r"n(\d{8})_")
MAMMALS = range(2_085_620, 2_510_456)  # from the first dog to the last panda
THINGS = 2_666_196  # the first synset that is no animal
CONVINCING = 3.0  # logit of the mesh


class YuNetSmall(YuNet):
    """The s net: the same outputs, other weights."""

    def __init__(self, threshold: float, nms: float = 0.4, side: int = 320) -> None:
        super().__init__(threshold, nms, side)
        self._session = teachers.session("yunet/yunet_s_dynamic.onnx")


def iou(one: Floats, many: Floats) -> Floats:
    low, high = np.maximum(one[:2], many[:, :2]), np.minimum(one[2:4], many[:, 2:4])
    inter = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(many[:, 2:4] - many[:, :2], axis=1) + np.prod(one[2:4] - one[:2])
    return np.asarray(inter / (area - inter + 1e-6), np.float32)


def passes(pixels: Image, sides: tuple[int, ...]) -> list[Floats]:
    return [kind(DOUBTFUL, 0.4, side)(pixels) for side in sides for kind in (YuNet, YuNetSmall)]


def agreed(found: list[Floats]) -> tuple[list[Floats], list[Floats]]:
    """Rows that two passes share (mean of the best members, highest score), and boxes that only one pass saw."""
    rows = np.concatenate(found)
    owner = np.repeat(np.arange(len(found)), [len(part) for part in found])
    order = np.argsort(-rows[:, 4]) if len(rows) else np.array([], int)
    faces, doubtful, used = [], [], np.zeros(len(rows), bool)
    for i in order:
        if used[i]:
            continue
        group = (iou(rows[i], rows) > SAME) & ~used
        used |= group
        sure = group & (rows[:, 4] >= SURE)
        if len(set(owner[group])) >= 2 and sure.any():
            mean = rows[sure].mean(0)
            mean[4] = rows[i, 4]
            faces.append(mean)
        else:
            doubtful.append(rows[i, :4])
    return faces, doubtful


@dataclass
class FivePoints:
    """The five points from the landmark teachers' consensus: middles of the eyes, nose tip, corners of the mouth."""

    maps: Maps
    teachers: LandmarkTeachers

    def __call__(self, pixels: Image, face: FaceBox) -> tuple[Floats, float]:
        """Points in the picture's pixels, and how far the teachers are apart as a share of the box."""
        views = [self.teachers(pixels, face, turn, zoom) for turn, zoom in VIEWS]
        p68, p98, mesh = (np.mean([view[key] for view in views], axis=0)[:, :2] for key in ("p68", "p98", "p478"))
        answers = np.stack([self.maps.from68 @ p68, p98, self.maps.from478 @ mesh])[:, None]
        points, spread = consensus(np.asarray(answers, np.float32), np.array([face.side], np.float32))
        return five_of(points[0]), float(np.median(spread))


def verdict(name: str, face: FaceBox, presence: float) -> str:
    """face, ignore or background, for what the detectors agree on."""
    match = SYNSET.search(name)
    if match is None or presence > 4.5:
        return "face"
    synset = int(match[1])
    if synset in MAMMALS:
        return "background" if face.side > EXACT else "ignore"
    if synset < THINGS:
        return "face" if presence > CONVINCING else "ignore"
    sure = presence > -4 if face.side > EXACT else face.score > 0.7
    return "face" if sure else "ignore"


def describe(name: str, pixels: Image, sides: tuple[int, ...], exact: FivePoints) -> dict[str, Any]:
    faces, doubtful = agreed(passes(pixels, sides))
    entries, decoys = [], []
    for row in faces:
        face = FaceBox.from_row(row)
        kind = verdict(name, face, exact.teachers.presence(pixels, face))
        if kind == "ignore":
            doubtful.append(row[:4])
        if kind == "background":
            decoys.append(row[:4])
        if kind != "face":
            continue
        points, precise = face.points, False
        if face.side >= EXACT:
            refined, spread = exact(pixels, face)
            if spread < 0.05:
                points, precise = refined, True
        entries.append({"box": row[:4].tolist(), "score": float(row[4]), "points": points.tolist(), "exact": precise})
    if (match := SYNSET.search(name)) and int(match[1]) in MAMMALS:
        decoys += [box for box in doubtful if (box[2:] - box[:2]).max() > EXACT]
        doubtful = [box for box in doubtful if (box[2:] - box[:2]).max() <= EXACT]
    boxes = {"doubtful": doubtful, "decoys": decoys}
    return {"faces": entries} | {name: [box.tolist() for box in some] for name, some in boxes.items()}


def load(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(f"no {path}: run scripts.training.detect_labels first")
    labels: dict[str, Any] = json.loads(path.read_text())
    return labels


def make(work: Path, corpus: Corpus, log: logging.Logger) -> None:
    """Label all scenes."""
    exact = FivePoints(Maps.load(), LandmarkTeachers())
    labels: dict[str, Any] = {}
    for name in corpus.scenes():
        pixels = corpus.scene(name)
        longest = max(pixels.shape[:2])
        labels[name] = {"part": split(name), **describe(name, pixels, (longest, 2 * longest), exact)}
    work.mkdir(parents=True, exist_ok=True)
    (work / FILE).write_text(json.dumps(labels))
    counts = [len(entry["faces"]) for entry in labels.values()]
    log.info("%d scenes, %d show faces, %d faces", len(counts), np.count_nonzero(counts), sum(counts))


def main() -> None:
    args = runs.arguments("Label the scenes for the detector.", "detect").parse_args()
    log = runs.start(args)
    make(args.work, Corpus(args.corpus), log)


if __name__ == "__main__":
    main()
