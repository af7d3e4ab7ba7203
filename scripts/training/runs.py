"""What every training run shares: arguments, device, seed, log, checkpoints that survive a kill, average weights."""

import argparse
import copy
import logging
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

# glibc gives big blocks back to the kernel and faults them in again at every step; keeping them is 20 to 30 % faster.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_TOP_PAD_": "500000000",
}


def arguments(about: str, work: str) -> argparse.ArgumentParser:
    """The arguments every training command has; `work` is its default folder for checkpoints, views and logs."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--corpus", help="corpus folder (or FACE_CORPUS)")
    parser.add_argument("--models", help="teachers' folder (or FACE_MODELS)")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("FACE_TRAINING", "runs")) / work)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser


def start(args: argparse.Namespace) -> logging.Logger:
    """Apply the common arguments: folders, seed, threads, log file. Restarts Python once to set the allocator."""
    if not all(name in os.environ for name in MALLOC):
        os.environ.update(MALLOC)
        os.execv(sys.executable, [sys.executable, "-m", _module(), *sys.argv[1:]])
    if args.models:
        os.environ["FACE_MODELS"] = args.models
    args.work.mkdir(parents=True, exist_ok=True)
    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    handlers: list[logging.Handler] = [logging.StreamHandler(), logging.FileHandler(args.work / "log.txt")]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers, force=True)
    return logging.getLogger("training")


def device() -> torch.device:
    """CUDA where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half(where: torch.device) -> torch.autocast:
    """bfloat16 forward passes: twice as fast on GPUs and on CPUs with AVX512-BF16."""
    return torch.autocast(where.type, torch.bfloat16)


def save(path: Path, **state: Any) -> None:
    """Write a checkpoint whole or not at all."""
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(path)


def load(path: Path, where: torch.device) -> dict[str, Any] | None:
    """The checkpoint, or None when there is none yet."""
    return torch.load(path, map_location=where, weights_only=True) if path.exists() else None


class Average:
    """Exponential average of a model's weights; short at first, so that early exports are not the random start."""

    def __init__(self, model: nn.Module, decay: float = 0.9995) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.steps += 1
        decay = min(self._decay, self.steps / (self.steps + 9))
        for mine, theirs in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs.detach(), 1 - decay)
            else:
                mine.copy_(theirs)


def _module() -> str:
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        raise RuntimeError("run this as a module: python -m scripts.training.NAME")
    return spec.name
