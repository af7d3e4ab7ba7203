"""Face parsing and occlusion: one small U-Net over an aligned face, its deepest features say which parts are covered.

python -m scripts.training.parsing
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.training import align, disguises, packtoml, runs
from scripts.training.camera import capture, chance
from scripts.training.corpus import Corpus, Image
from scripts.training.export import FromPixels, export
from scripts.training.face_parts import LABELS, MARGIN, PARTS, SIZE, UNKNOWN, faces
from scripts.training.fitting import Batch, Plan, arguments, fit
from scripts.training.landmarks_teachers import apply
from scripts.training.occluders import KINDS, Kind
from scripts.training.smallnets import Summary, Trunk, centred, conv
from scripts.training.views import Views

SEEN, SEEN_MARGIN = 112, 0.2
STEPS, BATCH = 4_000, 32
BARE, GLASSES = 0.3, LABELS.index("glasses")
RARITY = (1.0, 1.0, 2.0, 3.0, 1.5, 2.0, 1.5, 2.0)


class Parser(nn.Module):
    """Class logits at half the input's resolution, enlarged; and seven coverage logits."""

    def __init__(self) -> None:
        super().__init__()
        widths = (16, 32, 64, 128)
        self.trunk = Trunk(widths, (0, 1, 1, 2))
        self.up = nn.ModuleList(
            conv(deep + fine, fine) for deep, fine in ((widths[3], widths[2]), (widths[2], widths[1]), (widths[1], 24))
        )
        self.up[2] = conv(widths[1] + widths[0], 24)
        self.classes = nn.Conv2d(24, len(LABELS), 1)
        self.covered = nn.Sequential(Summary(widths[3], 49, 64), nn.Linear(64, len(PARTS)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        *fine, deep = self.trunk(x)
        covered = self.covered(deep)
        for up, skip in zip(self.up, reversed(fine), strict=True):
            deep = up(torch.cat([F.interpolate(deep, scale_factor=2.0, mode="nearest"), skip], 1))
        classes = F.interpolate(self.classes(deep), scale_factor=2.0, mode="bilinear", align_corners=False)
        return classes, covered


class Answers(nn.Module):
    """As the pack has it: class logits, and coverage 0..1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        classes, covered = self.network(x)
        return classes, covered.sigmoid()


class Maker:
    """A stored face -> what the network sees: jittered, something put on or in front of it, through a camera."""

    def __init__(
        self, data: Mapping[str, NDArray[np.generic]] | Views, scenes: Sequence[Image], kinds: Sequence[Kind]
    ) -> None:
        self._data, self._scenes, self._kinds = data, scenes, kinds

    def __call__(self, row: int, rng: Generator, flip: bool) -> tuple[Image, Image, NDArray[np.float32]]:
        """Pixels, classes, covered share of each part."""
        pixels, classes, parts = (np.asarray(self._data[name][row]) for name in ("pixels", "classes", "parts"))
        points = np.asarray(self._data["points"][row])
        matrix = _turn(rng)
        size = (SEEN, SEEN)
        border = cv2.BORDER_REPLICATE if chance(rng, 0.5) else cv2.BORDER_CONSTANT
        if chance(rng, 0.4):
            pixels = np.where((classes == UNKNOWN)[:, :, None], np.uint8(0), pixels)
        pixels = np.asarray(cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border), np.uint8)
        turned = cv2.warpAffine(classes, matrix, size, flags=cv2.INTER_NEAREST, borderValue=UNKNOWN)
        classes = np.asarray(turned, np.uint8)
        parts = np.asarray(cv2.warpAffine(parts, matrix, size, flags=cv2.INTER_NEAREST), np.uint8)
        points = apply(matrix, points)
        cover = np.zeros((*size, 1), np.float32)
        if not chance(rng, BARE):
            pixels, classes, cover = self._dressed(pixels, classes, points, rng)
        shares = covered_shares(parts, cover)
        classes = np.where((cover[:, :, 0] > 0.5) & (classes != GLASSES) & (classes != UNKNOWN), 0, classes)
        if chance(rng, 0.7):
            pixels = capture(pixels, rng, 0.7)
        if flip:
            pixels, classes = pixels[:, ::-1], classes[:, ::-1]
            shares = shares[[1, 0, 2, 3, 5, 4, 6]]
        return np.ascontiguousarray(pixels), np.ascontiguousarray(classes, np.uint8), shares

    def _dressed(
        self, pixels: Image, classes: Image, points: NDArray[np.float32], rng: Generator
    ) -> tuple[Image, Image, NDArray[np.float32]]:
        """Spectacles, sunglasses, a mask, or something in front of the face: pixels, classes, what hides the skin."""
        draw = rng.random()
        before = pixels
        none = np.zeros((*pixels.shape[:2], 1), np.float32)
        if draw < 0.3:
            dark = chance(rng, 0.5)
            pixels = (disguises.sunglasses if dark else disguises.spectacles)(pixels, points, rng)
            changed = _changed(before, pixels)
            classes = np.where((changed > 0.5) & (classes != UNKNOWN), GLASSES, classes)
            return pixels, classes, changed[:, :, None] if dark else none
        if draw < 0.45:
            pixels = disguises.mask(pixels, points, rng)
            return pixels, classes, _changed(before, pixels)[:, :, None]
        kind = self._kinds[int(rng.integers(len(self._kinds)))]
        scene = self._scenes[int(rng.integers(len(self._scenes)))]
        cover, paint = kind(pixels, scene, rng)
        return disguises.blend(pixels, cover, paint), classes, cover


def _changed(before: Image, after: Image) -> NDArray[np.float32]:
    """Where a disguise lies, closed over the places where it happens to have the face's own colour."""
    differs = (np.abs(before.astype(np.int16) - after).max(2) > 14).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.float32)


def covered_shares(parts: Image, cover: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much of each part is hidden; NaN where the part is not in the picture."""
    hidden = np.bincount(parts.ravel(), (cover > 0.5).ravel(), len(PARTS) + 1)[1:]
    whole = np.bincount(parts.ravel(), minlength=len(PARTS) + 1)[1:]
    return np.where(whole > 8, hidden / np.maximum(whole, 1), np.nan).astype(np.float32)


def _turn(rng: Generator) -> NDArray[np.float64]:
    source, template = align.template(SIZE, MARGIN), align.template(SEEN, SEEN_MARGIN)
    target = template + rng.normal(0, 0.01 * SEEN, template.shape) + rng.normal(0, 0.01 * SEEN, 2)
    return align.similarity(source, target)


class Sampler:
    """Batches of freshly made views of the training faces."""

    def __init__(self, corpus: Corpus, data: Views) -> None:
        train = np.array([corpus.crops[place].part == "train" for place in data["crop"]])
        self._rows = np.flatnonzero(train)
        self._make = Maker(data, some_scenes(corpus), KINDS)

    def __call__(self, step: int) -> Batch:
        rng = default_rng((7, step))
        made = [self._make(int(row), rng, chance(rng, 0.5)) for row in rng.choice(self._rows, BATCH)]
        pixels, classes, shares = (torch.from_numpy(np.stack(column)) for column in zip(*made, strict=True))
        return {"image": pixels, "classes": classes, "shares": shares}


def some_scenes(corpus: Corpus, count: int = 200) -> list[Image]:
    """Textures for occluders."""
    names = corpus.scenes()
    return [corpus.scene(name) for name in names[:: max(1, len(names) // count)]]


def loss(model: nn.Module, batch: Batch) -> Tensor:
    x = centred(batch["image"])
    classes, covered = (value.float() for value in model(x))
    wanted = batch["classes"].long()
    unknown = wanted == UNKNOWN
    weights = torch.tensor(RARITY, device=x.device)
    # Beyond the source picture there is nothing but our own filling: background, said softly.
    each = F.cross_entropy(classes, wanted.masked_fill(unknown, 0), weights, reduction="none")
    drawn = (each * torch.where(unknown, 0.1, 1.0)).mean()
    known = ~batch["shares"].isnan()
    return drawn + F.binary_cross_entropy_with_logits(covered[known], batch["shares"][known])


def main() -> None:
    args = arguments("Train parsing and occlusion.", "parsing", STEPS).parse_args()
    log = runs.start(args)
    corpus = Corpus(args.corpus)
    sampler = Sampler(corpus, faces(corpus, args.work))
    mean = fit(Parser(), sampler, loss, Plan.of(args), log)
    if mean is not None:
        publish(mean, args.pack)


def publish(model: nn.Module, pack: Path) -> None:
    """One file, two roles: the server runs it once for both."""
    file = "parsing.onnx"
    export(
        FromPixels(Answers(model)),
        pack / file,
        (SEEN, SEEN),
        ["classes", "occlusion"],
        half_weights=True,
        tolerance=5e-3,
    )
    crop = {"crop": "aligned", "size": SEEN, "margin": SEEN_MARGIN}
    packtoml.set_role("parsing", file, "parsing", pack=pack, **crop, output="classes", labels=list(LABELS))
    packtoml.set_role("occlusion", file, "heads", pack=pack, **crop, heads=["occlusion"], parts=list(PARTS))


if __name__ == "__main__":
    main()
