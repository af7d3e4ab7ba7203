"""Liveness on people and kinds left out, beside the average of the MiniFASNet pair, both read at the same refusals."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray

from scripts.training import packtoml
from scripts.training.corpus import Corpus, Crop, Image, decode
from scripts.training.evaluate import Row
from scripts.training.livefaces import TIGHT, Faces, MiniFASNet, box_of
from scripts.training.livescale import HELD, Student, padded
from scripts.training.metrics import auc
from scripts.training.replays import KINDS, LEFT_OUT, Box, attack
from scripts.training.teachers import YuNet

Floats = NDArray[np.float32]
PER_KIND, REAL = 120, 1500
LEVELS = (("LOW", 0.05), ("NORMAL", 0.3), ("HIGH", 0.9))


class Judges:
    """Our calibrated score and the teacher pair's mean probability, of the same pictures."""

    def __init__(self, pack: Path) -> None:
        self._student, self._teacher = Student(pack), MiniFASNet()
        scale = packtoml.read(pack)["roles"]["liveness"]["calibration"]
        self._raw, self._score = scale["raw"], scale["score"]

    def __call__(self, pictures: Iterable[tuple[Image, Box]]) -> tuple[Floats, Floats]:
        ours, theirs = [], []
        for pixels, box in pictures:
            ours.append(np.interp(self._student(pixels, box), self._raw, self._score))
            theirs.append((1 / (1 + np.exp(-self._teacher(pixels, box)))).mean())
        return np.array(ours, np.float32), np.array(theirs, np.float32)


def measure(corpus: Corpus, pack: Path) -> Iterator[Row]:
    judges = Judges(pack)
    faces = Faces(corpus, HELD, ())
    crops = [c for c in corpus.select(*TIGHT, parts=HELD) if not padded(corpus.pixels(c))]
    chosen = default_rng(31).permutation(len(crops))[:REAL]
    tight = judges((corpus.pixels(crops[i]), box_of(crops[i])) for i in chosen)
    shown = [faces.framed(i, default_rng(i)) for i in range(len(faces.peopled))]
    wild = judges((s.pixels, s.box) for s in shown)
    real = tuple(np.concatenate(pair) for pair in zip(tight, wild, strict=True))
    for name, level in LEVELS:
        refused = (float((r < level).mean()) for r in real)
        yield Row.pair(f"real faces refused at {name} ({level})", refused, f"{len(real[0])}")
    # The teacher's own scale refuses far more; from here on both are read where they refuse one real face in 100.
    cuts = tuple(float(np.quantile(r, 0.01)) for r in real)
    for kind in (*KINDS, *LEFT_OUT):
        fakes = judges(_attacks(faces, kind))
        name = f"{kind}{' (kind left out)' if kind in LEFT_OUT else ''}"
        yield Row.pair(f"{name}: AUC", (auc(r, f) for r, f in zip(real, fakes, strict=True)), f"{PER_KIND}")
        yield Row.pair(f"{name}: caught at 1 % of real refused", _caught(fakes, cuts))
    yield from _webcam(corpus, judges)
    yield from _groups(crops, chosen, tight)
    yield from _photos(judges)


def _attacks(faces: Faces, kind: str) -> Iterator[tuple[Image, Box]]:
    for number in range(PER_KIND):
        rng = default_rng((41, number))
        made = attack(faces.any(rng), kind, faces.scene(rng), rng)
        yield made.pixels, made.box


def _caught(fakes: tuple[Floats, ...], cuts: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float((f < cut).mean()) for f, cut in zip(fakes, cuts, strict=True))


def _webcam(corpus: Corpus, judges: Judges) -> Iterator[Row]:
    """NUAA: three people left out, photographs held before an old webcam."""
    crops = corpus.select("nuaa", parts=HELD)
    scores = judges((corpus.pixels(crop), box_of(crop)) for crop in crops)
    live = np.array([crop.labels["live"] == "live" for crop in crops])
    yield Row.pair(
        "NUAA people left out: AUC",
        (auc(s[live], s[~live]) for s in scores),
        f"{live.sum()} live, {(~live).sum()} fake",
    )
    yield Row.pair("NUAA: fakes under 0.3", (float((s[~live] < 0.3).mean()) for s in scores))
    yield Row.pair("NUAA: live faces under 0.3", (float((s[live] < 0.3).mean()) for s in scores))


def _groups(crops: list[Crop], chosen: NDArray[np.integer], scores: tuple[Floats, Floats]) -> Iterator[Row]:
    groups = np.array([crops[i].labels["race"] for i in chosen])
    for group in sorted(set(groups.tolist())):
        members = groups == group
        low = (float((s[members] < 0.3).mean()) for s in scores)
        yield Row.pair(f"{group}: real faces under 0.3", low, f"{members.sum()}")


def _photos(judges: Judges) -> Iterator[Row]:
    """Real attack photographs and ordinary ones, where a folder of photographs is there; never trained on."""
    folder = Path(os.environ.get("FACE_PHOTOS") or packtoml.PACK.parents[2] / "shared" / "photos")
    if not folder.is_dir():
        return
    detector = YuNet()
    for name in ("spoof_screen_1.jpg", "spoof_screen_2.jpg", "spoof_monitor.jpg", "live_T1.jpg"):
        yield Row.pair(name, (float(s[0]) for s in judges([_largest(folder / name, detector)])))
    ordinary = [_largest(path, detector) for path in sorted(folder.glob("id_*"))]
    passed = (float((s >= 0.3).mean()) for s in judges(ordinary))
    yield Row.pair("ordinary photographs: share at or above 0.3", passed, f"{len(ordinary)}")


def _largest(path: Path, detector: YuNet) -> tuple[Image, Box]:
    pixels = decode(path.read_bytes())
    rows = detector(pixels)
    return pixels, rows[np.argmax(rows[:, 2] - rows[:, 0]), :4]
