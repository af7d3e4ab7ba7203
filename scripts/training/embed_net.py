"""The embedder's network: plain 3x3 convolutions, which reach twice the arithmetic rate of depthwise ones on a CPU."""

from collections.abc import Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn
from torch.nn import functional

DIMENSIONS = 128


class Block(nn.Module):
    """Convolution, batch norm, ReLU; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.norm(self.conv(x)))
        return x + y if self.shortcut else y


class Embedder(nn.Module):
    """Float NCHW pixels around zero, `size` x `size` -> 128 numbers; only their direction means something."""

    def __init__(
        self,
        size: int,
        channels: Sequence[int] = (32, 64, 128, 256),
        depth: Sequence[int] = (0, 3, 4, 5),
        head: int = 48,
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        inputs = 3
        for outputs, extra in zip(channels, depth, strict=True):
            blocks.append(Block(inputs, outputs, 2))
            blocks += [Block(outputs, outputs) for _ in range(extra)]
            inputs = outputs
        self.size = size
        self.body = nn.Sequential(*blocks)
        self.squeeze = nn.Sequential(nn.Conv2d(inputs, head, 1, bias=False), nn.BatchNorm2d(head))
        cells = -(-size // 2 ** len(channels))
        self.head = nn.Linear(head * cells * cells, DIMENSIONS)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.squeeze(self.body(x)).flatten(1))
        return answer


FAINT = (
    0.1  # weight of a new block's norm: what it adds to its shortcut is little, and not so little that it cannot learn
)


def deepened(state: dict[str, Tensor], model: Embedder) -> dict[str, Tensor]:
    """Weights of a network with fewer blocks: they go to the front of each stage, and the new ones begin faintly."""
    deep = model.state_dict()
    sources, targets = _stages(state), _stages(deep)
    for source, target in zip(sources, targets, strict=True):
        for new, old in zip_longest(target, source):
            for name in [name for name in deep if name.startswith(f"body.{new}.")]:
                if old is not None:
                    deep[name] = state[name.replace(f"body.{new}.", f"body.{old}.", 1)]
                elif name.endswith("norm.weight"):
                    deep[name] = torch.full_like(deep[name], FAINT)
    return deep | {name: tensor for name, tensor in state.items() if not name.startswith("body.")}


def _stages(state: dict[str, Tensor]) -> list[list[int]]:
    """The numbers of the blocks of each stage; it begins where the channels change."""
    stages: list[list[int]] = []
    for number in range(sum(name.endswith("conv.weight") for name in state)):
        outputs, inputs = state[f"body.{number}.conv.weight"].shape[:2]
        if outputs != inputs:
            stages.append([])
        stages[-1].append(number)
    return stages


def resized(state: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """Weights learned at another picture size: only the last layer sees positions, so only it is interpolated."""
    weight = state["head.weight"]
    channels = state["squeeze.0.weight"].shape[0]
    cells = round((weight.shape[1] / channels) ** 0.5)
    wanted = -(-size // 16)
    if cells == wanted:
        return state
    maps = weight.reshape(-1, channels, cells, cells)
    maps = functional.interpolate(maps, (wanted, wanted), mode="bilinear", align_corners=False)
    return {**state, "head.weight": maps.flatten(1) * (cells / wanted) ** 2}


def area(source: int, target: int) -> Tensor:
    """The matrix that shrinks a line of `source` pixels to `target` by averaging areas (OpenCV's INTER_AREA)."""
    step = source / target
    left = torch.arange(target)[:, None] * step
    pixel = torch.arange(source)[None]
    return (torch.minimum(left + step, pixel + 1.0) - torch.maximum(left, pixel.float())).clamp(min=0) / step


class Shrink(nn.Module):
    """112x112 -> size x size inside the graph, then the network."""

    def __init__(self, network: Embedder, source: int = 112) -> None:
        super().__init__()
        self.network = network
        self.matrix: Tensor
        self.register_buffer("matrix", area(source, network.size))

    def forward(self, x: Tensor) -> Tensor:
        if self.network.size != x.shape[-1]:
            x = self.matrix @ x @ self.matrix.T
        answer: Tensor = self.network(x)
        return answer
