"""Train, resume and export the face detector.

    python -m scripts.training.detect                # labels where there are none, training, export
    python -m scripts.training.detect --minutes 15   # a part of it: goes on from its checkpoint the next time
    python -m scripts.training.detect --export       # the checkpoint as it is into the pack

The last part of the steps sees larger pictures. The crops' labels are the landmark model's (`landmarks_labels`).
"""

import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.training import detect_labels, landmarks_labels, packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.detect_data import Picture, Synthesis
from scripts.training.detect_net import STRIDES, DetectNet, Detector, decode
from scripts.training.export import FromPixels, export
from scripts.training.optim import Optimizer, schedule
from scripts.training.teachers import Floats

# A face belongs to the strides whose range holds its longer side in pixels; near the limits to two.
RANGES = {8: (0.0, 56.0), 16: (36.0, 150.0), 32: (100.0, 1e9)}
SMALL, LARGE, GROW = 256, 320, 0.88  # picture sides, and the share of the steps after which they grow
# Chosen on the real photos; the second look of the server at doubtful faces costs little and rejects most decoys.
SHIPPED = {"threshold": 0.5, "doubt": 0.9, "sure": 0.67, "nms": 0.4, "sizes": [320, 640]}
Targets = tuple[NDArray[np.int8], Floats, Floats]


def grid(size: int) -> Floats:
    """Middle x, middle y and stride of every cell of a square picture, in the network's order."""
    parts = []
    for stride in STRIDES:
        line = (np.arange(size // stride) + 0.5) * stride
        x, y = np.meshgrid(line, line)
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], 1))
    return np.asarray(np.concatenate(parts), np.float32)


def assign(picture: Picture, places: Floats) -> Targets:
    """Per cell: 1 face, 0 background, -1 neither; and the box and points of its face."""
    kind = np.zeros(len(places), np.int8)
    boxes, points = np.zeros((len(places), 4), np.float32), np.zeros((len(places), 10), np.float32)
    nearest = np.full(len(places), np.inf, np.float32)
    for box in picture.ignored:
        kind[((places[:, :2] > box[:2]) & (places[:, :2] < box[2:])).all(1)] = -1
    stride = places[:, 2]
    for box, five in zip(picture.boxes, picture.points, strict=True):
        side = float((box[2:] - box[:2]).max())
        fits = np.isin(stride, [s for s, (low, high) in RANGES.items() if low <= side < high])
        distance = np.abs(places[:, :2] - (box[:2] + box[2:]) / 2).max(1)
        core = np.clip(0.3 * side, 0.6 * stride, 1.0 * stride)
        mine = fits & (distance < core) & (distance < nearest)
        kind[(distance < np.minimum(2 * stride, 0.5 * side)) & (kind == 0)] = -1
        nearest[mine] = distance[mine]
        kind[mine], boxes[mine], points[mine] = 1, box, five.reshape(-1)
    return kind, boxes, points


def overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and GIoU of boxes row by row."""
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    inter = (high - low).clamp(min=0).prod(1)
    union = (one[:, 2:] - one[:, :2]).prod(1) + (other[:, 2:] - other[:, :2]).prod(1) - inter
    hull = (torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])).prod(1)
    iou = inter / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def loss_of(raw: Tensor, places: Tensor, kind: Tensor, boxes: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quality focal loss, GIoU, and L1 of points in shares of the face.

    A score learns half from being a face and half from the overlap of its box: from the overlap alone small and masked
    faces would stay as low as the surest of the false ones.
    """
    logits, found_boxes, found_points = decode(raw, places)
    face = kind == 1
    iou, giou = overlap(found_boxes[face], boxes[face])
    wanted = torch.zeros_like(logits)
    wanted[face] = 0.5 + 0.5 * iou.detach()
    score = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    score = score * (wanted - logits.detach().sigmoid()).abs() ** 2
    count = face.sum().clamp(min=1)
    side = (boxes[face][:, 2:] - boxes[face][:, :2]).amax(1, keepdim=True)
    error = nn.functional.smooth_l1_loss(found_points[face] / side, points[face] / side, beta=0.01, reduction="sum")
    return score[kind >= 0].sum() / count, (1 - giou).sum() / count, error / (10 * count)


