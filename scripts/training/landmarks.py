"""Train, resume and export the landmark model: 98 points and the head's pose from an upright 112x112 crop.

python -m scripts.training.landmarks                # labels where there are none, training, export
python -m scripts.training.landmarks --minutes 15   # a part of it: goes on from its checkpoint the next time
python -m scripts.training.landmarks --export       # the checkpoint as it is into the pack
"""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scripts.training import landmarks_labels, packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.export import FromPixels, export
from scripts.training.landmarks_data import SCALE, SIZE, Faces, Views, load
from scripts.training.optim import Optimizer, schedule

POINTS = 98
BATCH = 64
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


def loss_of(answer: tuple[Tensor, Tensor], points: Tensor, weights: Tensor, pose: Tensor) -> Tensor:
    emphasis = torch.ones(POINTS, device=points.device)
    emphasis[SHARP] = 2.0
    distance = (answer[0].float() - points).norm(dim=2)
    landmark = (wing(distance) * weights * emphasis).mean() * 100
    turn = nn.functional.smooth_l1_loss(answer[1].float() / POSE_UNIT, pose / POSE_UNIT, beta=0.1)
    return landmark + POSE_WEIGHT * 10 * turn


def start_from_mean(model: LandmarkNet, faces: Faces) -> None:
    """The last layer's bias begins as the mean face, so that training starts with the pose of the crop."""
    views = Views(faces, np.random.default_rng(0))
    mean = views.batch(256)[1].mean(0)
    with torch.no_grad():
        model.points.bias.copy_(torch.from_numpy(mean.reshape(-1)))


@torch.no_grad()
def validate(model: nn.Module, views: list[Tensor]) -> tuple[float, float]:
    """Mean distance to the consensus as a share of the crop, and mean pose error, on fixed disturbed views."""
    pixels, points, _, pose = views
    answers = [model((part.permute(0, 3, 1, 2).float() - 127.5) / 127.5) for part in pixels.split(64)]
    found, turned = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return float((found - points).norm(dim=2).mean()), float((turned - pose).abs().mean())


def main() -> None:
    parser = runs.arguments("Train the landmark model.", "landmarks")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--export", action="store_true", help="write the pack's file from the last checkpoint")
    args = parser.parse_args()
    log = runs.start(args)
    checkpoint = args.work / "landmarks.pt"
    if args.export:
        write(checkpoint)
        return
    where = runs.device()
    corpus = Corpus(args.corpus)
    if not list(args.work.glob("faces_???.npz")):
        landmarks_labels.make(args.work, corpus, log)
    faces = load(args.work, corpus, "train")
    model = LandmarkNet()
    start_from_mean(model, faces)
    model = model.to(where, memory_format=torch.channels_last)
    optimizer, average = Optimizer(model), runs.Average(model, 0.998)
    step = 0
    if state := runs.load(checkpoint, where):
        model.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        optimizer.restore(state["optimizer"])
        step = average.steps = state["step"]
    views = Views(faces, np.random.default_rng([args.seed, step]))
    held_out = Views(load(args.work, corpus, "valid"), np.random.default_rng(5)).batch(512)
    fixed = [torch.from_numpy(part).to(where) for part in held_out]
    log.info("%d faces, from step %d of %d", len(faces), step, args.steps)
    end, running = time.monotonic() + args.minutes * 60, 0.0
    while step < args.steps and time.monotonic() < end:
        pixels, points, weights, pose = (torch.from_numpy(part).to(where) for part in views.batch(BATCH))
        inputs = ((pixels.permute(0, 3, 1, 2).float() - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)
        with runs.half(where):
            answer = model(inputs)
        loss = loss_of(answer, points, weights, pose)
        loss.backward()
        optimizer.step(schedule(step / args.steps, 0.03, 0.6))
        average.update(model)
        running += (float(loss.detach()) - running) * 0.02
        step += 1
        if step % 500 == 0:
            distance, turn = validate(average.model, fixed)
            log.info("step %d loss %.3f: %.5f of the crop from the consensus, pose %.2f", step, running, distance, turn)
    states = {"model": model.state_dict(), "average": average.model.state_dict(), "optimizer": optimizer.state()}
    runs.save(checkpoint, **states, step=step)
    log.info("stopped at step %d", step)
    if step == args.steps:
        write(checkpoint)


def write(checkpoint: Path) -> None:
    state = runs.load(checkpoint, torch.device("cpu"))
    if state is None:
        raise SystemExit(f"no checkpoint {checkpoint}: train first")
    model = LandmarkNet()
    model.load_state_dict(state["average"])
    export(FromPixels(model), packtoml.PACK / "landmarks.onnx", (SIZE, SIZE), ["points", "pose"], half_weights=True)
    packtoml.set_role("landmarks", "landmarks.onnx", "crop_points", layout="wflw98", scale=SCALE, rotate=True)


if __name__ == "__main__":
    main()
