"""Age and gender: a network of its own, on a face a tenth lower than the embedder's.

    python -m scripts.training.age_gender
    python -m scripts.training.age_gender --from models/builtin/age_gender.onnx --work runs/more  # a second run
    python -m scripts.training.age_gender --export runs/age_gender runs/more                      # the mean of both

The trunk is the embedder's, which already tells people apart, without its last layers; it goes on with FairFace alone.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator, default_rng
from torch import Tensor, nn

from face_server.model import Task, Want
from face_server.vision import offline
from face_server.vision.analyzer import Analyzer
from face_server.vision.packs import Pack
from scripts.training import align, golden, packtoml, runs
from scripts.training.attribute_rows import AGES
from scripts.training.attributes import YEARS
from scripts.training.camera import capture, chance
from scripts.training.corpus import Corpus, Image, Points
from scripts.training.embed_export import FILE as EMBEDDER
from scripts.training.embed_export import shipped
from scripts.training.embed_net import Embedder
from scripts.training.export import FromPixels, export
from scripts.training.fitting import Batch, Plan, arguments, fit, restored
from scripts.training.smallnets import Summary, centred
from scripts.training.views import Row, Views

# The server's crop: the one that parsing takes too, so a face is cut once for both. A face fills 80 of its pixels.
SIZE, MARGIN = 112, 0.2
# What is looked at: FairFace's pictures begin at the brows and end below the chin, so a tenth lower than the template.
LOOKED_AT, LEFT, TOP = 80, 16, 24
SEEN = 112  # pixels that become of it: the trunk knows faces of this size
FIXED = 6  # modules that stay as they are: edges and spots are known, and this halves a step
GRID = SEEN // 16  # places a side that the heads tell apart
STEPS, BATCH = 2_600, 128
FIELDS = {"pixels": (np.uint8, (SIZE, SIZE, 3)), "age": (np.int8, ()), "gender": (np.int8, ())}


class AgeGender(nn.Module):
    """Logits of nine age groups and two genders."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.body = nn.Sequential(*embedder.fine, *embedder.coarse, *embedder.blocks())
        self.summary = Summary(256, GRID**2, 128)
        self.drop = nn.Dropout(0.2)
        self.age, self.gender = nn.Linear(128, len(YEARS)), nn.Linear(128, 2)

    def train(self, mode: bool = True) -> "AgeGender":
        super().train(mode)
        self.body[:FIXED].eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            x = self.body[:FIXED](x)
        x = self.drop(self.summary(self.body[FIXED:](x)))
        return self.age(x), self.gender(x)


