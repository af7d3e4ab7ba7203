"""Parsing and occlusion on FairFace faces left out, under occluders of the trained kinds and of kinds left out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from scripts.training import face_parts, packtoml
from scripts.training.corpus import Corpus
from scripts.training.evaluate import Row
from scripts.training.face_parts import LABELS, PARTS, UNKNOWN
from scripts.training.occluders import KINDS, LEFT_OUT, Kind
from scripts.training.parsing import Maker, some_scenes
from scripts.training.teachers import session

FACES = 300
Floats = NDArray[np.float32]


class Held:
    """Painted faces of people who were not trained on, made once per process."""

    def __init__(self, corpus: Corpus) -> None:
        crops = [c for c in corpus.select("fairface", parts=("valid", "test")) if face_parts.is_wide(c)][:FACES]
        self.data = face_parts.painted_faces(corpus, crops)
        self.groups = np.array([crop.labels["race"] for crop in crops])
        self.scenes = some_scenes(corpus, 60)

    def views(self, kinds: tuple[Kind, ...]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Floats]:
        make = Maker(self.data, self.scenes, kinds)
        made = [make(row, default_rng((51, row)), False) for row in range(len(self.groups))]
        pixels, classes, shares = (np.stack(column) for column in zip(*made, strict=True))
        return pixels, classes, shares


def _answers(pack: Path, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], Floats]:
    network = session((pack / packtoml.read(pack)["roles"]["parsing"]["file"]).resolve())
    maps, covered = [], []
    for image in pixels:
        classes, shares = network.run(["classes", "occlusion"], {"image": image[None]})
        maps.append(classes[0].argmax(0).astype(np.uint8))
        covered.append(shares[0])
    return np.stack(maps), np.stack(covered)


def parsing(corpus: Corpus, pack: Path) -> Iterator[Row]:
    """Intersection over union with the teachers' painting, over all faces together."""
    held = Held(corpus)
    for name, kinds in (("trained kinds", KINDS), ("kinds left out", LEFT_OUT)):
        pixels, wanted, _ = held.views(kinds)
        got, _ = _answers(pack, pixels)
        of = f"{len(pixels)} faces, disguises and occluders of {name}"
        yield Row(f"mean IoU, {name}", float(np.mean(_overlaps(wanted, got))), "", of)
        if kinds is KINDS:
            for label, value in zip(LABELS, _overlaps(wanted, got), strict=True):
                yield Row(f"{label}: IoU", value)
            for group in sorted(set(held.groups.tolist())):
                members = held.groups == group
                score = float(np.mean(_overlaps(wanted[members], got[members])))
                yield Row(f"{group}: mean IoU", score, "", f"{members.sum()}")


def _overlaps(wanted: NDArray[np.uint8], got: NDArray[np.uint8]) -> list[float]:
    known = wanted != UNKNOWN
    shares = []
    for place in range(len(LABELS)):
        ours, theirs = (got == place) & known, (wanted == place) & known
        shares.append(float((ours & theirs).sum() / max((ours | theirs).sum(), 1)))
    return shares


def occlusion(corpus: Corpus, pack: Path) -> Iterator[Row]:
    """Mean distance of the covered shares, and whether more than half of a part is covered."""
    held = Held(corpus)
    for name, kinds in (("trained kinds", KINDS), ("kinds left out", LEFT_OUT)):
        pixels, _, wanted = held.views(kinds)
        _, got = _answers(pack, pixels)
        known = ~np.isnan(wanted)
        error = np.abs(got - wanted)
        yield Row(f"mean error, {name}", float(error[known].mean()), "", f"{len(pixels)} faces")
        half = (wanted[known] > 0.5) == (got[known] > 0.5)
        yield Row(f"more than half covered: accuracy, {name}", float(half.mean()))
        if kinds is LEFT_OUT:
            for place, part in enumerate(PARTS):
                yield Row(f"{part}: mean error, {name}", float(np.nanmean(error[:, place])))
            for group in sorted(set(held.groups.tolist())):
                members = held.groups == group
                yield Row(f"{group}: mean error, {name}", float(np.nanmean(error[members])), "", f"{members.sum()}")
