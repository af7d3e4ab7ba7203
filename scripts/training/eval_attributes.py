"""The attribute heads on people left out."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face_server.vision import faceapi
from scripts.training import align, disguises, packtoml
from scripts.training.attribute_rows import EMOTIONS
from scripts.training.corpus import Corpus, Crop, Image, split
from scripts.training.evaluate import Row
from scripts.training.livefaces import box_of
from scripts.training.mesh_facts import mesh_facts
from scripts.training.metrics import auc, balanced
from scripts.training.teachers import FaceApi, session, square

HELD = ("valid", "test")
Floats = NDArray[np.float32]
Answers = dict[str, Floats]


class Student:
    """The exported graph on aligned faces."""

    def __init__(self, pack: Path, role: str) -> None:
        table = packtoml.read(pack)["roles"][role]
        self._session = session((pack / table["file"]).resolve())
        self.size, self.margin = table["size"], table["margin"]
        self.names = [output.name for output in self._session.get_outputs()]

    def __call__(self, faces: NDArray[np.uint8]) -> Answers:
        parts = [self._session.run(None, {"image": faces[i : i + 32]}) for i in range(0, len(faces), 32)]
        return {name: np.concatenate(column) for name, column in zip(self.names, zip(*parts, strict=True), strict=True)}

    def crops(self, corpus: Corpus, crops: list[Crop]) -> Answers:
        return self(np.stack([self.aligned(corpus, crop) for crop in crops]))

    def aligned(self, corpus: Corpus, crop: Crop) -> Image:
        """A crop as the graph looks at it."""
        assert crop.points is not None  # Corpus.select leaves out those without, unless told otherwise
        return align.align(corpus.pixels(crop), crop.points, self.size, self.margin)


def measure(corpus: Corpus, pack: Path) -> Iterator[Row]:
    """The rows of the heads that the pack has."""
    student = Student(pack, "attributes")
    heads = packtoml.read(pack)["roles"]["attributes"]["heads"]
    for head, rows in HEADS.items():
        if head in heads:
            yield from rows(corpus, student)


def _labelled(corpus: Corpus, student: Student, label: str) -> tuple[list[Crop], NDArray[np.str_], Answers]:
    crops = [c for c in corpus.select(parts=HELD) if c.labels[label]]
    return crops, np.array([c.labels[label] for c in crops]), student.crops(corpus, crops)


def _expression(corpus: Corpus, student: Student) -> Iterator[Row]:
    teacher = FaceApi(faceapi.emotion, "face_expression_model")
    for label, happy, calm in (("smiling", "1", "0"), ("expression", "happy", "neutral")):
        crops, wanted, says = _labelled(corpus, student, label)
        emotions = [teacher(square(corpus.pixels(crop), box_of(crop), 1.2, faceapi.SIDE)[0][None])[0] for crop in crops]
        smiles = says["expression"].argmax(1) > 0, np.concatenate(emotions).argmax(1) == EMOTIONS.index("happy")
        known = np.isin(wanted, [happy, calm])
        scores = [balanced((wanted == happy)[known].astype(int), smile[known].astype(int)) for smile in smiles]
        name = "CelebA's smiling" if label == "smiling" else "happy or neutral"
        yield Row.pair(f"expression: {name}, balanced accuracy", scores, f"{known.sum()} people left out")


def _emotion(corpus: Corpus, student: Student) -> Iterator[Row]:
    _crops, names, says = _labelled(corpus, student, "expression")
    known = np.isin(names, EMOTIONS)
    wanted = np.array([EMOTIONS.index(n) for n in names[known]])
    got = says["emotion"][known].argmax(1)
    yield Row("emotion of seven: accuracy", float((wanted == got).mean()), "", f"{known.sum()} people left out")
    yield Row("emotion of seven: balanced accuracy", balanced(wanted, got))
    for place, name in enumerate(EMOTIONS):
        of = wanted == place
        yield Row(f"emotion {name}: recall", float((got[of] == place).mean()), "", f"{of.sum()}")


def _glasses(corpus: Corpus, student: Student) -> Iterator[Row]:
    _, wanted, says = _labelled(corpus, student, "glasses")
    worn = says["glasses"].argmax(1) > 0
    score = balanced((wanted == "glasses").astype(int), worn.astype(int))
    yield Row("glasses: none or some, balanced accuracy", score, "", f"{len(wanted)} people left out")
    yield from _drawn(corpus, student, "glasses", (("spectacles", 1), ("sunglasses", 2)))


def _drawn(corpus: Corpus, student: Student, head: str, kinds: tuple[tuple[str, int], ...]) -> Iterator[Row]:
    """Disguises drawn on faces left out."""
    crops = corpus.select("fairface", parts=("test",))[:300]
    for kind, place in kinds:
        faces = []
        for number, crop in enumerate(crops):
            face = student.aligned(corpus, crop)
            points = align.template(student.size, student.margin)
            faces.append(getattr(disguises, kind)(face, points, np.random.default_rng(number)))
        got = student(np.stack(faces))[head]
        hit = got.argmax(1) == place if got.ndim > 1 else got > 0.5
        yield Row(f"{head}: {kind} drawn on, recall", float(hit.mean()), "", f"{len(crops)}")


def _mask(corpus: Corpus, student: Student) -> Iterator[Row]:
    _, wanted, says = _labelled(corpus, student, "mask")
    score = balanced((wanted == "mask").astype(int), (says["mask"] > 0.5).astype(int))
    yield Row("mask: balanced accuracy", score, "", f"{len(wanted)} people left out")
    crops = corpus.select("fairface", parts=("test",))
    yield Row("mask: FairFace faces taken for masked", float((student.crops(corpus, crops)["mask"] > 0.5).mean()))


def _beauty(corpus: Corpus, student: Student) -> Iterator[Row]:
    crops, wanted, says = _labelled(corpus, student, "beauty")
    fair = wanted == "attractive"
    yield Row(
        "beauty: AUC of CelebA's attractive", auc(says["beauty"][fair], says["beauty"][~fair]), "", f"{len(wanted)}"
    )
    by_part = {part: np.array([crop.part == part for crop in crops]) for part in HELD}
    cuts = np.unique(says["beauty"])
    tried = [balanced(fair[by_part["valid"]], says["beauty"][by_part["valid"]] > cut) for cut in cuts]
    cut = cuts[int(np.argmax(tried))]
    score = balanced(fair[by_part["test"]], says["beauty"][by_part["test"]] > cut)
    yield Row("beauty: balanced accuracy, cut chosen on other people", score, "", f"{by_part['test'].sum()}")


def _meshed(corpus: Corpus, student: Student) -> tuple[Floats, Floats, Answers]:
    """Blink of both eyes and gap of the lips by the mesh teacher, beside our answers, on people left out."""
    crops = corpus.select("celeba89", "celeba_wild", "lfw", "muxspace", parts=HELD)
    known = [mesh_facts(corpus.pixels(crop), crop) for crop in crops]
    return np.stack([k.blink for k in known]), np.array([k.gap for k in known]), student.crops(corpus, crops)


def _eyes(corpus: Corpus, student: Student) -> Iterator[Row]:
    blink, _, says = _meshed(corpus, student)
    wide = blink < 0.15  # its closed ones are mostly sunglasses, squints and profiles
    of = f"{wide.sum()} eyes of people left out"
    yield Row("eyes: open as the mesh says, share read as open", float((says["eyes"] > 0.5)[wide].mean()), "", of)
    lids = [(is_open, pixels) for name, is_open, pixels in corpus.eyes() if split(name) == "test"]
    crops = corpus.select("fairface", parts=("test",))[: len(lids)]
    points = align.template(student.size, student.margin)
    faces = []
    for number, (crop, (_, lid)) in enumerate(zip(crops, lids, strict=True)):
        face = student.aligned(corpus, crop)
        faces.append(disguises.closed(face, points, (lid, lid), np.random.default_rng(number)))
    got = (student(np.stack(faces))["eyes"].mean(1) > 0.5).astype(int)
    wanted = np.array([int(is_open) for is_open, _ in lids])
    yield Row("eyes: other people's eyes put in, balanced accuracy", balanced(wanted, got), "", f"{len(lids)}")


def _mouth(corpus: Corpus, student: Student) -> Iterator[Row]:
    _, gap, says = _meshed(corpus, student)
    known = (gap < 0.08) | (gap > 0.16)
    score = balanced((gap > 0.16)[known].astype(int), (says["mouth_open"] > 0.5)[known].astype(int))
    yield Row("mouth open as the mesh says, balanced accuracy", score, "", f"{known.sum()} people left out")


def _face_type(corpus: Corpus, student: Student) -> Iterator[Row]:
    crops = corpus.select("fairface", parts=("test",))[:400]
    plain = np.stack([student.aligned(corpus, crop) for crop in crops])
    points = align.template(student.size, student.margin)
    human = student(plain)["face_type"].argmax(1) == 0
    for style in (*disguises.STYLES, disguises.LEFT_OUT_STYLE):
        drawn = np.stack([style(face, points, np.random.default_rng(i)) for i, face in enumerate(plain)])
        caught = student(drawn)["face_type"].argmax(1) == 1
        name = f"{style.__name__}{' (style left out)' if style is disguises.LEFT_OUT_STYLE else ''}"
        score = float((human.mean() + caught.mean()) / 2)
        yield Row(f"face type: photograph or {name}, balanced accuracy", score, "", f"{2 * len(crops)}")


HEADS = {
    "eyes": _eyes,
    "mouth_open": _mouth,
    "face_type": _face_type,
    "expression": _expression,
    "emotion": _emotion,
    "glasses": _glasses,
    "mask": _mask,
    "beauty": _beauty,
}
