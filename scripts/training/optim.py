"""Muon for matrices and convolutions, AdamW for everything else, behind one `step`."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix with singular values about 1.

    Every Newton-Schulz step multiplies by a polynomial of the Gram matrix, and these commute: iterating on the small
    square Gram matrix and multiplying once is a third of the work of iterating on the wide matrix.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    eye = torch.eye(len(gram), device=gram.device, dtype=gram.dtype)
    product = eye
    a, b, c = NEWTON_SCHULZ
    for _ in range(steps):
        factor = a * eye + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    wide = torch.mm(product, wide)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal (K. Jordan's Muon); kernels count as out x (in * height * width)."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.02) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                trace = state.setdefault("trace", torch.zeros_like(weight))
                trace.lerp_(weight.grad, 1 - group["momentum"])
                nesterov = weight.grad.lerp(trace, group["momentum"])
                update = orthogonal(nesterov.reshape(len(weight), -1)).view_as(weight)
                rows, columns = len(weight), weight[0].numel()
                weight.mul_(1 - group["lr"] * group["decay"])
                weight.add_(update, alpha=-group["lr"] * math.sqrt(max(1.0, rows / columns)))


class Optimizer:
    """Both optimisers with one learning-rate factor between 0 and 1."""

    def __init__(self, model: nn.Module, muon: float = 0.006, adam: float = 0.002, decay: float = 0.02) -> None:
        # A depthwise kernel has one input channel: orthogonalising its rows means nothing.
        kernels = [p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 3]
        known = {id(p) for p in kernels}
        rest = [p for p in model.parameters() if id(p) not in known]
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=adam, betas=(0.9, 0.98))]
        if kernels:
            self.parts.append(Muon(kernels, lr=muon, decay=decay))
        self._peaks = [[float(g["lr"]) for g in part.param_groups] for part in self.parts]

    def step(self, factor: float) -> None:
        """One update at `factor` of the peak learning rates; gradients are cleared."""
        for part, peaks in zip(self.parts, self._peaks, strict=True):
            for group, peak in zip(part.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, object]]:
        return [part.state_dict() for part in self.parts]

    def restore(self, state: list[dict[str, object]]) -> None:
        for part, saved in zip(self.parts, state, strict=True):
            part.load_state_dict(saved)


def schedule(progress: float, warmup: float = 0.02, decay: float = 0.5) -> float:
    """Learning-rate factor at `progress` 0..1: a short rise, a plateau, a straight fall to zero over the last part."""
    return max(0.0, min(1.0, progress / warmup if warmup else 1.0, (1 - progress) / decay if decay else 1.0))
