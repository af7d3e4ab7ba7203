"""A shipped ONNX file -> the PyTorch network that it was exported from, ready to learn on.

The exported file has its batch norms folded into the convolutions. Each gets one back that changes nothing: it takes
out the mean and spread that given pictures have there, and puts the same in again.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn


def layers(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of every convolution and of the linear layer, in the order they are computed."""
    graph = onnx.load(path).graph
    values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    for node in graph.node:  # float16 in the file, and equal weights that are stored once
        if node.op_type in ("Cast", "Identity") and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]]
    return [
        (torch.from_numpy(values[node.input[1]].astype(np.float32)), torch.from_numpy(values[node.input[2]].copy()))
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
    ]


def unfold(conv: nn.Conv2d, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor, inputs: Tensor) -> None:
    """Set a convolution and its batch norm so that together they are weight and bias, in training mode as well."""
    conv.weight.copy_(weight)
    answers = conv(inputs)
    norm.running_mean = answers.mean((0, 2, 3))
    norm.running_var = answers.var((0, 2, 3), unbiased=False)
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(norm.running_mean + bias)


@torch.no_grad()
def restore(model: nn.Module, path: Path, inputs: Tensor) -> None:
    """Give a new network, whose layers lie in the order they are computed, the weights of its file."""
    model.eval()
    stored = iter(layers(path))
    modules = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for module, after in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, nn.BatchNorm2d):
            continue
        weight, bias = next(stored)
        if isinstance(module, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
            unfold(module, after, weight, bias, _reaching(module, model, inputs))
        else:
            module.weight.copy_(weight)
            module.bias.copy_(bias)


def _reaching(module: nn.Module, model: nn.Module, start: Tensor) -> Tensor:
    """What comes to a layer inside the network."""
    seen = [Tensor()]
    hook = module.register_forward_pre_hook(lambda _, args: seen.__setitem__(0, args[0]))
    model(start)
    hook.remove()
    return seen[0]
