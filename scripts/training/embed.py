"""The face embedder: it learns to answer every view as the teacher does (`python -m scripts.training.embed`).

A second process, `embed_views`, makes the views meanwhile. A killed run goes on where it was; `--from` starts a new
one from weights, perhaps at another picture size. At the end the pack gets the average weights.
"""

import argparse
import logging
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from scripts.training import embed_pairs, runs
from scripts.training.corpus import Corpus, decode
from scripts.training.embed_export import ship
from scripts.training.embed_net import DIMENSIONS, Embedder, deepened, resized
from scripts.training.embed_views import SHARD, shards
from scripts.training.optim import Optimizer, schedule
from scripts.training.teachers import MobileFaceNet

CAPACITY = 650_000


class Pool:
    """All finished views at the training's picture size, with a count of how often each was used."""

    def __init__(self, folder: Path, size: int, capacity: int, where: torch.device) -> None:
        self._folder, self._size, self._where = folder, size, where
        self.faces = torch.empty(capacity, size, size, 3, dtype=torch.uint8, device=where)
        self.answers = torch.empty(capacity, DIMENSIONS, device=where)
        self._uses = torch.zeros(capacity, device=where)
        self._read: set[Path] = set()
        self.count = 0

    def refresh(self) -> None:
        """Take in shards that were finished since the last time."""
        for path in shards(self._folder):
            if path in self._read:
                continue
            if self.count + SHARD > len(self.faces):
                return
            with np.load(path) as shard:
                data, ends, answers = shard["data"], shard["ends"], shard["answers"]
            files = np.split(data, ends[:-1])
            views = np.stack([self._shrink(file.tobytes()) for file in files])
            place = slice(self.count, self.count + len(views))
            self.faces[place] = torch.from_numpy(views).to(self._where)
            self.answers[place] = torch.from_numpy(answers.astype(np.float32)).to(self._where)
            self.count += len(views)
            self._read.add(path)

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """The least used of a random handful, so that fresh views come first and none is learned by heart."""
        handful = torch.randint(self.count, (4 * batch,), device=self._where)
        chosen = handful[self._uses[handful].argsort()[:batch]]
        self._uses[chosen] += 1
        return self.faces[chosen], self.answers[chosen]

    def uses(self) -> float:
        return float(self._uses[: self.count].mean())

    def _shrink(self, file: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        pixels = decode(file)
        if self._size == pixels.shape[0]:
            return pixels
        return np.asarray(cv2.resize(pixels, (self._size, self._size), interpolation=cv2.INTER_AREA), np.uint8)


def jitter(faces: Tensor) -> Tensor:
    """Cheap changes that leave the answer nearly as it was: mirror, turn, shift, light, a covered patch."""
    count, size = len(faces), faces.shape[1]
    x = (faces.permute(0, 3, 1, 2).float() - 127.5) / 127.5
    where = x.device
    angle = torch.randn(count, device=where) * 0.052
    zoom = torch.exp(torch.randn(count, device=where) * 0.03)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(count, 2, 2) * zoom[:, None, None]
    turn[:, :, 0] *= torch.where(torch.rand(count, device=where) < 0.5, -1.0, 1.0)[:, None]
    shift = torch.randn(count, 2, 1, device=where) * 0.03
    # A quarter is only mirrored: real faces are not softened by a second interpolation.
    plain = torch.rand(count, device=where) < 0.25
    upright = turn[plain, 0, 0].sign()
    turn[plain] = torch.diag_embed(torch.stack([upright, torch.ones_like(upright)], 1))
    shift[plain] = 0
    grid = functional.affine_grid(torch.cat([turn, shift], 2), [count, 3, size, size], align_corners=False)
    x = functional.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    contrast = torch.exp(torch.randn(count, 1, 1, 1, device=where) * 0.12)
    x = (x * contrast + torch.randn(count, 1, 1, 1, device=where) * 0.12).clamp(-1, 1)
    return erase(x)


def erase(x: Tensor, share: float = 0.15) -> Tensor:
    """Cover a random rectangle of some pictures with grey."""
    count, size = len(x), x.shape[-1]
    line = torch.arange(size, device=x.device) / size
    centre, half = torch.rand(2, 2, count, 1, device=x.device)
    inside = [(line - centre[i]).abs() < 0.05 + 0.12 * half[i] for i in (0, 1)]
    covered = inside[0][:, :, None] & inside[1][:, None] & (torch.rand(count, 1, 1, device=x.device) < share)
    return x.masked_fill(covered[:, None], 0.0)


@dataclass(frozen=True, slots=True)
class Exam:
    """LFW people (nobody trained on them) and FairFace crops left out, with the teacher's answers."""

    lfw: Tensor
    names: list[str]
    fairface: Tensor
    answers: Tensor

    @classmethod
    def read(cls, corpus: Corpus, size: int) -> "Exam":
        lfw = corpus.select("lfw")
        rest = corpus.select("fairface", parts=("test",))[::5]
        left_out = embed_pairs.faces(corpus, rest)
        answers = MobileFaceNet(flip=True)(left_out)
        sets = [embed_pairs.faces(corpus, lfw), left_out]
        small = [np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in s]) for s in sets]
        tensors = [torch.from_numpy(s).permute(0, 3, 1, 2) for s in small]
        return cls(tensors[0], [crop.identity for crop in lfw], tensors[1], torch.from_numpy(answers))

    def report(self, model: nn.Module, where: torch.device) -> str:
        pairs = embed_pairs.Pairs.of(embed(model, self.lfw, where).numpy(), self.names)
        like = functional.cosine_similarity(embed(model, self.fairface, where), self.answers).mean()
        tars = " ".join(f"{pairs.tar(far):.3f}" for far in (1e-3, 1e-4, 1e-5))
        return f"lfw {pairs.accuracy():.4f} tar {tars} cosine to teacher {float(like):.4f}"


