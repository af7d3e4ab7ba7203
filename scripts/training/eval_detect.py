"""Detector: photos with counted faces and scenes left out, beside YuNet, both as the server uses them.

The photos lie in FACE_PHOTOS (default: beside the checkout) with photos.csv naming the number of faces in each.
Where the faces are, several teachers say: YuNet's two nets and SCRFD (used here only, never for training).
"""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from face_server.vision.adapters import make
from face_server.vision.detection import Finder
from face_server.vision.view import Faces
from scripts.training import detect_labels, packtoml, teachers
from scripts.training.corpus import Corpus, Image, split
from scripts.training.detect_labels import FivePoints, agreed, iou
from scripts.training.evaluate import Row
from scripts.training.landmarks_consensus import Maps
from scripts.training.landmarks_teachers import FaceBox, LandmarkTeachers
from scripts.training.teachers import Floats

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "photos"
FALSE_PER_PICTURE = 1 / 20
LOWEST = 0.05  # below it nothing is looked at
SAME = 0.35  # a loose overlap: families draw the chin and forehead differently
CROWD = 10**6
PRECISE = 40.0  # pixels: faces whose points are compared


class Net:
    """An ONNX file as the server's adapters see it."""

    def __init__(self, path: Path) -> None:
        self._session = teachers.session(path.resolve())
        self.inputs = {entry.name: entry.shape for entry in self._session.get_inputs()}
        self.outputs = [entry.name for entry in self._session.get_outputs()]

    def run(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self.outputs, self._session.run(None, batch), strict=True))


def finder(adapter: str, path: Path, **parameters: Any) -> Finder:
    """As the server looks; unless told otherwise with every finding, however doubtful, and no second look at it."""
    return Finder(make(adapter, [Net(path)], {"threshold": LOWEST, "doubt": 0.0, **parameters}))


@dataclass(frozen=True)
class Truth:
    """Boxes that teachers agree on, how many faces there may be, and whatever else any teacher held possible."""

    name: str
    pixels: Image
    faces: list[Floats]
    most: int
    doubtful: list[Floats]

    def judge(self, found: Faces) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """For each finding: is it a face; for each true face: the score that found it (0 = nobody)."""
        hit, scores = np.zeros(len(found), bool), np.zeros(len(self.faces))
        for i, face in enumerate(self.faces):
            near = iou(face, found.boxes) > SAME if len(found) else np.zeros(0, bool)
            hit |= near
            scores[i] = found.scores[near].max(initial=0.0)
        spare = max(0, self.most - len(self.faces))  # people whom the teachers do not agree on
        for box in self.doubtful:
            near = (iou(box, found.boxes) > SAME) & ~hit if len(found) else np.zeros(0, bool)
            if spare and near.any():
                hit |= near
                spare -= 1
        return hit, scores


