"""The face embedder: it learns to answer every view as the teacher does (`python -m scripts.training.embed`).

Views and the teacher's maps are made first where there are none (`embed_views`, `embed_maps`), then the network's
parts are taught one by one (`embed_parts`), then the whole, at first with the maps as hints. A killed run goes on where
it was; `--from` starts a new one from weights. At the end the pack gets the average weights.
"""

import argparse
import logging
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from scripts.training import embed_pairs, embed_parts, embed_views, runs
from scripts.training.corpus import Corpus
from scripts.training.embed_export import ship, shipped
from scripts.training.embed_maps import Maps
from scripts.training.embed_net import Embedder
from scripts.training.embed_parts import apart, unlike
from scripts.training.embed_views import Stored
from scripts.training.optim import Optimizer, schedule
from scripts.training.smallnets import centred
from scripts.training.teachers import MobileFaceNet
from scripts.training.team import Team, together
from scripts.training.views import endless

HINTS = 20 / 64  # of a batch come with the teacher's maps, while these count
WEIGHT = 0.5  # of the maps beside the answer, falling
ALIGNED = 20  # steps after which batch norms of several processes agree again


def jitter(faces: Tensor) -> Tensor:
    """Cheap changes that leave the answer nearly as it was: mirror, turn, shift, light, a covered patch."""
    count, size = len(faces), faces.shape[1]
    x = centred(faces)
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
    def read(cls, corpus: Corpus) -> "Exam":
        lfw = corpus.select("lfw")
        left_out = embed_pairs.faces(corpus, corpus.select("fairface", parts=("test",))[::5])
        answers = MobileFaceNet(flip=True)(left_out)
        tensors = [torch.from_numpy(faces) for faces in (embed_pairs.faces(corpus, lfw), left_out)]
        return cls(tensors[0], [crop.identity for crop in lfw], tensors[1], torch.from_numpy(answers))

    def report(self, model: nn.Module, where: torch.device) -> str:
        pairs = embed_pairs.Pairs.of(embed(model, self.lfw, where).numpy(), self.names)
        like = functional.cosine_similarity(embed(model, self.fairface, where), self.answers).mean()
        tars = " ".join(f"{pairs.tar(far):.3f}" for far in (1e-3, 1e-4, 1e-5))
        return f"lfw {pairs.accuracy():.4f} tar {tars} cosine to teacher {float(like):.4f}"


@torch.no_grad()
def embed(model: nn.Module, faces: Tensor, where: torch.device) -> Tensor:
    """Embeddings of uint8 NHWC faces, averaged with those of the mirrored faces."""
    parts = []
    for batch in faces.split(64):
        x = centred(batch.to(where))
        with runs.half(where):
            pair = [model(x).float(), model(x.flip(-1)).float()]
        parts.append(sum((functional.normalize(p) for p in pair), torch.zeros_like(pair[0])).cpu())
    return torch.cat(parts)


@dataclass(frozen=True, slots=True)
class Batch:
    """The first `hints` faces come with the teacher's maps."""

    faces: Tensor
    answers: Tensor
    maps: tuple[Tensor, ...] = ()
    hints: int = 0


class Source:
    """One process's views, and hints from everybody's."""

    def __init__(self, work: Path, team: Team, batch: int, seed: int) -> None:
        self._views, self._maps = Stored(work / "views", team.rank, team.size), Maps(work)
        self._rng = np.random.default_rng((seed, team.rank))
        self._batch = batch
        self._places = endless(self._rng, len(self._views))

    def __len__(self) -> int:
        return len(self._views)

    def draw(self, hinted: bool) -> Batch:
        hints = round(self._batch * HINTS) if hinted else 0
        chosen = list(islice(self._places, self._batch - hints))
        faces = jitter(torch.from_numpy(np.stack([self._views.pixels(number) for number in chosen])))
        answers = torch.from_numpy(self._views.answers[chosen])
        if not hints:
            return Batch(faces, answers)
        rows = self._rows(hints)
        shown, told, *maps = (self._maps.rows(field, rows) for field in ("pixels", "answer", "fine", "coarse"))
        return Batch(torch.cat([shown, faces]), torch.cat([told, answers]), tuple(maps), hints)

    def _rows(self, count: int) -> NDArray[np.int64]:
        return np.sort(self._rng.integers(len(self._maps), size=count))


