"""Landmarks: distance to the teachers' consensus on FairFace people left out, beside the teachers' own disagreement."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.training import packtoml
from scripts.training.corpus import Corpus, Crop
from scripts.training.evaluate import Row
from scripts.training.landmarks_consensus import Maps, angles, box_side, consensus, rotations
from scripts.training.landmarks_labels import Labels, label
from scripts.training.landmarks_teachers import FaceBox, LandmarkTeachers, apply, inverse, upright
from scripts.training.teachers import Floats, YuNet, session

CROPS = 1500
CLEAR = 0.06  # median disagreement above which nobody knows where the points are
YAWS = ((0, 15), (15, 30), (30, 45), (45, 90))
PARTS = {"contour": slice(0, 33), "brows": slice(33, 51), "nose": slice(51, 60), "eyes": slice(60, 76)}
PARTS |= {"mouth": slice(76, 96), "pupils": slice(96, 98)}
TURN = 25.0  # degrees of the crops that the detector's points turned badly


class Ours:
    """The pack's network on the crop the server makes."""

    def __init__(self, path: Path, scale: float) -> None:
        self._session, self._scale = session(path.resolve()), scale
        self.size = int(self._session.get_inputs()[0].shape[1])

    def __call__(self, pixels: NDArray[np.uint8], face: FaceBox, turn: float = 0.0) -> tuple[Floats, Floats]:
        """Points in the picture's pixels, and yaw, pitch, roll in the picture."""
        matrix = upright(face, self._scale, self.size, turn)
        crop = cv2.warpAffine(pixels, matrix, (self.size, self.size))
        points, pose = self._session.run(None, {"image": crop[None]})
        turned = np.asarray(pose[0] + [0, 0, face.roll + turn], np.float32)
        return apply(inverse(matrix), points[0] * self.size), turned


@dataclass(frozen=True)
class Answers:
    """All arrays over crops; points as shares of the crop minus 0.5."""

    labels: Labels
    teachers: Floats  # [3,N,98,2]
    consensus: Floats
    side: Floats
    clear: NDArray[np.bool_]
    ours: Floats
    turned: Floats
    pose: Floats

    def distance(self, points: Floats) -> Floats:
        """[N,98] distance to the consensus as a share of the detector's box."""
        return np.asarray(np.linalg.norm(points - self.consensus, axis=-1) / self.side[:, None], np.float32)

    def between_teachers(self) -> Floats:
        pairs = [np.linalg.norm(a - b, axis=-1) for a, b in combinations(self.teachers, 2)]
        return np.asarray(np.mean(pairs, axis=0) / self.side[:, None], np.float32)


def collect(corpus: Corpus, crops: list[Crop], ours: Ours) -> Answers:
    labels = label(corpus, crops, YuNet(threshold=0.5, side=224), LandmarkTeachers())
    side, answers = box_side(labels), Maps.load().answers(labels)
    points, spread = consensus(answers, side)
    by_name = {crop.file: crop for crop in crops}
    straight, turned, poses = [], [], []
    for name, box, five in zip(labels["name"], labels["box"], labels["five"], strict=True):
        pixels = corpus.pixels(by_name[str(name)])
        size = pixels.shape[0]
        face = FaceBox(np.asarray(box, np.float32) * size, np.asarray(five, np.float32) * size, 1.0)
        found, pose = ours(pixels, face)
        straight.append(found / size - 0.5)
        poses.append(pose)
        turned.append(ours(pixels, face, TURN)[0] / size - 0.5)
    clear = np.median(spread, axis=1) < CLEAR
    return Answers(labels, answers, points, side, clear, np.stack(straight), np.stack(turned), np.stack(poses))


def opening(points: Floats, upper: list[int], lower: list[int], corners: list[int]) -> Floats:
    """Height over width: of an eye or of the mouth."""
    height = np.linalg.norm(points[:, upper] - points[:, lower], axis=-1).mean(1)
    width = np.linalg.norm(points[:, corners[0]] - points[:, corners[1]], axis=-1)
    return np.asarray(height / np.maximum(width, 1e-4), np.float32)


OPENINGS = {
    "eye at image left": ([61, 62, 63], [67, 66, 65], [60, 64]),
    "eye at image right": ([69, 70, 71], [75, 74, 73], [68, 72]),
    "mouth": ([89, 90, 91], [95, 94, 93], [88, 92]),
}


def measure(corpus: Corpus, pack: Path) -> Iterator[Row]:
    """The rows of the card, in percent of the detector's box; `teacher` is a single teacher's own distance."""
    table = packtoml.read(pack)["roles"]["landmarks"]
    crops = corpus.select("fairface", parts=("test",), aligned=False)[:CROPS]
    all_answers = collect(corpus, crops, Ours(pack / table["file"], float(table["scale"])))
    mesh = angles(rotations(np.asarray(all_answers.labels["p478"], np.float64)))
    keep = all_answers.clear
    ours, turned = (all_answers.distance(points)[keep] * 100 for points in (all_answers.ours, all_answers.turned))
    single = np.mean([all_answers.distance(points)[keep] for points in all_answers.teachers], axis=0) * 100
    pairs = all_answers.between_teachers()[keep] * 100
    of = f"{keep.sum()} faces"
    yield Row("distance to the consensus, % of the box", float(ours.mean()), float(single.mean()), of)
    yield Row("two teachers from each other", "", float(pairs.mean()))
    yield Row(f"crop turned {TURN:.0f} degrees too far", float(turned.mean()))
    yaw = np.abs(mesh[keep, 0])
    for low, high in YAWS:
        rows = (yaw >= low) & (yaw < high)
        yield Row(f"yaw {low} to {high}", float(ours[rows].mean()), float(single[rows].mean()), f"{rows.sum()} faces")
    for part, points in PARTS.items():
        yield Row(part, float(ours[:, points].mean()), float(single[:, points].mean()))
    frontal = keep & (np.abs(mesh[:, 0]) < 30)  # seen from the side the ratio of height and width means little
    for name, groups in OPENINGS.items():
        mine, agreed = (opening(p[frontal], *groups) for p in (all_answers.ours, all_answers.consensus))
        teachers = [opening(p[frontal], *groups) for p in all_answers.teachers]
        others = float(np.mean([_correlation(teacher, agreed) for teacher in teachers]))
        yield Row(f"opening of the {name}: correlation with the consensus", _correlation(mine, agreed), others)
    error = np.abs((all_answers.pose - mesh + 180) % 360 - 180)[keep]
    for i, axis in enumerate(("yaw", "pitch", "roll")):
        yield Row(f"{axis}: mean difference from the mesh's pose, degrees", float(error[:, i].mean()))
    by_name = {crop.file: crop.labels["race"] for crop in crops}
    races = np.array([by_name[str(name)] for name in all_answers.labels["name"]])[keep]
    for group in sorted(set(races.tolist())):
        rows = races == group
        yield Row(group, float(ours[rows].mean()), float(single[rows].mean()), f"{rows.sum()} faces")


def _correlation(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])
