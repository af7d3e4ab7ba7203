"""Train, resume and export the landmark model: 98 points and the head's pose from an upright 112x112 crop.

python -m scripts.training.landmarks                # labels where there are none, training, export
python -m scripts.training.landmarks --seconds 900  # a part of it: goes on from its checkpoint the next time
python -m scripts.training.landmarks --export       # the checkpoint as it is into the pack
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scripts.training import landmarks_labels, packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.export import FromPixels, export
from scripts.training.fitting import Batch, Plan, arguments, fit, restored
from scripts.training.landmarks_data import SCALE, SIZE, Faces, Views, load
from scripts.training.smallnets import centred

FILE = "landmarks.onnx"
POINTS = 98
STEPS, BATCH = 5_000, 64
POSE_UNIT = 30.0  # degrees per unit of the pose loss
POSE_WEIGHT = 0.15
SHARP = slice(60, 98)  # eyes, mouth and pupils decide about opening, so they count double


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class LandmarkNet(nn.Module):
    """Plain 3x3 convolutions down to 7x7, then one linear layer that still knows where each feature was."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            convolution(3, 24, 2),
            convolution(24, 48, 2),
            Residual(48),
            convolution(48, 96, 2),
            Residual(96),
            convolution(96, 160, 2),
            Residual(160),
            nn.Conv2d(160, 48, 1, bias=False),
            nn.BatchNorm2d(48),
            nn.Flatten(),
        )
        self.points = nn.Linear(48 * 7 * 7, POINTS * 2)
        self.pose = nn.Linear(48 * 7 * 7, 3)
        nn.init.zeros_(self.points.weight)
        nn.init.zeros_(self.pose.weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.points(features).unflatten(1, (POINTS, 2)), self.pose(features) * POSE_UNIT


def wing(error: Tensor, width: float = 0.04, curve: float = 0.008) -> Tensor:
    """Wing loss in shares of the crop: logarithmic for small errors, so that they go on shrinking."""
    near = width * torch.log1p(error / curve)
    offset = width - width * float(np.log1p(width / curve))
    return torch.where(error < width, near, error - offset)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    found, turned = model(centred(batch["pixels"]))
    emphasis = torch.ones(POINTS, device=found.device)
    emphasis[SHARP] = 2.0
    distance = (found.float() - batch["points"]).norm(dim=2)
    landmark = (wing(distance) * batch["weights"] * emphasis).mean() * 100
    turn = nn.functional.smooth_l1_loss(turned.float() / POSE_UNIT, batch["pose"] / POSE_UNIT, beta=0.1)
    return torch.stack([landmark, POSE_WEIGHT * 10 * turn])


def start_from_mean(model: LandmarkNet, faces: Faces) -> None:
    """The last layer's bias begins as the mean face, so that training starts with the pose of the crop."""
    views = Views(faces, np.random.default_rng(0))
    mean = views.batch(256)[1].mean(0)
    with torch.no_grad():
        model.points.bias.copy_(torch.from_numpy(mean.reshape(-1)))


def batch_of(faces: Faces, count: int, seed: list[int]) -> Batch:
    parts = Views(faces, np.random.default_rng(seed)).batch(count)
    return dict(zip(("pixels", "points", "weights", "pose"), map(torch.from_numpy, parts), strict=True))


@torch.no_grad()
def validate(model: nn.Module, views: Batch) -> tuple[float, float]:
    """Mean distance to the consensus as a share of the crop, and mean pose error, on fixed disturbed views."""
    answers = [model(centred(part)) for part in views["pixels"].split(64)]
    found, turned = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return float((found - views["points"]).norm(dim=2).mean()), float((turned - views["pose"]).abs().mean())


def main() -> None:
    parser = arguments("Train the landmark model.", "landmarks", STEPS)
    parser.add_argument("--export", action="store_true", help="write the pack's file from the last checkpoint")
    args = parser.parse_args()
    log = runs.start(args)
    if args.export:
        publish(restored(LandmarkNet(), args.work), args.pack)
        return
    corpus = Corpus(args.corpus)
    if not list(args.work.glob("faces_???.npz")):
        landmarks_labels.make(args.work, corpus, log)
    faces = load(args.work, corpus, "train")
    log.info("%d faces", len(faces))
    model = LandmarkNet()
    start_from_mean(model, faces)
    plan = Plan.of(args, warmup=0.03, decay=0.6, steepest=math.inf)
    mean = fit(model, lambda step: batch_of(faces, BATCH, [args.seed, step]), loss, plan, log)
    if mean is not None:
        views = batch_of(load(args.work, corpus, "valid"), 512, [5])
        log.info("%.5f of the crop from the consensus, pose %.2f", *validate(mean.cpu(), views))
        publish(mean, args.pack)


def publish(model: nn.Module, pack: Path) -> None:
    export(FromPixels(model), pack / FILE, (SIZE, SIZE), ["points", "pose"], half_weights=True)
    packtoml.set_role("landmarks", FILE, "crop_points", pack=pack, layout="wflw98", scale=SCALE, rotate=True)


if __name__ == "__main__":
    main()
