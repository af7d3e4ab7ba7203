"""Liveness from one wide look at a face: texture in its middle; bezels, paper edges and hands around it.

    python -m scripts.training.liveness

makes the views, trains, exports, and sets the scale on faces it never saw (as `scripts.training.livescale` does).
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import default_rng
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.training import livescale, runs
from scripts.training.corpus import Corpus
from scripts.training.export import export
from scripts.training.fitting import Batch, Plan, arguments, fit
from scripts.training.livefaces import LABELS, SIDE, Faces, MiniFASNet, cut
from scripts.training.replays import KINDS
from scripts.training.smallnets import Summary, Trunk, centred
from scripts.training.views import Row, Views

FIELDS = {
    "wide": (np.uint8, (SIDE, SIDE, 3)),
    "live": (np.float32, ()),
    "label": (np.uint8, ()),
    "teacher": (np.float32, (2,)),
}
VIEWS, STEPS, BATCH = 24_000, 2_600, 64


class Liveness(nn.Module):
    """Log-odds of life: the network's own verdict, and what the teacher pair would say."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk((24, 48, 96, 160), (0, 1, 1, 1))
        self.summary = Summary(160, 25, 64)
        self.own, self.echo = nn.Linear(64, 1), nn.Linear(64, 2)

    def witnesses(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The own verdict, and the guess of V2's and V1SE's."""
        seen = self.summary(self.trunk(pixels)[-1])
        return self.own(seen)[:, 0], self.echo(seen)

    def forward(self, wide: Tensor) -> Tensor:
        """The mean over four framings: one alone depends on how tightly the detector drew its box."""
        x = centred(wide)
        edge = SIDE // 20
        nearer = F.interpolate(x[:, :, edge:-edge, edge:-edge], (SIDE, SIDE), mode="bilinear", align_corners=False)
        wider = F.pad(x, (edge, edge, edge, edge), mode="replicate")
        farther = F.interpolate(wider, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return verdict(*self.witnesses(torch.cat([x, x.flip(3), nearer, farther]))).view(4, -1).mean(0)


def verdict(own: Tensor, echo: Tensor) -> Tensor:
    """The weighted sum of both. The echo counts more: the teachers alone have seen real attacks of many kinds.

    The weights were chosen on webcam attacks and synthetic ones of people left out.
    """
    return 0.75 * own + echo.clamp(-8, 8).mean(1)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The own verdict answers for itself and corrects the echo, which learns from the teachers only."""
    assert isinstance(model, Liveness)
    own, echo = (x.float() for x in model.witnesses(centred(batch["wide"])))
    live = batch["live"]
    alone = F.binary_cross_entropy_with_logits(own, live)
    together = F.binary_cross_entropy_with_logits(verdict(own, echo.detach()), live)
    # The teachers refuse many real faces, above all where the picture ends before 2.7 boxes: there we know better.
    floor = torch.where(live > 0, 2.0, -8.0)[:, None]
    taught = F.smooth_l1_loss(echo, batch["teacher"].clamp(-8, 8).maximum(floor))
    return together + 0.4 * alone + 0.4 * taught


def views(corpus: Corpus, work: Path) -> Views:
    """Made once: the look, the answer, and the teachers' answers."""
    faces, teacher = Faces(corpus, ("train",), KINDS), MiniFASNet()

    def make(number: int) -> Row:
        view = faces.view(default_rng(number))
        pixels, box = view.shown.pixels, view.shown.box
        return {
            "wide": cut(pixels, box),
            "live": float(view.live),
            "label": LABELS.index(view.label),
            "teacher": teacher(pixels, box),
        }

    made = Views(work / "train", VIEWS, FIELDS)
    made.fill(make)
    return made


class Sampler:
    """Views mirrored, shifted and relit at random; held in memory."""

    def __init__(self, data: Views) -> None:
        self._looks = np.array(data["wide"], np.uint8)
        self._answers = {name: np.array(data[name], np.float32) for name in ("live", "teacher")}

    def __call__(self, step: int) -> Batch:
        rng = default_rng((1, step))
        rows = rng.integers(0, len(self._looks), BATCH)
        gain = rng.normal(1, 0.08, (BATCH, 1, 1, 1)).astype(np.float32)
        pixels = np.stack([_shifted(self._looks[row], rng) for row in rows])
        batch = {name: torch.from_numpy(values[rows]) for name, values in self._answers.items()}
        batch["wide"] = torch.from_numpy((pixels * gain).clip(0, 255).astype(np.uint8))
        return batch


def _shifted(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    size, (dy, dx) = len(pixels), rng.integers(0, 7, 2)
    moved = np.pad(pixels, ((3, 3), (3, 3), (0, 0)), mode="edge")[dy : dy + size, dx : dx + size]
    return moved[:, ::-1] if rng.random() < 0.5 else moved


def main() -> None:
    args = arguments("Train the liveness network.", "liveness", STEPS).parse_args()
    log = runs.start(args)
    corpus = Corpus(args.corpus)
    model = fit(Liveness(), Sampler(views(corpus, args.work)), loss, Plan.of(args), log)
    if model is not None:
        publish(model, corpus, args.pack)


def publish(model: nn.Module, corpus: Corpus, pack: Path) -> None:
    export(model, pack / "liveness.onnx", {"wide": (SIDE, SIDE)}, ["logit"], half_weights=True, tolerance=5e-3)
    livescale.calibrate(corpus, pack)


if __name__ == "__main__":
    main()