class Answers(nn.Module):
    """The server's crop -> years and two probabilities, the mean over the face and its mirror image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.years: Tensor
        self.register_buffer("years", torch.tensor(YEARS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x[:, :, TOP : TOP + LOOKED_AT, LEFT : LEFT + LOOKED_AT]
        x = F.interpolate(x, (SEEN, SEEN), mode="bilinear", align_corners=False)
        both = [tuple(logits.softmax(1) for logits in self.network(view)) for view in (x, x.flip(3))]
        age, gender = ((plain + mirrored) / 2 for plain, mirrored in zip(*both, strict=True))
        return age @ self.years, gender


def rows(corpus: Corpus, work: Path) -> Views:
    """Every training face twice: cut by the corpus' points, and as the server itself finds and cuts it."""
    crops = corpus.select("fairface", parts=("train", "valid"))
    order = default_rng(7).permutation(len(crops))
    server = offline.analyzer(Pack.load(packtoml.PACK), ("detect", "landmarks"))
    views = Views(work / "rows", 2 * len(crops), FIELDS)

    def make(number: int) -> Row:
        crop = crops[order[number // 2]]
        points, border = crop.points, cv2.BORDER_CONSTANT
        assert points is not None
        if number % 2:
            points = found(server, corpus.read(crop), points)
        elif number % 4:  # what lies outside the picture is black, as the server has it, or mirrored
            border = cv2.BORDER_REFLECT_101
        matrix = align.similarity(points, align.template(SIZE, MARGIN))
        pixels = corpus.pixels(crop)
        return {
            "pixels": cv2.warpAffine(pixels, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=border),
            "age": AGES.index(crop.labels["age"]),
            "gender": ("Female", "Male").index(crop.labels["gender"]),
        }

    views.fill(make)
    return views


def found(server: Analyzer, data: bytes, known: Points) -> Points:
    """The server's five points of the face whose points are known; these, where it does not find it."""
    eyes = float(np.hypot(*(known[1] - known[0])))
    for face in server.analyze(data, Task(Want.LANDMARKS)).faces:
        if np.abs(face.points.mean(0) - known.mean(0)).max() < eyes / 2:
            return face.points
    return known


class Sampler:
    """Batches from the step's number alone; every face comes once before any comes again."""

    def __init__(self, data: Views) -> None:
        # In memory, not mapped: touching a mapped page costs more than copying it.
        self._columns = {name: np.array(data[name]) for name in FIELDS}

    def __call__(self, step: int) -> Batch:
        count = len(self._columns["age"])
        per_round = count // BATCH
        order = default_rng((4, step // per_round)).permutation(count)
        chosen = order[step % per_round * BATCH :][:BATCH]
        rng = default_rng((5, step))
        faces = np.stack([jitter(self._columns["pixels"][row], rng) for row in chosen])
        wanted = {name: torch.from_numpy(self._columns[name][chosen].astype(np.int64)) for name in ("age", "gender")}
        return {**wanted, "image": torch.from_numpy(faces)}


def jitter(stored: Image, rng: Generator) -> Image:
    """A face as the network might meet it: points a little off, mirrored, an ordinary camera, something in front."""
    if chance(rng, 0.75):
        face = _moved(stored, rng)
    else:  # as sharp as it is
        down, right = rng.integers(-3, 4, 2)
        face = stored[TOP + down :][:LOOKED_AT, LEFT + right :][:, :LOOKED_AT]
        face = np.asarray(cv2.resize(face, (SEEN, SEEN), interpolation=cv2.INTER_LINEAR), np.uint8)
    if chance(rng, 0.5):
        face = face[:, ::-1]
    face = np.ascontiguousarray(face)
    if chance(rng, 0.6):
        face = capture(face, rng, 0.7)
    if chance(rng, 0.25):
        high, wide = rng.integers(11, 45, 2)
        top, left = rng.integers(0, SEEN - 11, 2)
        face[top : top + high, left : left + wide] = rng.integers(0, 256, 3)
    return face


def _moved(stored: Image, rng: Generator) -> Image:
    # The server's landmarks make faces 4 % smaller than the corpus' points do, a few of them by a fifth.
    turn, zoom = np.radians(rng.normal(0, 5)), np.exp(rng.normal(-0.045, 0.08))
    zoom *= SEEN / LOOKED_AT
    cos, sin = np.cos(turn) * zoom, np.sin(turn) * zoom
    middle = np.array([LEFT + LOOKED_AT / 2, TOP + LOOKED_AT / 2])
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0]])
    matrix[:, 2] = SEEN / 2 + rng.normal(0, 2.2, 2) - matrix[:, :2] @ middle
    return np.asarray(cv2.warpAffine(stored, matrix, (SEEN, SEEN), flags=cv2.INTER_LINEAR), np.uint8)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Both classes, and years that are not far off."""
    age, gender = (logits.float() for logits in model(centred(batch["image"])))
    years = torch.tensor(YEARS, device=age.device)
    meant = age.softmax(1) @ years
    return torch.stack(
        (
            F.cross_entropy(gender, batch["gender"], label_smoothing=0.05),
            0.5 * F.cross_entropy(age, batch["age"], label_smoothing=0.05),
            (meant - years[batch["age"]]).abs().mean() / 40,
        )
    ).sum()


def main() -> None:
    parser = arguments("Train age and gender.", "age_gender", STEPS)
    parser.add_argument("--export", type=Path, nargs="+", help="ship the mean of these runs' last weights")
    args = parser.parse_args()
    log = runs.start(args)
    if args.export:
        publish(restored(AgeGender(Embedder()), *args.export), args.pack)
        return
    corpus = Corpus(args.corpus)
    embedder = args.pack / EMBEDDER
    model = AgeGender(shipped(corpus, embedder) if embedder.exists() else Embedder())
    mean = fit(model, Sampler(rows(corpus, args.work)), loss, Plan.of(args), log)
    if mean is not None:
        publish(mean, args.pack)


def publish(model: nn.Module, pack: Path) -> None:
    """A file of its own: a request that asks for neither age nor gender never runs it."""
    file = "age_gender.onnx"
    answers = FromPixels(Answers(model))
    export(answers, pack / file, (SIZE, SIZE), ("age", "gender"), half_weights=True, tolerance=5e-3)
    crop = {"crop": "aligned", "size": SIZE, "margin": MARGIN}
    packtoml.set_role("age_gender", file, "heads", pack=pack, **crop, heads=["age", "gender"])
    if pack == packtoml.PACK:
        golden.write("age_gender")


if __name__ == "__main__":
    main()
