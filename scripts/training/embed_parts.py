"""Each part of the embedder by itself, from the teacher's map before it to the one after it.

`python -m scripts.training.embed_parts` -> WORK/parts.pt. Thousands of places of a map say more than 128 numbers:
joined after twelve minutes, the parts recognise about as well as a whole network after sixteen (LFW .915 against .920,
TAR at 1e-4 .395 against .376), and what follows is learned faster.
"""

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from scripts.training import runs
from scripts.training.embed_maps import Maps
from scripts.training.embed_net import Embedder
from scripts.training.optim import Optimizer, schedule
from scripts.training.views import endless

Rows = NDArray[np.int64]
BATCH = 128
HELD_OUT = 512


def apart(guess: Tensor, told: Tensor) -> Tensor:
    """The share of a standardised map that is not explained."""
    return (guess.float() - told).square().mean()


def unlike(guess: Tensor, answer: Tensor) -> Tensor:
    return 1 - functional.cosine_similarity(guess.float(), answer).mean()


@dataclass(frozen=True, slots=True)
class Lesson:
    """From a field of the maps to another, for so many minutes."""

    part: str
    given: str
    wanted: str
    loss: Callable[[Tensor, Tensor], Tensor]
    minutes: float


LESSONS = (
    Lesson("fine", "pixels", "fine", apart, 4),
    Lesson("coarse", "fine", "coarse", apart, 5),
    Lesson("who", "coarse", "answer", unlike, 3),
)


def teach(network: nn.Module, lesson: Lesson, maps: Maps, log: logging.Logger) -> None:
    where = runs.device()
    optimizer = Optimizer(network, muon=0.01, adam=0.0025)
    network.train()
    places, losses, spent, told = endless(np.random.default_rng(1), len(maps)), [], 0.0, 0.0
    while spent < lesson.minutes * 60:
        began = time.monotonic()
        rows = np.sort(np.fromiter(islice(places, BATCH), np.int64))
        loss = _loss(network, lesson, maps, rows, where)
        loss.backward()
        losses.append(loss.detach())
        optimizer.step(schedule(spent / lesson.minutes / 60, decay=0.6))
        spent += time.monotonic() - began
        if spent - told > 30:
            told, recent = spent, torch.stack(losses[-50:]).mean()
            log.info("%s %.1f min, step %d, loss %.4f", lesson.part, spent / 60, len(losses), recent)
    network.eval()
    with torch.no_grad():
        held_out = np.arange(len(maps), len(maps) + HELD_OUT)
        log.info("%s held out: %.4f", lesson.part, _loss(network, lesson, maps, held_out, where))


def _loss(network: nn.Module, lesson: Lesson, maps: Maps, rows: Rows, where: torch.device) -> Tensor:
    given, wanted = (maps.rows(field, rows).to(where) for field in (lesson.given, lesson.wanted))
    with runs.half(where):
        guess = network(given.contiguous(memory_format=torch.channels_last))
    return lesson.loss(guess, wanted)


def make(work: Path, log: logging.Logger) -> Path:
    """Teach all parts, one after the other; the checkpoint to go on from."""
    maps, path = Maps(work), work / "parts.pt"
    maps.fill()
    model = Embedder().to(runs.device(), memory_format=torch.channels_last)
    for lesson in LESSONS:
        teach(getattr(model, lesson.part), lesson, maps, log)
    runs.save(path, average=model.state_dict())
    return path


def main() -> None:
    args: argparse.Namespace = runs.arguments(__doc__ or "", "embed").parse_args()
    make(args.work, runs.start(args))


if __name__ == "__main__":
    main()