@torch.no_grad()
def embed(model: Embedder, faces: Tensor, where: torch.device) -> Tensor:
    """Embeddings of uint8 NCHW faces at the model's size, averaged with those of the mirrored faces."""
    parts = []
    for batch in faces.split(64):
        x = (batch.to(where).float() - 127.5) / 127.5
        with runs.half(where):
            pair = [model(x).float(), model(x.flip(-1)).float()]
        parts.append(sum((functional.normalize(p) for p in pair), torch.zeros_like(pair[0])).cpu())
    return torch.cat(parts)


class Run:
    """One training run of a given length in minutes of its own clock."""

    def __init__(self, args: argparse.Namespace, log: logging.Logger) -> None:
        self.args, self.log = args, log
        self.where = runs.device()
        self.path = args.work / f"{args.name}.pt"
        self.model = Embedder(args.size).to(self.where, memory_format=torch.channels_last)
        if args.start:
            weights = torch.load(args.start, map_location=self.where, weights_only=True)["average"]
            self.model.load_state_dict(deepened(resized(weights, args.size), self.model))
        self.optimizer = Optimizer(self.model, muon=args.lr, adam=args.lr / 4)
        self.average = runs.Average(self.model)
        self.seconds, self.steps = 0.0, 0
        if state := runs.load(self.path, self.where):
            self.model.load_state_dict(state["model"])
            self.average.model.load_state_dict(state["average"])
            self.optimizer.restore(state["optimizer"])
            self.seconds, self.steps = state["seconds"], state["steps"]
            self.average.steps = self.steps

    def go(self, pool: Pool, exam: Exam) -> None:
        wait_for(pool, self.args.least, self.log)
        total = self.args.minutes * 60
        saved, losses = time.monotonic(), []
        while self.seconds < total:
            began = time.monotonic()
            losses.append(self.step(pool, schedule(self.seconds / total, decay=self.args.decay)))
            # A pause of the machine must not eat the schedule.
            self.seconds += min(time.monotonic() - began, 10.0)
            if time.monotonic() - saved > self.args.every * 60 or self.seconds >= total:
                self.save()
                self.log.info(
                    "%s %.1f min, step %d, loss %.4f, %d views used %.1f times, %s",
                    *(self.args.name, self.seconds / 60, self.steps, torch.stack(losses).mean(), pool.count),
                    *(pool.uses(), exam.report(self.average.model, self.where)),
                )
                pool.refresh()
                saved, losses = time.monotonic(), []

    def step(self, pool: Pool, factor: float) -> Tensor:
        faces, answers = pool.draw(self.args.batch)
        x = jitter(faces).contiguous(memory_format=torch.channels_last)
        self.model.train()
        with runs.half(self.where):
            guess = self.model(x)
        loss = 1 - functional.cosine_similarity(guess.float(), answers).mean()
        loss.backward()
        self.optimizer.step(factor)
        self.steps += 1
        self.average.update(self.model)
        return loss.detach()

    def save(self) -> None:
        runs.save(
            self.path,
            model=self.model.state_dict(),
            average=self.average.model.state_dict(),
            optimizer=self.optimizer.state(),
            seconds=self.seconds,
            steps=self.steps,
            size=self.args.size,
        )


def wait_for(pool: Pool, least: int, log: logging.Logger) -> None:
    """Too few views are learned by heart."""
    pool.refresh()
    while pool.count < least:
        log.info("%d of the first %d views made", pool.count, least)
        time.sleep(20)
        pool.refresh()


def maker(args: argparse.Namespace) -> "subprocess.Popen[bytes]":
    """The process that makes views while this one learns; it stops by itself when there are enough."""
    command = [
        sys.executable,
        "-m",
        "scripts.training.embed_views",
        "--work",
        str(args.work),
        "--count",
        str(args.views),
    ]
    command += ["--seed", str(args.seed)]
    command += [
        text for name in ("corpus", "models") if (value := getattr(args, name)) for text in (f"--{name}", value)
    ]
    return subprocess.Popen(command)


def main() -> None:
    parser = runs.arguments(__doc__ or "", "embed")
    parser.add_argument("--name", default="first", help="of this run and its checkpoint")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures it learns from")
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.008)
    parser.add_argument("--decay", type=float, default=0.5, help="last share of the run, where the learning rate falls")
    parser.add_argument("--every", type=float, default=4, help="minutes between checkpoints")
    parser.add_argument("--least", type=int, default=60_000, help="views to wait for")
    parser.add_argument("--views", type=int, default=CAPACITY, help="views to make and hold in memory; 0 makes none")
    parser.add_argument("--from", dest="start", type=Path, help="checkpoint whose weights to start from")
    parser.add_argument("--keep", action="store_true", help="leave the pack as it is")
    args = parser.parse_args()
    log = runs.start(args)
    cv2.setNumThreads(args.threads)
    corpus, run = Corpus(args.corpus), Run(args, log)
    making = maker(args) if args.views else None
    try:
        pool = Pool(args.work / "views", args.size, args.views or CAPACITY, run.where)
        run.go(pool, Exam.read(corpus, args.size))
    finally:
        if making:
            making.terminate()
    if not args.keep:
        log.info("shipped %s: %s", run.path.name, ship(run.path, corpus))


if __name__ == "__main__":
    main()
