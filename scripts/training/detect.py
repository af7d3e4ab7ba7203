"""Train, resume and export the face detector.

    python -m scripts.training.detect                # labels where there are none, training, export
    python -m scripts.training.detect --seconds 900  # a part of it: goes on from its checkpoint the next time
    python -m scripts.training.detect --export       # the checkpoint as it is into the pack

It learns what YuNet says about every picture (`detect_echo`), and from labels where they know better; those of the
crops are the landmark model's (`landmarks_labels`). The last part of the steps sees larger pictures.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.training import detect_labels, landmarks_labels, packtoml, runs
from scripts.training.corpus import Corpus
from scripts.training.detect_data import Synthesis
from scripts.training.detect_echo import SEEN, Echo
from scripts.training.detect_net import STRIDES, DetectNet, Detector, decode
from scripts.training.detect_picture import Picture
from scripts.training.export import FromPixels, export
from scripts.training.fitting import Batch, Plan, arguments, fit, restored
from scripts.training.smallnets import centred
from scripts.training.teachers import Floats

FILE = "detect.onnx"
STEPS = 6_000

# A face belongs to the strides whose range holds its longer side in pixels; near the limits to two.
RANGES = {8: (0.0, 56.0), 16: (36.0, 150.0), 32: (100.0, 1e9)}
SMALL, LARGE, GROW = 256, 320, 0.88  # picture sides, and the share of the steps after which they grow
AGAIN = 8  # steps after which a picture is shown once more
# Chosen on the real photos; the second look of the server at doubtful faces costs little and rejects most decoys.
SHIPPED = {"threshold": 0.42, "doubt": 0.75, "sure": 0.57, "nms": 0.3, "sizes": [320, 640], "crowd": 1024}


def grid(size: int) -> Floats:
    """Middle x, middle y and stride of every cell of a square picture, in the network's order."""
    parts = []
    for stride in STRIDES:
        line = (np.arange(size // stride) + 0.5) * stride
        x, y = np.meshgrid(line, line)
        parts.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], 1))
    return np.asarray(np.concatenate(parts), np.float32)


def kinds(picture: Picture, places: Floats) -> NDArray[np.int8]:
    """What the labels say of every cell: 1 face, 0 background, -1 neither."""
    kind = np.zeros(len(places), np.int8)
    for box in picture.ignored:
        kind[((places[:, :2] > box[:2]) & (places[:, :2] < box[2:])).all(1)] = -1
    stride = places[:, 2]
    for box in picture.boxes:
        side = float((box[2:] - box[:2]).max())
        fits = np.isin(stride, [s for s, (low, high) in RANGES.items() if low <= side < high])
        distance = np.abs(places[:, :2] - (box[:2] + box[2:]) / 2).max(1)
        core = np.clip(0.3 * side, 0.6 * stride, 1.0 * stride)
        kind[(distance < np.maximum(2 * stride, 0.5 * side)) & (kind == 0)] = -1
        kind[fits & (distance < core)] = 1
    return kind


def giou(one: Tensor, other: Tensor) -> Tensor:
    """Generalised overlap of boxes row by row."""
    low, high = torch.maximum(one[:, :2], other[:, :2]), torch.minimum(one[:, 2:], other[:, 2:])
    inter = (high - low).clamp(min=0).prod(1)
    union = (one[:, 2:] - one[:, :2]).prod(1) + (other[:, 2:] - other[:, :2]).prod(1) - inter
    hull = (torch.maximum(one[:, 2:], other[:, 2:]) - torch.minimum(one[:, :2], other[:, :2])).prod(1)
    return inter / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def loss_of(raw: Tensor, places: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Quality focal loss, GIoU, and L1 of points in shares of the face."""
    logits, found_boxes, found_points = decode(raw, places)
    wanted = batch["score"]
    face = wanted >= SEEN
    score = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    score = score * (wanted - logits.detach().sigmoid()).abs() ** 2 * batch["weight"]
    sure, boxes, points = wanted[face], batch["boxes"][face], batch["points"][face]
    count = sure.sum().clamp(min=1)
    side = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    error = nn.functional.smooth_l1_loss(found_points[face] / side, points / side, beta=0.01, reduction="none")
    place = sure * (1 - giou(found_boxes[face], boxes))
    return score.sum() / count, place.sum() / count, (sure[:, None] * error).sum() / (10 * count)


class Feed:
    """Batches by the step's number. Half of a batch is fresh, half was fresh some steps ago and is mirrored now:
    making a picture costs as much as learning from it."""

    def __init__(self, synthesis: Synthesis, batch: int, seed: int, grows: int) -> None:
        self._synthesis, self._half, self._seed, self._grows = synthesis, batch // 2, seed, grows
        self._made: dict[int, list[Picture]] = {}
        self._grids = {size: grid(size) for size in (SMALL, LARGE)}
        self._echo = Echo()

    def __call__(self, step: int) -> Batch:
        size = LARGE if step >= self._grows else SMALL
        pictures = self._fresh(step, size) + [picture.mirrored() for picture in self._fresh(step - AGAIN, size)]
        self._made.pop(step - AGAIN, None)
        answers = zip(*(self._echo(p, kinds(p, self._grids[size])) for p in pictures), strict=True)
        arrays = {"pixels": np.stack([p.pixels for p in pictures])}
        arrays |= {
            name: np.stack(part) for name, part in zip(("score", "weight", "boxes", "points"), answers, strict=True)
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _fresh(self, step: int, size: int) -> list[Picture]:
        made = self._made.get(step)
        if made is None or made[0].size != size:
            rng = np.random.default_rng([self._seed, step + AGAIN])
            made = self._made[step] = [self._synthesis.picture(size, rng) for _ in range(self._half)]
        return made


def loss(model: nn.Module, batch: Batch) -> Tensor:
    raw, places = model(centred(batch["pixels"]))
    score, box, points = loss_of(raw, places, batch)
    return torch.stack([2 * score, box, 3 * points])


def main() -> None:
    parser = arguments("Train the face detector.", "detect", STEPS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--export", action="store_true", help="write the pack's file from the last checkpoint")
    args = parser.parse_args()
    log = runs.start(args)
    if args.export:
        publish(restored(DetectNet(), args.work), args.pack)
        return
    corpus = Corpus(args.corpus)
    crops = args.work.parent / "landmarks"
    if not list(crops.glob("faces_???.npz")):
        landmarks_labels.make(crops, corpus, log)
    if not (args.work / detect_labels.FILE).exists():
        detect_labels.make(args.work, corpus, log)
    synthesis = Synthesis(args.work, corpus, "train")
    log.info("%d faces", len(synthesis.people))
    feed = Feed(synthesis, args.batch, args.seed, int(GROW * args.steps))
    plan = Plan.of(args, warmup=0.03, decay=0.6, steepest=20.0)
    if (mean := fit(DetectNet(), feed, loss, plan, log)) is not None:
        publish(mean, args.pack)


def publish(model: nn.Module, pack: Path) -> None:
    assert isinstance(model, DetectNet)
    outputs = ["scores", "boxes", "points"]
    graph = FromPixels(Detector(model))
    export(graph, pack / FILE, (96, 128), outputs, any_size=True, half_weights=True, tolerance=3e-3)
    packtoml.set_role("detect", FILE, "anchor_free", pack=pack, **SHIPPED)


if __name__ == "__main__":
    main()
