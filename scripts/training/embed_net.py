"""The embedder's network: plain 3x3 convolutions, which reach twice the arithmetic rate of depthwise ones on a CPU.

Its first two parts end in maps of the teacher's size and meaning, so each can be taught by itself (`embed_parts`).
"""

from torch import Tensor, nn
from torch.nn import functional

DIMENSIONS = 128
FINE, COARSE = (64, 28, 28), (128, 14, 14)  # channels, height, width of the maps between the parts


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


def stage(inputs: int, outputs: int, extra: int) -> list[Block]:
    """A block that halves the map, and more that keep it."""
    return [Block(inputs, outputs, 2), *(Block(outputs, outputs) for _ in range(extra))]


class Embedder(nn.Module):
    """Float NCHW pixels around zero, 112x112 -> 128 numbers; only their direction means something."""

    def __init__(self, depth: tuple[int, int, int] = (3, 5, 3), head: int = 48) -> None:
        super().__init__()
        self.fine = nn.Sequential(*stage(3, 32, 0), *stage(32, 64, depth[0]), nn.Conv2d(64, FINE[0], 1))
        self.coarse = nn.Sequential(*stage(FINE[0], 128, depth[1]), nn.Conv2d(128, COARSE[0], 1))
        self.who = nn.Sequential(
            *stage(COARSE[0], 256, depth[2]),
            nn.Conv2d(256, head, 1, bias=False),
            nn.BatchNorm2d(head),
            nn.Flatten(),
            nn.Linear(head * 7 * 7, DIMENSIONS),
        )

    def blocks(self) -> list[nn.Module]:
        """Those of the last part."""
        return [module for module in self.who if isinstance(module, Block)]

    def inside(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both maps and the answer."""
        fine = self.fine(x)
        coarse = self.coarse(fine)
        return fine, coarse, self.who(coarse)

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x)[2]
