"""The training loop of the small models: resumable, on a CPU or a GPU, with a fixed seed and averaged weights."""

import argparse
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from logging import Logger
from pathlib import Path

import torch
from torch import Tensor, nn

from scripts.training import packtoml, runs
from scripts.training.onnx_weights import restore
from scripts.training.optim import Optimizer, schedule

Batch = dict[str, Tensor]
FILE = "checkpoint.pt"
SAVED = 300.0  # seconds between checkpoints


@dataclass(frozen=True)
class Plan:
    """How long to learn, and from what. `seconds` ends this call early: the next one goes on from the checkpoint."""

    folder: Path
    steps: int
    seconds: float = math.inf
    workers: int = 0
    source: Path | None = None  # an exported file whose weights to start from
    muon: float = 0.006
    adam: float = 0.002
    warmup: float = 0.02  # shares of the steps in which the learning rate rises and falls
    decay: float = 0.5
    steepest: float = 5.0  # longer gradients are shortened

    @classmethod
    def of(cls, args: argparse.Namespace, **others: float) -> "Plan":
        rates = {"muon": cls.muon * args.rate, "adam": cls.adam * args.rate}
        return cls(args.work, args.steps, args.seconds, args.workers, args.source, **rates, **others)


def arguments(about: str, work: str, steps: int) -> argparse.ArgumentParser:
    """The common arguments, and those of a run in slices or from what was shipped."""
    parser = runs.arguments(about, work)
    parser.add_argument("--pack", type=Path, default=packtoml.PACK)
    parser.add_argument("--from", dest="source", type=Path, help="an exported file whose weights to start from")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--rate", type=float, default=1.0, help="of the usual learning rates; less with --from")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop at a checkpoint after so long")
    parser.add_argument("--workers", type=int, default=0, help="threads that make batches ahead")
    return parser


def fit(
    model: nn.Module,
    sample: Callable[[int], Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    plan: Plan,
    log: Logger,
) -> nn.Module | None:
    """The averaged model after the last step; None when time ran out before.

    `sample` makes a step's batch from the step's number alone: a resumed run sees what an unbroken one would.
    `loss` answers one number or several parts, which are added up and told one by one.
    """
    where = runs.device()
    checkpoint = plan.folder / FILE
    if plan.source and not checkpoint.exists():
        restore(model, plan.source, lambda: loss(model, sample(0)))
    model.to(where, memory_format=torch.channels_last)
    mean = runs.Average(model, 0.998)
    optimizer = Optimizer(model, muon=plan.muon, adam=plan.adam)
    first = _resume(checkpoint, model, mean, optimizer, where)
    started = told = saved = time.monotonic()
    recent: deque[Tensor] = deque(maxlen=200)
    done = first
    for number, batch in _batches(sample, first, plan):
        model.train()
        with runs.half(where):
            value = loss(model, {name: tensor.to(where) for name, tensor in batch.items()})
        value.sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), plan.steepest)
        optimizer.step(schedule(number / plan.steps, plan.warmup, plan.decay))
        mean.update(model)
        recent.append(value.detach().float().cpu())
        done, now = number + 1, time.monotonic()
        if now - told > 30 or done == plan.steps:
            told = now
            parts = torch.stack(list(recent)).mean(0).flatten().tolist()
            log.info("step %d of %d: loss %s", done, plan.steps, " + ".join(f"{part:.4f}" for part in parts))
        if now - saved > SAVED:
            saved = now
            _save(checkpoint, model, mean, optimizer, done)
        if now - started > plan.seconds:
            break
    if done > first:
        _save(checkpoint, model, mean, optimizer, done)
    return mean.model if done >= plan.steps else None


def restored(model: nn.Module, *folders: Path) -> nn.Module:
    """The model with the average weights of a run's last checkpoint, or the mean of several that began as one."""
    states = []
    for folder in folders:
        if (state := runs.load(folder / FILE, torch.device("cpu"))) is None:
            raise SystemExit(f"no checkpoint in {folder}: train first")
        states.append(state["mean"])
    mean = {
        name: torch.stack([s[name].float() for s in states]).mean(0).to(first.dtype)
        for name, first in states[0].items()
    }
    model.load_state_dict(mean)
    return model


def _save(path: Path, model: nn.Module, mean: runs.Average, optimizer: Optimizer, step: int) -> None:
    state = {"model": model.state_dict(), "mean": mean.model.state_dict(), "steps": mean.steps}
    runs.save(path, **state, optimizer=optimizer.state(), step=step)


def _resume(path: Path, model: nn.Module, mean: runs.Average, optimizer: Optimizer, where: torch.device) -> int:
    state = runs.load(path, where)
    if state is None:
        return 0
    model.load_state_dict(state["model"])
    mean.model.load_state_dict(state["mean"])
    mean.steps = state["steps"]
    optimizer.restore(state["optimizer"])
    return int(state["step"])


def _batches(sample: Callable[[int], Batch], first: int, plan: Plan) -> Iterator[tuple[int, Batch]]:
    """Batches in order, some of them made ahead by other threads (OpenCV and NumPy let them run)."""
    if not plan.workers:
        for step in range(first, plan.steps):
            yield step, sample(step)
        return
    with ThreadPoolExecutor(plan.workers) as pool:
        waiting: deque[tuple[int, Future[Batch]]] = deque()
        for step in range(first, plan.steps):
            waiting.append((step, pool.submit(sample, step)))
            if len(waiting) > 2 * plan.workers:
                number, future = waiting.popleft()
                yield number, future.result()
        for number, future in waiting:
            yield number, future.result()
