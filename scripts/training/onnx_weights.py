"""A shipped ONNX file -> the PyTorch network that it was exported from, ready to learn on.

The exported file has its batch norms folded into the convolutions. Each gets one back that changes nothing: it takes
out the mean and spread that given pictures have there, and puts the same in again.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

LAYERS = ("Conv", "Gemm", "BatchNormalization")
VALUES = ("weight", "bias", "running_mean", "running_var")  # of a layer, in the order in which a file names them


@torch.no_grad()
def restore(model: nn.Module, path: Path, run: Callable[[], object]) -> None:
    """Give a new network the weights of its file: every layer takes the next ones when `run` first computes it."""
    stored, folded = iter(_layers(path)), _folded(model)

    def fill(module: nn.Module, reaching: tuple[Tensor, ...]) -> None:
        hooks[module].remove()  # asked once more while its answers are looked at
        values = next(stored)
        if isinstance(module, nn.Conv2d) and module in folded:
            weight, bias = values
            _unfold(module, folded[module], weight, bias, reaching[0])
            return
        for name, value in zip(VALUES, values, strict=False):
            getattr(module, name).copy_(value)

    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm1d)
    hooks = {m: m.register_forward_pre_hook(fill) for m in model.modules() if isinstance(m, kinds)}
    model.eval()
    run()


def _layers(path: Path) -> list[tuple[Tensor, ...]]:
    """The values of every layer, in the order they are computed."""
    graph = onnx.load(path).graph
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    for node in graph.node:  # float16 in the file, and equal weights that are stored once
        if node.op_type in ("Cast", "Identity") and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
    return [
        tuple(torch.from_numpy(values[name].astype(np.float32)) for name in node.input[1:])
        for node in graph.node
        if node.op_type in LAYERS
    ]


def _folded(model: nn.Module) -> dict[nn.Conv2d, nn.BatchNorm2d]:
    """Convolutions without a bias of their own, and the batch norms that gave them one."""
    modules = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d)]
    return {
        conv: norm
        for conv, norm in pairwise(modules)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and conv.bias is None
    }


def _unfold(conv: nn.Conv2d, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor, inputs: Tensor) -> None:
    """Set a convolution and its batch norm so that together they are weight and bias, in training mode as well."""
    conv.weight.copy_(weight)
    answers = conv(inputs)
    norm.running_mean = answers.mean((0, 2, 3))
    norm.running_var = answers.var((0, 2, 3), unbiased=False)
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(norm.running_mean + bias)
