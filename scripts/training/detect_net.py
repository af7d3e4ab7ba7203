"""The face detector: plain 3x3 convolutions, a small feature pyramid, one head per stride, decoding in the graph."""

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
WIDTH = 48
OUTPUTS = 1 + 4 + 10  # score, distances to the four sides, five points


def convolution(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = convolution(WIDTH, WIDTH)
        self.out = nn.Conv2d(WIDTH, OUTPUTS, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        nn.init.zeros_(self.out.bias)
        with torch.no_grad():
            self.out.bias[0] = -4.0  # faces are rare

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.body(x))
        return out.flatten(2).transpose(1, 2)


class DetectNet(nn.Module):
    """NCHW picture around zero -> raw answers [N,A,15] and the cells' middles and strides [A,3]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 16, 2), convolution(16, 24, 2))
        self.stage8 = nn.Sequential(convolution(24, 48, 2), Residual(48))
        self.stage16 = nn.Sequential(convolution(48, 96, 2), Residual(96))
        self.stage32 = nn.Sequential(convolution(96, 128, 2), Residual(128), Residual(128))
        self.lateral = nn.ModuleList(nn.Conv2d(channels, WIDTH, 1) for channels in (48, 96, 128))
        self.heads = nn.ModuleList(Head() for _ in STRIDES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        c8 = self.stage8(self.stem(x))
        c16 = self.stage16(c8)
        c32 = self.stage32(c16)
        p32 = self.lateral[2](c32)
        p16 = self.lateral[1](c16) + functional.interpolate(p32, scale_factor=2.0, mode="nearest")
        p8 = self.lateral[0](c8) + functional.interpolate(p16, scale_factor=2.0, mode="nearest")
        levels = (p8, p16, p32)
        raw = torch.cat([head(level) for head, level in zip(self.heads, levels, strict=True)], 1)
        return raw, torch.cat([cells(level, stride) for level, stride in zip(levels, STRIDES, strict=True)])


def cells(level: Tensor, stride: int) -> Tensor:
    """Middle x, middle y and stride of every cell, row by row."""
    rows = torch.arange(level.shape[2], device=level.device, dtype=torch.float32)
    columns = torch.arange(level.shape[3], device=level.device, dtype=torch.float32)
    y = (rows[:, None] + 0.5 + 0 * columns[None]).flatten() * stride
    x = (columns[None] + 0.5 + 0 * rows[:, None]).flatten() * stride
    return torch.stack([x, y, torch.full_like(x, float(stride))], 1)


def decode(raw: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Score logits [N,A], boxes [N,A,4] and points [N,A,10] in pixels."""
    raw = raw.float()
    middle, stride = grid[:, :2], grid[:, 2:]
    reach = raw[..., 1:5].clamp(max=5.5).exp() * stride
    boxes = torch.cat([middle - reach[..., :2], middle + reach[..., 2:]], -1)
    points = raw[..., 5:] * stride + middle.repeat(1, 5)
    return raw[..., 0], boxes, points


class Detector(nn.Module):
    """What is exported: probabilities instead of logits."""

    def __init__(self, network: DetectNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, boxes, points = decode(*self.network(x))
        return logits.sigmoid(), boxes, points
