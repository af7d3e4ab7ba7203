"""Small networks of ordinary 3x3 convolutions: the fastest kind on a CPU."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def centred(image: Tensor) -> Tensor:
    """uint8 NHWC RGB -> float NCHW around zero."""
    return (image.permute(0, 3, 1, 2).float() - 127.5) * (1 / 127.5)


def conv(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two convolutions around which the input is carried."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(width, width), nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )
        nn.init.zeros_(self.body[2].weight)  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class Trunk(nn.Module):
    """Stages that halve the picture; `residuals[i]` pairs of convolutions follow the i-th halving."""

    def __init__(self, widths: Sequence[int], residuals: Sequence[int]) -> None:
        super().__init__()
        stages = []
        for before, width, count in zip((3, *widths), widths, residuals, strict=False):
            stages.append(nn.Sequential(conv(before, width, stride=2), *(Residual(width) for _ in range(count))))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The output of every stage, finest first."""
        answers = []
        for stage in self.stages:
            x = stage(x)
            answers.append(x)
        return answers


class Summary(nn.Module):
    """A feature map -> one vector that still knows where things are: 1x1, flatten, linear."""

    def __init__(self, width: int, cells: int, outputs: int, squeeze: int = 32) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(width, squeeze, size=1), nn.Flatten(), nn.Linear(squeeze * cells, outputs), nn.BatchNorm1d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x))


def area(source: int, target: int) -> Tensor:
    """The matrix that shrinks a line of `source` pixels to `target` by averaging areas (OpenCV's INTER_AREA)."""
    step = source / target
    left = torch.arange(target)[:, None] * step
    pixel = torch.arange(source)[None]
    return (torch.minimum(left + step, pixel + 1.0) - torch.maximum(left, pixel.float())).clamp(min=0) / step


class Shrink(nn.Module):
    """source x source -> size x size inside the graph, then the network."""

    def __init__(self, network: nn.Module, size: int, source: int = 112) -> None:
        super().__init__()
        self.network = network
        self.matrix: Tensor
        self.register_buffer("matrix", area(source, size))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.network(self.matrix @ x @ self.matrix.T)
        return answer
