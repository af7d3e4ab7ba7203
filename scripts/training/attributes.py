"""The small attributes, with age and gender to teach them: one trunk of plain convolutions, many heads.

    python -m scripts.training.attributes [--from FILE.onnx]

`--from` names a file to start the trunk from, `models/builtin/attributes.onnx` for one. What is shipped began as an
embedder of the same convolutions: what tells people apart tells a good deal about them too.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.training import align, embed_pairs, packtoml, runs
from scripts.training.attribute_rows import EMOTIONS, FIELDS, MARGIN, SIZE, rows
from scripts.training.camera import capture, chance
from scripts.training.corpus import Corpus, Image
from scripts.training.embed_net import stage
from scripts.training.export import FromPixels, export
from scripts.training.fitting import Batch, Plan, arguments, fit
from scripts.training.onnx_weights import restore
from scripts.training.smallnets import Shrink, Summary, area, centred
from scripts.training.views import Views

SEEN = 64  # pixels the trunk sees of the server's 112
YEARS = (1.0, 6.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 76.0)  # middles of the age groups
# Glasses, by the brightness of the eyes' surroundings over that of the cheeks: sunglasses below, spectacles above.
DARK, CLEAR = 0.36, 0.46
STEPS, BATCH = 1_300, 128
HEADS = ("age", "gender", "expression", "emotion", "glasses", "mask", "eyes", "mouth_open", "face_type", "beauty")
# Measured and found not useful enough to ship: see the card.
LEFT_OUT = ("emotion", "face_type")
# Here they teach the trunk; `age_gender`, a network of its own, answers.
ELSEWHERE = ("age", "gender")


class Attributes(nn.Module):
    """Logits of every head, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(*stage(3, 32, 0), *stage(32, 64, 2), *stage(64, 128, 3), *stage(128, 256, 3))
        self.who, self.mood, self.things = (Summary(256, 16, 96) for _ in range(3))
        self.age, self.gender, self.beauty = nn.Linear(96, len(YEARS)), nn.Linear(96, 2), nn.Linear(96, 1)
        self.expression, self.emotion = nn.Linear(96, 3), nn.Linear(96, len(EMOTIONS))
        self.glasses, self.mask, self.face_type = nn.Linear(96, 3), nn.Linear(96, 1), nn.Linear(96, 2)
        self.eyes, self.mouth_open = nn.Linear(96, 2), nn.Linear(96, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.body(x)
        groups = (
            (self.who(x), ("age", "gender", "beauty")),
            (self.mood(x), ("expression", "emotion", "mouth_open")),
            (self.things(x), ("glasses", "mask", "face_type", "eyes")),
        )
        return {name: getattr(self, name)(vector) for vector, names in groups for name in names}


class Answers(nn.Module):
    """The heads in the pack's units: years, probabilities, 0..100."""

    def __init__(self, network: nn.Module, heads: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.heads = network, heads
        self.years: Tensor
        self.register_buffer("years", torch.tensor(YEARS))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits = self.network(x)
        ways = {
            "age": lambda z: z.softmax(1) @ self.years,
            "mask": lambda z: z.sigmoid()[:, 0],
            "eyes": lambda z: z.sigmoid(),
            "mouth_open": lambda z: z.sigmoid()[:, 0],
            "beauty": lambda z: 100 * z.sigmoid()[:, 0],
        }
        return tuple(ways.get(name, lambda z: z.softmax(1))(logits[name]) for name in self.heads)


def between(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """0 below `low`, 1 above `high`; NaN stays NaN."""
    return ((values - low) / (high - low)).clip(0, 1)


def targets(data: Views) -> dict[str, NDArray[np.generic]]:
    """What each head should answer, for all rows at once."""
    read = {name: np.array(data[name]) for name in FIELDS if name != "pixels"}
    plain = read["trick"] == 0
    happy = EMOTIONS.index("happy")
    smile = between(read["smile"], 0.25, 0.5)
    smile = np.where(read["emotion"] == happy, 1.0, np.where(read["emotion"] == EMOTIONS.index("neutral"), 0.0, smile))
    smile = np.where(np.isnan(read["smiling"]), smile, read["smiling"])
    wide = between(read["gap"], 0.11, 0.19)
    expression = np.stack([1 - smile, smile * (1 - wide), smile * wide], 1)
    worn = np.where(read["shade"] < DARK, 2, np.where(read["shade"] > CLEAR, 1, -1))
    glasses = np.where(read["glasses"] == 1, worn, read["glasses"])
    return {
        "age": read["age"],
        "gender": read["gender"],
        "expression": expression.astype(np.float32),
        "emotion": read["emotion"],
        "emotions": read["emotions"],
        "glasses": glasses,
        "mask": read["mask"],
        # The mesh knows open eyes; its closed ones are mostly sunglasses, squints and profiles.
        "eyes": np.where(plain[:, None] & (read["blink"] > 0.3), np.nan, 1 - between(read["blink"], 0.3, 0.9)),
        "mouth_open": between(read["gap"], 0.08, 0.16),
        "face_type": read["cartoon"].astype(np.int8),
        "beauty": read["beauty"],
    }


class Sampler:
    """Half of a batch for age and gender, half for everything else."""

    def __init__(self, data: Views) -> None:
        # In memory, not mapped: touching a mapped page costs more than copying it.
        self._pixels, self._targets = np.array(data["pixels"]), targets(data)
        train = np.array(data["part"]) == 0
        aged = np.array(data["age"]) >= 0
        plain = np.array(data["trick"]) == 0
        self._pools = [np.flatnonzero(train & aged & plain), np.flatnonzero(train & ~(aged & plain))]

    def __call__(self, step: int) -> Batch:
        rng = default_rng((3, step))
        chosen = np.concatenate([rng.choice(pool, BATCH // 2) for pool in self._pools])
        flips = rng.random(len(chosen)) < 0.5
        faces = [jitter(self._pixels[row], flip, rng) for row, flip in zip(chosen, flips, strict=True)]
        batch = {name: torch.from_numpy(np.ascontiguousarray(values[chosen])) for name, values in self._targets.items()}
        batch["eyes"] = torch.where(torch.from_numpy(flips)[:, None], batch["eyes"].flip(1), batch["eyes"])
        batch["image"] = torch.from_numpy(np.stack(faces))
        return batch


def jitter(stored: Image, flip: bool, rng: Generator) -> Image:
    """A stored picture as the network might meet it: points a little off, an ordinary camera."""
    source, template = align.template(SIZE, MARGIN), align.template(SEEN)
    target = template + rng.normal(0, 0.008 * SEEN, template.shape) + rng.normal(0, 0.012 * SEEN, 2)
    matrix = align.similarity(source, target)
    size = (SEEN, SEEN)
    face = np.asarray(cv2.warpAffine(stored, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)
    if flip:
        face = np.ascontiguousarray(face[:, ::-1])
    return capture(face, rng, 0.7) if chance(rng, 0.7) else face


def _classes(logits: Tensor, wanted: Tensor, weights: Tensor | None = None) -> Tensor:
    known = wanted >= 0
    if not known.any():
        return logits.sum() * 0
    return F.cross_entropy(logits[known], wanted[known].long(), weights, label_smoothing=0.05)


def _shares(logits: Tensor, wanted: Tensor) -> Tensor:
    known = ~wanted.isnan().any(1)
    return F.cross_entropy(logits[known], wanted[known]) if known.any() else logits.sum() * 0


def _odds(logits: Tensor, wanted: Tensor) -> Tensor:
    wanted = wanted.view_as(logits)
    known = ~wanted.isnan()
    if not known.any():
        return logits.sum() * 0
    return F.binary_cross_entropy_with_logits(logits[known], wanted[known].clamp(0.02, 0.98))


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Every head over the rows that know its answer."""
    x = centred(batch["image"])
    says = {name: value.float() for name, value in model(x).items()}
    known = batch["age"] >= 0
    years = torch.tensor(YEARS, device=x.device)
    meant, wanted = says["age"][known].softmax(1) @ years, years[batch["age"][known].long()]
    rare = torch.tensor([1.5, 2.0, 2.0, 0.7, 1.5, 1.5, 0.7], device=x.device)
    taught = torch.where((batch["emotion"] < 0)[:, None], batch["emotions"], torch.nan)
    parts = (
        _classes(says["age"], batch["age"]),
        (meant - wanted).abs().mean() / 20,
        _classes(says["gender"], batch["gender"]),
        0.4 * _shares(says["expression"], batch["expression"]),
        0.4 * _classes(says["emotion"], batch["emotion"], rare),
        0.3 * _shares(says["emotion"], taught),
        0.4 * _classes(says["glasses"], batch["glasses"]),
        0.4 * _odds(says["mask"], batch["mask"]),
        0.6 * _odds(says["eyes"], batch["eyes"]),
        0.4 * _odds(says["mouth_open"], batch["mouth_open"]),
        0.4 * _classes(says["face_type"], batch["face_type"]),
        0.2 * _odds(says["beauty"], batch["beauty"]),
    )
    return torch.stack(parts).sum()


def start_from(model: Attributes, path: Path, corpus: Corpus) -> None:
    """Take over the trunk of a file, which has not all of our heads."""
    faces = centred(torch.from_numpy(embed_pairs.faces(corpus, corpus.select("fairface", parts=("train",))[::60])))
    matrix = area(faces.shape[-1], SEEN)
    restore(model.body, path, lambda: model.body(matrix @ faces @ matrix.T))


def main() -> None:
    args = arguments("Train age, gender and attributes.", "attributes", STEPS).parse_args()
    log = runs.start(args)
    corpus = Corpus(args.corpus)
    data = rows(corpus, args.work)
    model = Attributes()
    if args.source:
        start_from(model, args.source, corpus)
    plan = replace(Plan.of(args), source=None)
    mean = fit(model, Sampler(data), loss, plan, log)
    if mean is not None:
        publish(mean, args.pack)


def publish(model: nn.Module, pack: Path) -> None:
    """The heads worth shipping."""
    heads = tuple(name for name in HEADS if name not in LEFT_OUT + ELSEWHERE)
    file = "attributes.onnx"
    answers = FromPixels(Shrink(Answers(model, heads), SEEN))
    export(answers, pack / file, (112, 112), heads, half_weights=True, tolerance=5e-3)
    crop = {"crop": "aligned", "size": 112, "margin": 0.0}
    packtoml.set_role("attributes", file, "heads", pack=pack, **crop, heads=list(heads))


if __name__ == "__main__":
    main()
