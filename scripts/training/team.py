"""Processes that learn together, each from its own share of the data: after every step all have the same weights."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Team:
    rank: int = 0
    size: int = 1

    def average_gradients(self, model: nn.Module) -> None:
        self._average([weight.grad for weight in model.parameters() if weight.grad is not None])

    def average_statistics(self, model: nn.Module) -> None:
        """Batch norms have seen only their own process's pictures."""
        self._average([buffer for buffer in model.buffers() if buffer.is_floating_point()])

    def agreed(self, value: float) -> float:
        """What the first process says."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(said, 0)
        return said.item()

    def _average(self, tensors: list[Tensor]) -> None:
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def together(work: Callable[[Team, T], None], size: int, argument: T) -> None:
    """Run `work` in this many processes; a single one stays here."""
    if size == 1:
        work(Team(), argument)
    else:
        processes.spawn(_member, (_free_port(), work, size, argument), nprocs=size)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _member(rank: int, port: int, work: Callable[[Team, T], None], size: int, argument: T) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=size)
    work(Team(rank, size), argument)
    dist.destroy_process_group()