class Run:
    """One training run of a given length in minutes of its own clock."""

    def __init__(self, args: argparse.Namespace, team: Team, log: logging.Logger) -> None:
        self.args, self.team, self.log = args, team, log
        self.where = runs.device()
        self.path = args.work / f"{args.name}.pt"
        self.model = Embedder().to(self.where, memory_format=torch.channels_last)
        self.optimizer = Optimizer(self.model, muon=args.lr, adam=args.lr / 4)
        state = runs.load(self.path, self.where)
        self.model.load_state_dict(state["model"] if state else start(args))
        self.average = runs.Average(self.model)
        self.seconds, self.steps = 0.0, 0
        if state:
            self.average.model.load_state_dict(state["average"])
            self.optimizer.restore(state["optimizer"])
            self.seconds, self.steps = state["seconds"], state["steps"]
            self.average.steps = self.steps

    def go(self, source: Source, exam: Exam | None) -> None:
        """`exam` is held by the first process of the team, which also keeps the checkpoints."""
        total = self.args.minutes * 60
        saved, losses = time.monotonic(), []
        while (done := self.team.agreed(self.seconds / total)) < 1:
            began = time.monotonic()
            losses.append(self.step(source, done))
            # A pause of the machine must not eat the schedule.
            self.seconds += min(time.monotonic() - began, 10.0)
            if exam and (time.monotonic() - saved > self.args.every * 60 or self.seconds >= total):
                self.save()
                self.log.info(
                    "%s %.1f min, step %d, loss %.4f, %d views used %.1f times, %s",
                    *(self.args.name, self.seconds / 60, self.steps, torch.stack(losses).mean(), len(source)),
                    *(self.steps * self.args.batch / len(source), exam.report(self.average.model, self.where)),
                )
                saved, losses = time.monotonic(), []

    def step(self, source: Source, done: float) -> Tensor:
        weight = WEIGHT * max(0.0, 1 - done / self.args.hints) if self.args.hints else 0.0
        batch = source.draw(hinted=weight > 0)
        x = batch.faces.to(self.where, memory_format=torch.channels_last)
        self.model.train()
        with runs.half(self.where):
            *maps, guess = self.model.inside(x)
        loss = unlike(guess, batch.answers.to(self.where))
        (loss + weight * self._hints(maps, batch)).backward()
        self.team.average_gradients(self.model)
        self.optimizer.step(schedule(done, decay=self.args.decay))
        self.steps += 1
        if self.steps % ALIGNED == 0:
            self.team.average_statistics(self.model)
        self.average.update(self.model)
        return loss.detach()

    def _hints(self, maps: list[Tensor], batch: Batch) -> Tensor:
        """How far the first maps are from the teacher's."""
        pairs = zip(maps, batch.maps, strict=False)
        parts = [apart(mine[: batch.hints], told.to(self.where)) for mine, told in pairs]
        return sum(parts, torch.zeros((), device=self.where))

    def save(self) -> None:
        runs.save(
            self.path,
            model=self.model.state_dict(),
            average=self.average.model.state_dict(),
            optimizer=self.optimizer.state(),
            seconds=self.seconds,
            steps=self.steps,
        )


def start(args: argparse.Namespace) -> dict[str, Tensor]:
    """Weights to begin with, of an exported file or of another run."""
    if args.start.suffix == ".onnx":
        return shipped(Corpus(args.corpus), args.start).state_dict()
    return torch.load(args.start, map_location="cpu", weights_only=True)["average"]


def learn(team: Team, args: argparse.Namespace) -> None:
    """What every process of a run does."""
    log = runs.start(args)
    torch.manual_seed(args.seed + team.rank)
    cv2.setNumThreads(args.threads)
    exam = None if team.rank else Exam.read(Corpus(args.corpus))
    Run(args, team, log).go(Source(args.work, team, args.batch, args.seed), exam)


def make_views(args: argparse.Namespace) -> None:
    """In a process for each core, each with a seed of its own."""
    command = [sys.executable, "-m", embed_views.__name__, "--work", str(args.work), "--count", str(args.views)]
    for name in ("corpus", "models"):
        command += [f"--{name}", value] if (value := getattr(args, name)) else []
    makers = [subprocess.Popen([*command, "--seed", str(args.seed + number)]) for number in range(args.processes)]
    codes = [maker.wait() for maker in makers]
    if any(codes):
        raise SystemExit("the views could not be made")


def main() -> None:
    parser = runs.arguments(__doc__ or "", "embed")
    parser.add_argument("--name", default="first", help="of this run and its checkpoint")
    parser.add_argument("--processes", type=int, default=1, help="one for each core")
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--batch", type=int, default=64, help="of each process")
    parser.add_argument("--lr", type=float, default=0.006)
    parser.add_argument("--decay", type=float, default=0.65, help="last share, where the learning rate falls")
    parser.add_argument("--hints", type=float, default=0.5, help="first share of the run, where maps count too")
    parser.add_argument("--every", type=float, default=5, help="minutes between checkpoints")
    parser.add_argument("--views", type=int, default=embed_views.COUNT, help="views to make")
    parser.add_argument("--from", dest="start", type=Path, help="an exported file or a checkpoint to start from")
    parser.add_argument("--keep", action="store_true", help="leave the pack as it is")
    args = parser.parse_args()
    log = runs.start(args)
    make_views(args)
    if not args.start:
        parts = args.work / "parts.pt"
        args.start = parts if parts.exists() else embed_parts.make(args.work, log)
    elif args.hints:
        Maps(args.work).fill()
    together(learn, args.processes, args)
    if not args.keep:
        log.info("shipped %s: %s", args.name, ship(args.work / f"{args.name}.pt", Corpus(args.corpus)))


if __name__ == "__main__":
    main()
