"""Embedder: named people of five sets that nobody trained on, and every group and age of FairFace crops left out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.training import embed_pairs, packtoml
from scripts.training.corpus import Corpus
from scripts.training.embed_export import NAMED, Packed, named_pairs, thresholds
from scripts.training.embed_pairs import Pairs
from scripts.training.evaluate import Row
from scripts.training.teachers import MobileFaceNet

Floats = NDArray[np.float32]
GROUPS = {"group": "race", "age": "age"}


def measure(corpus: Corpus, pack: Path) -> Iterator[Row]:
    """The rows of the card. The teacher is MobileFaceNet, averaged over the mirrored face and calibrated as ours is."""
    table = packtoml.read(pack)["roles"]["embed"]
    ours, teacher = Packed(pack / table["file"], table["flip"]), MobileFaceNet(flip=True)
    mine = {source: named_pairs(ours, corpus, source) for source in NAMED}
    other = {source: named_pairs(teacher, corpus, source) for source in NAMED}
    shipped = {float(far): float(cosine) for far, cosine in table["calibration"]["far"]}[1e-4]
    limits = shipped, thresholds(other)[1e-4]
    for source in NAMED:
        yield from _identity_rows(source, mine[source], other[source], *limits)
    yield from _group_rows(corpus, ours, teacher, limits)


def _identity_rows(source: str, mine: Pairs, other: Pairs, shipped: float, theirs: float) -> Iterator[Row]:
    of = f"{len(mine.genuine):,} genuine, {len(mine.impostor):,} impostor pairs"
    yield Row(f"{source}: accuracy", mine.accuracy(), other.accuracy(), of)
    yield Row(f"{source}: AUC", mine.auc(), other.auc())
    # A false accept rate needs at least a hundred impostor pairs behind it.
    for far in (far for far in (1e-3, 1e-4, 1e-5) if far * len(mine.impostor) >= 30):
        yield Row(f"{source}: TAR at FAR {far:.0e}", mine.tar(far), other.tar(far))
    yield Row(f"{source}: TAR at score 80", mine.above(mine.genuine, shipped), other.above(other.genuine, theirs))
    yield Row(f"{source}: FAR at score 80", mine.above(mine.impostor, shipped), other.above(other.impostor, theirs))


def _group_rows(corpus: Corpus, ours: Packed, teacher: MobileFaceNet, limits: tuple[float, float]) -> Iterator[Row]:
    crops = corpus.select("fairface", parts=("test",))
    faces = embed_pairs.faces(corpus, crops)
    mine, other = ours(faces), teacher(faces)
    likeness = (mine * other).sum(1)
    yield Row("fairface left out: cosine to the teacher", float(likeness.mean()), "", f"{len(crops):,} crops")
    for name, label in GROUPS.items():
        values = np.array([crop.labels[label] for crop in crops])
        for value in sorted(set(values.tolist()), key=_order):
            members = values == value
            yield Row(
                f"{name} {value}: cosine to the teacher", float(likeness[members].mean()), "", f"{members.sum()} crops"
            )
            fars = [_far(v[members], limit) for v, limit in zip((mine, other), limits, strict=True)]
            yield Row(f"{name} {value}: FAR at score 80", fars[0], fars[1])


def _order(value: str) -> tuple[int, str]:
    """Ages by number, groups by name."""
    digits = value.partition("-")[0].rstrip("+")
    return (int(digits) if digits.isdigit() else 0, value)


def _far(vectors: Floats, threshold: float) -> float:
    """Share of pairs above the threshold; FairFace names nobody, so the few pictures of one person count too."""
    cosines = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]
    return float((cosines >= threshold).mean())