class Feed:
    """Batches of fresh pictures, half of them shown once more later, mirrored: making one costs as much as a step."""

    def __init__(self, synthesis: Synthesis, batch: int) -> None:
        self._synthesis, self._batch = synthesis, batch
        self._seen: list[Picture] = []

    def __call__(self, size: int) -> tuple[NDArray[np.uint8], Targets]:
        fresh = [self._synthesis.picture(size) for _ in range(self._batch // 2)]
        again = []
        for _ in range(self._batch - len(fresh)):
            ready = len(self._seen) > 64 and self._seen[0].size == size
            again.append(self._seen.pop(0).mirrored() if ready else self._synthesis.picture(size))
        self._seen = [p for p in self._seen if p.size == size] + fresh
        pictures, places = fresh + again, grid(size)
        kind, boxes, points = zip(*(assign(p, places) for p in pictures), strict=True)
        return np.stack([p.pixels for p in pictures]), (np.stack(kind), np.stack(boxes), np.stack(points))


def main() -> None:
    parser = runs.arguments("Train the face detector.", "detect")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--export", action="store_true", help="write the pack's file from the last checkpoint")
    args = parser.parse_args()
    log = runs.start(args)
    checkpoint = args.work / "detect.pt"
    if args.export:
        write(checkpoint)
        return
    where = runs.device()
    model = DetectNet().to(where, memory_format=torch.channels_last)
    optimizer, average = Optimizer(model), runs.Average(model, 0.998)
    step = 0
    if state := runs.load(checkpoint, where):
        model.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        optimizer.restore(state["optimizer"])
        step = average.steps = state["step"]
    corpus = Corpus(args.corpus)
    crops = args.work.parent / "landmarks"
    if not list(crops.glob("faces_???.npz")):
        landmarks_labels.make(crops, corpus, log)
    if not (args.work / detect_labels.FILE).exists():
        detect_labels.make(args.work, corpus, log)
    synthesis = Synthesis(args.work, corpus, "train", [args.seed, step])
    feed = Feed(synthesis, args.batch)
    log.info("%d faces, from step %d of %d", len(synthesis.faces), step, args.steps)
    end, running = time.monotonic() + args.minutes * 60, np.zeros(3)
    while step < args.steps and time.monotonic() < end:
        size = LARGE if step > GROW * args.steps else SMALL
        pixels, targets = feed(size)
        kind, boxes, points = (torch.from_numpy(part).to(where) for part in targets)
        inputs = torch.from_numpy(pixels).to(where).permute(0, 3, 1, 2).float()
        inputs = ((inputs - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)
        with runs.half(where):
            raw, places = model(inputs)
        parts = loss_of(raw, places, kind, boxes, points)
        (parts[0] * 2 + parts[1] + parts[2] * 3).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 20.0)
        optimizer.step(schedule(step / args.steps, 0.03, 0.6))
        average.update(model)
        running += (np.array([float(part.detach()) for part in parts]) - running) * 0.02
        step += 1
        if step % 200 == 0:
            log.info("step %d size %d score %.3f box %.3f points %.4f", step, size, *running)
        if step % 1000 == 0:
            _save(checkpoint, model, average, optimizer, step)
    _save(checkpoint, model, average, optimizer, step)
    log.info("stopped at step %d", step)
    if step == args.steps:
        write(checkpoint)


def _save(path: Path, model: nn.Module, average: runs.Average, optimizer: Optimizer, step: int) -> None:
    states = {"model": model.state_dict(), "average": average.model.state_dict(), "optimizer": optimizer.state()}
    runs.save(path, **states, step=step)


def write(checkpoint: Path) -> None:
    state = runs.load(checkpoint, torch.device("cpu"))
    if state is None:
        raise SystemExit(f"no checkpoint {checkpoint}: train first")
    model = DetectNet()
    model.load_state_dict(state["average"])
    outputs = ["scores", "boxes", "points"]
    target = packtoml.PACK / "detect.onnx"
    export(FromPixels(Detector(model)), target, (96, 128), outputs, any_size=True, half_weights=True)
    packtoml.set_role("detect", "detect.onnx", "anchor_free", **SHIPPED)


if __name__ == "__main__":
    main()