def photos() -> list[Truth]:
    folder = Path(os.environ.get("FACE_PHOTOS") or PHOTOS)
    truths = []
    if not (folder / "photos.csv").exists():
        return []
    scrfd = finder("scrfd", teachers.folder() / "scrfd/scrfd_2.5g_bnkps.onnx", sizes=[640])
    with (folder / "photos.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        pixels = cv2.imread(str(folder / row["file"]), cv2.IMREAD_COLOR)
        if pixels is None or not row["faces"] or row["file"].startswith("broken"):
            continue
        rgb = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        longest = max(rgb.shape[:2])
        extra = scrfd.find(rgb, CROWD)
        extra = extra[extra.scores >= detect_labels.DOUBTFUL]
        found = [*detect_labels.passes(rgb, (min(longest, 640), longest)), rows_of(extra)]
        faces, doubtful = agreed(found)
        faces.sort(key=lambda face: -float(face[4]))
        count = int(row["faces"])
        # In a crowd nobody counted the last row: what any teacher sees there is no error.
        most = CROWD if "many" in row["tags"] else count
        truths.append(Truth(row["file"], rgb, faces[:count], most, [*faces[count:], *doubtful]))
    return truths


def rows_of(faces: Faces) -> Floats:
    return np.concatenate([faces.boxes, faces.scores[:, None], faces.points.reshape(-1, 10)], 1).astype(np.float32)


def scenes(corpus: Corpus, exact: FivePoints) -> list[Truth]:
    truths = []
    for name in corpus.scenes():
        if split(name) != "test":
            continue
        pixels = corpus.scene(name)
        longest = max(pixels.shape[:2])
        entry = detect_labels.describe(name, pixels, (longest, 2 * longest), exact)
        faces = [np.array([*face["box"], face["score"]], np.float32) for face in entry["faces"]]
        doubtful = [np.array(box, np.float32) for box in entry["doubtful"]]
        truths.append(Truth(name, pixels, faces, len(faces) + len(doubtful), doubtful))
    return truths


@dataclass(frozen=True)
class Result:
    false: NDArray[np.float64]  # scores of findings that are no faces
    true: NDArray[np.float64]  # per true face the score that found it
    pictures: int

    def threshold(self, rate: float) -> float:
        """The lowest threshold with at most `rate` false faces per picture."""
        allowed = int(rate * self.pictures)
        worst = np.sort(self.false)[::-1]
        return float(worst[allowed]) + 1e-6 if len(worst) > allowed else LOWEST

    def recall(self, threshold: float) -> float:
        return float((self.true >= threshold).mean())

    def false_rate(self, threshold: float) -> float:
        return float((self.false >= threshold).sum() / self.pictures)


def look(found: list[Faces], truths: list[Truth]) -> Result:
    judged = [truth.judge(faces) for truth, faces in zip(truths, found, strict=True)]
    false = [faces.scores[~hit] for faces, (hit, _) in zip(found, judged, strict=True)]
    true = [scores for _, scores in judged]
    return Result(np.concatenate(false), np.concatenate(true), len(truths))


def point_errors(found: list[Faces], truths: list[Truth], exact: FivePoints) -> list[dict[int, float]]:
    """Per picture: true face -> mean distance of the points to the landmark teachers', a share of the box."""
    errors: list[dict[int, float]] = []
    for faces, truth in zip(found, truths, strict=True):
        mine: dict[int, float] = {}
        for i, face in enumerate(truth.faces):
            side = float((face[2:4] - face[:2]).max())
            if side < PRECISE or not len(faces):
                continue
            overlap = iou(face, faces.boxes)
            best = int(overlap.argmax())
            if overlap[best] < SAME:
                continue
            points, spread = exact(truth.pixels, FaceBox(face[:4], faces.points[best], 1.0))
            if spread < 0.03:
                mine[i] = float(np.linalg.norm(faces.points[best] - points, axis=1).mean() / side)
        errors.append(mine)
    return errors


@dataclass(frozen=True)
class Contest:
    """Ours and YuNet: `raw` answers everything with its score, `shipped` what the server would answer."""

    raw: tuple[Finder, Finder]
    shipped: tuple[Finder, Finder]


def contest(table: dict[str, Any], pack: Path) -> Contest:
    ours = {key: table[key] for key in ("nms", "sizes", "crowd") if key in table}
    limits = {key: table[key] for key in ("threshold", "doubt", "sure") if key in table}
    adapter, file, sizes = table["adapter"], pack / table["file"], table["sizes"]
    yunet = teachers.folder() / "yunet/yunet_n_dynamic.onnx"
    raw = finder(adapter, file, **ours), finder("yunet", yunet, sizes=sizes)
    shipped = finder(adapter, file, **ours, **limits), finder("yunet", yunet, sizes=sizes, threshold=0.6, doubt=0.88)
    return Contest(raw, shipped)


def measure(corpus: Corpus, pack: Path) -> Iterator[Row]:
    """The rows of the card; the teacher is YuNet n at its usual threshold."""
    pair = contest(packtoml.read(pack)["roles"]["detect"], pack)
    exact = FivePoints(Maps.load(), LandmarkTeachers())
    for title, truths in (("photos", photos()), ("scenes left out", scenes(corpus, exact))):
        if truths:
            yield from set_rows(title, truths, pair, exact)


def set_rows(title: str, truths: list[Truth], pair: Contest, exact: FivePoints) -> Iterator[Row]:
    found = [[one.find(truth.pixels, CROWD) for truth in truths] for one in pair.raw]
    mine, other = (look(faces, truths) for faces in found)
    of = f"{len(mine.true)} faces in {len(truths)} pictures"
    at = [result.threshold(FALSE_PER_PICTURE) for result in (mine, other)]
    yield Row(f"{title}: recall at one false face per 20 pictures", mine.recall(at[0]), other.recall(at[1]), of)
    yield Row.pair(f"{title}: the threshold for that", at)
    answered = [[one.find(truth.pixels, CROWD) for truth in truths] for one in pair.shipped]
    mine, other = (look(faces, truths) for faces in answered)
    yield Row(f"{title}: recall as the server answers", mine.recall(LOWEST), other.recall(LOWEST))
    rates = mine.false_rate(LOWEST), other.false_rate(LOWEST)
    yield Row(f"{title}: false faces per picture as the server answers", *rates)
    errors = [point_errors(faces, truths, exact) for faces in found]
    both = [(a[i], b[i]) for a, b in zip(*errors, strict=True) for i in a.keys() & b.keys()]
    if both:
        means = [float(mean) * 100 for mean in np.mean(both, axis=0)]
        yield Row.pair(f"{title}: distance of the five points, % of the face", means, f"{len(both)} faces")
    for truth, *faces in zip(truths, *answered, strict=True):
        if title == "photos" and (truth.most == 0 or truth.name.startswith("group")):
            yield Row.pair(f"{truth.name}: faces", (str(len(each)) for each in faces), f"{len(truth.faces)} counted")
