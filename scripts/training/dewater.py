"""Taking the mesh off a watermarked ID photograph: a small U-Net that predicts what to add to every pixel.

python -m scripts.training.dewater [--from models/builtin/dewater.onnx]
"""

from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator, default_rng
from torch import Tensor, nn

from scripts.training import packtoml, runs
from scripts.training.camera import chance, recompress
from scripts.training.corpus import Corpus, Crop, Image
from scripts.training.export import export
from scripts.training.fitting import Batch, Plan, arguments, fit
from scripts.training.meshes import KINDS, watermarked
from scripts.training.smallnets import Residual, centred, conv

SEEN = 96  # side of the training pieces; the network takes any multiple of 16
STEPS, BATCH = 8_300, 16
POOL = 8_000  # faces held decoded


class Dewater(nn.Module):
    """uint8 [N,S,S,3] -> float [N,S,S,3], 0..255."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = conv(3, 16)
        self.down = nn.ModuleList(
            (
                nn.Sequential(conv(16, 24, 2), Residual(24)),
                nn.Sequential(conv(24, 48, 2), Residual(48)),
                nn.Sequential(conv(48, 80, 2), Residual(80)),
                nn.Sequential(conv(80, 96, 2), Residual(96)),
            )
        )
        self.up = nn.ModuleList((conv(96 + 80, 80), conv(80 + 48, 48), conv(48 + 24, 24), conv(24 + 16, 16)))
        self.leave = nn.Conv2d(16, 3, 3, 1, 1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, image: Tensor) -> Tensor:
        return ((self.clean(image) + 1) * 127.5).clamp(0, 255).permute(0, 2, 3, 1)

    def clean(self, image: Tensor) -> Tensor:
        """The picture without its mesh, -1..1, NCHW."""
        start = centred(image)
        x = self.enter(start)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1))
        return start + self.leave(x)


class Sampler:
    """Pieces of faces with a fresh mesh; one in ten without, which must come back as it was."""

    def __init__(self, corpus: Corpus) -> None:
        crops = corpus.select("fairface", parts=("train",), aligned=False)
        chosen = default_rng(21).permutation(len(crops))[:POOL]
        self._faces = [face(corpus, crops[place]) for place in chosen]

    def __call__(self, step: int) -> Batch:
        rng = default_rng((9, step))
        pairs = [self._pair(rng) for _ in range(BATCH)]
        clean, marked = (torch.from_numpy(np.stack(column)) for column in zip(*pairs, strict=True))
        return {"clean": clean, "image": marked}

    def _pair(self, rng: Generator) -> tuple[Image, Image]:
        whole = self._faces[int(rng.integers(len(self._faces)))]
        side = int(rng.integers(SEEN * 3 // 4, len(whole) + 1))
        top, left = rng.integers(0, len(whole) - side + 1, 2)
        small = cv2.resize(whole[top : top + side, left : left + side], (SEEN, SEEN), interpolation=cv2.INTER_AREA)
        clean = np.ascontiguousarray(small[:, ::-1] if chance(rng, 0.5) else small, np.uint8)
        if chance(rng, 0.1):
            return clean, clean
        marked = watermarked(clean, KINDS[int(rng.integers(len(KINDS)))], rng)
        return clean, recompress(marked, rng, 60) if chance(rng, 0.3) else marked


def face(corpus: Corpus, crop: Crop) -> Image:
    """A crop at one size, whatever its archive."""
    return np.asarray(cv2.resize(corpus.pixels(crop), (128, 128), interpolation=cv2.INTER_AREA), np.uint8)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean distance, and that of the differences between neighbours: a left-over line is all edge."""
    assert isinstance(model, Dewater)
    wanted = centred(batch["clean"])
    got = model.clean(batch["image"]).float()
    edges = sum(F.l1_loss(got.diff(dim=axis), wanted.diff(dim=axis)) for axis in (2, 3))
    return F.l1_loss(got, wanted) + 0.5 * edges


def main() -> None:
    args = arguments("Train the mesh remover.", "dewater", STEPS).parse_args()
    log = runs.start(args)
    mean = fit(Dewater(), Sampler(Corpus(args.corpus)), loss, Plan.of(args), log)
    if mean is not None:
        publish(mean, args.pack)


def publish(model: nn.Module, pack: Path) -> None:
    """Any size that four halvings divide."""
    export(
        model, pack / "dewater.onnx", (SEEN, SEEN), ["image_clean"], any_size=True, half_weights=True, tolerance=5e-3
    )
    packtoml.set_role("dewater", "dewater.onnx", "image_to_image", pack=pack, multiple=16, sides=[128, 320])


if __name__ == "__main__":
    main()
