"""PyTorch -> ONNX in the pack's form: uint8 NHWC in, normalisation inside, dynamic batch, checked against torch."""

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 17


class FromPixels(nn.Module):
    """uint8 NHWC RGB -> NCHW float around zero, then the network."""

    def __init__(self, network: nn.Module, mean: float = 127.5, scale: float = 1 / 127.5) -> None:
        super().__init__()
        self.network, self.mean, self.scale = network, mean, scale

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        answer: Tensor | tuple[Tensor, ...] = self.network((image.permute(0, 3, 1, 2).float() - self.mean) * self.scale)
        return answer


def export(
    model: nn.Module,
    path: Path,
    shape: tuple[int, int] | Mapping[str, tuple[int, int]],
    outputs: Sequence[str],
    *,
    any_size: bool = False,
    half_weights: bool = False,
    tolerance: float = 1e-3,
) -> None:
    """Write `model` (uint8 [N,H,W,3] -> outputs) and check it against torch on noise.

    Its input is called `image`; a model with several inputs gives their names and shapes.

    `any_size` frees height and width; `half_weights` stores large weights as float16, which are widened when the
    file is loaded: half the bytes, the same arithmetic.
    """
    model = model.cpu().float().eval()
    free = {0: "batch", 1: "height", 2: "width"} if any_size else {0: "batch"}
    shapes = shape if isinstance(shape, Mapping) else {"image": shape}
    names = {**dict.fromkeys(shapes, free), **{name: {0: "batch"} for name in outputs}}
    samples = {name: torch.randint(0, 256, (2, *sides, 3), dtype=torch.uint8) for name, sides in shapes.items()}
    buffer = io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            tuple(samples.values()),
            buffer,
            input_names=list(samples),
            output_names=list(outputs),
            dynamic_axes=names,
            opset_version=OPSET,
            dynamo=False,
        )
    proto = onnx.load_from_string(buffer.getvalue())
    if half_weights:
        _halve(proto)
    onnx.checker.check_model(proto, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    onnx.save(proto, fresh)
    _check(model, fresh, {name: s[:1].repeat(3, 1, 1, 1) for name, s in samples.items()}, tolerance)
    fresh.replace(path)


def _halve(proto: onnx.ModelProto) -> None:
    casts = []
    for weight in proto.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < 1024:
            continue
        wide = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{wide}.half"))
        casts.append(helper.make_node("Cast", [f"{wide}.half"], [wide], to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def _check(model: nn.Module, path: Path, pixels: Mapping[str, Tensor], tolerance: float) -> None:
    with torch.no_grad():
        wanted = model(*pixels.values())
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    answers: list[NDArray[np.float32]] = session.run(None, {name: p.numpy() for name, p in pixels.items()})
    for output, want, got in zip(session.get_outputs(), wanted, answers, strict=True):
        gap = float(np.abs(want.numpy() - got).max() / (np.abs(want.numpy()).max() + 1e-6))
        if not gap < tolerance:
            raise RuntimeError(
                f"{path.name}: output {output.name} differs from torch by {gap:.2g} of its largest value"
            )
