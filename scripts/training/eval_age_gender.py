"""Age and gender on FairFace pictures left out, per group, beside face-api's network (MIT), which taught nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face_server.model import Task, Want
from face_server.vision import faceapi, offline
from face_server.vision.packs import Pack
from scripts.training.attribute_rows import AGES
from scripts.training.corpus import Corpus, Crop
from scripts.training.eval_attributes import Answers, Student
from scripts.training.evaluate import Row
from scripts.training.livefaces import box_of
from scripts.training.teachers import FaceApi, square

EDGES = (2.5, 9.5, 19.5, 29.5, 39.5, 49.5, 59.5, 69.5)  # years between the age groups
SERVED = 600  # crops that the whole server looks at
Chosen = NDArray[np.bool_] | slice
ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Judged:
    """What one network said of every crop."""

    right: NDArray[np.bool_]  # the gender
    off: NDArray[np.intp]  # age groups from the right one

    @classmethod
    def of(cls, says: Answers, crops: list[Crop]) -> "Judged":
        male = np.array([crop.labels["gender"] == "Male" for crop in crops])
        ages = np.array([AGES.index(crop.labels["age"]) for crop in crops])
        return cls(says["gender"].argmax(1) == male, np.abs(np.searchsorted(EDGES, says["age"]) - ages))

    def gender(self, chosen: Chosen = ALL) -> float:
        return float(self.right[chosen].mean())

    def near(self, chosen: Chosen = ALL, groups: int = 1) -> float:
        return float((self.off[chosen] <= groups).mean())


def measure(corpus: Corpus, pack: Path) -> Iterator[Row]:
    crops = corpus.select("fairface", parts=("test",))
    answers = Student(pack, "age_gender").crops(corpus, crops), _face_api(corpus, crops)
    both = [Judged.of(says, crops) for says in answers]
    grown = np.array([AGES.index(crop.labels["age"]) >= AGES.index("20-29") for crop in crops])
    yield Row.pair("gender: accuracy", [one.gender() for one in both], f"{len(crops):,} crops")
    yield Row.pair("gender: accuracy from 20 years", [one.gender(grown) for one in both], f"{grown.sum():,}")
    yield Row.pair("age group: exact", [one.near(groups=0) for one in both])
    yield Row.pair("age group: within one", [one.near() for one in both])
    yield from _served(corpus, pack, crops[:SERVED])
    for label in ("race", "age"):
        values = np.array([crop.labels[label] for crop in crops])
        groups = {value: values == value for value in sorted(set(values.tolist()))}
        shares = [[one.gender(members) for members in groups.values()] for one in both]
        yield Row.pair(f"{label}: gap between the best and the worst group, gender", [max(s) - min(s) for s in shares])
        for value, members in groups.items():
            yield Row.pair(f"{value}: gender accuracy", [one.gender(members) for one in both], f"{members.sum()}")
            yield Row.pair(f"{value}: age group within one", [one.near(members) for one in both])


def _face_api(corpus: Corpus, crops: list[Crop]) -> Answers:
    network = FaceApi(faceapi.age_gender, "age_gender_model")
    parts = [network(square(corpus.pixels(crop), box_of(crop), 1.0, faceapi.SIDE)[0][None]) for crop in crops]
    return dict(zip(("age", "gender"), map(np.concatenate, zip(*parts, strict=True)), strict=True))


def _served(corpus: Corpus, pack: Path, crops: list[Crop]) -> Iterator[Row]:
    """The same, found and cut by the server itself: its detector, its landmarks."""
    analyzer = offline.analyzer(Pack.load(pack), ("detect", "landmarks", "age_gender"))
    right, near = [], []
    for crop in crops:
        faces = analyzer.analyze(corpus.read(crop), Task(Want.AGE | Want.GENDER)).faces
        if faces:
            says = faces[0].attributes
            assert says.gender is not None
            assert says.age is not None
            right.append(says.gender.type == ("male" if crop.labels["gender"] == "Male" else "female"))
            near.append(abs(np.searchsorted(EDGES, says.age) - AGES.index(crop.labels["age"])) <= 1)
    yield Row("gender: accuracy, found by the server", float(np.mean(right)), "", f"{len(right)} of {len(crops)} found")
    yield Row("age group: within one, found by the server", float(np.mean(near)))
