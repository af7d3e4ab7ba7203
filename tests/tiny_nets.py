"""Networks of a few kilobytes with the inputs, outputs and node names of well-known exports, and random weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_IR, _OPSET = 8, 11

Outputs = Sequence[tuple[str, list[int | str]]]


def scrfd(seed: int = 1) -> bytes:
    """A stock SCRFD export: one picture, rows in the order (height, width, picture, anchor)."""
    rng = np.random.default_rng(seed)
    nodes, tensors = [], []
    outputs: dict[int, list[str]] = {1: [], 4: [], 10: []}
    for stride in (8, 16, 32):
        pooled = f"pooled_{stride}"
        nodes.append(_node("AveragePool", ["input.1"], pooled, kernel_shape=[stride] * 2, strides=[stride] * 2))
        for width in outputs:
            name = f"{width}_{stride}"
            # Boxes of several cells.
            weight = rng.normal(0, 8 if width == 4 else 1, (2 * width, 3, 1, 1)).astype(np.float32)
            # Few cells are faces.
            bias = np.full(2 * width, -1.8 if width == 1 else 0.0, np.float32)
            tensors.append(numpy_helper.from_array(weight, f"w_{name}"))
            tensors.append(numpy_helper.from_array(bias, f"b_{name}"))
            tensors.append(numpy_helper.from_array(np.array([-1, width], np.int64), f"s_{name}"))
            nodes.append(_node("Conv", [pooled, f"w_{name}", f"b_{name}"], f"c_{name}"))
            nodes.append(_node("Transpose", [f"c_{name}"], f"t_{name}", perm=[2, 3, 0, 1]))
            nodes.append(_node("Reshape", [f"t_{name}", f"s_{name}"], f"r_{name}"))
            # Distances and offsets of either sign; a score lies in 0..1.
            nodes.append(_node("Sigmoid" if width == 1 else "Abs" if width == 4 else "Identity", [f"r_{name}"], name))
            outputs[width].append(name)
    named: Outputs = [(name, [0, width]) for width, names in outputs.items() for name in names]
    return _model(nodes, tensors, ("input.1", [1, 3, "?", "?"]), named)


def embedder(size: int = 512, seed: int = 2) -> bytes:
    """As w600k_r50 or glintr100: any batch, no normalisation inside."""
    return _dense("input.1", 112, 8, size, seed, normalised=False)


def landmarks_106(seed: int = 3) -> bytes:
    """As 2d106det: the first nodes, by their names, say that it takes raw pixels."""
    return _dense("data", 192, 16, 212, seed, normalised=True)


def landmarks_3d(seed: int = 4) -> bytes:
    """As 1k3d68: 1,103 points in space, the last 68 are the wanted ones."""
    return _dense("data", 192, 16, 3309, seed, normalised=True)


def gender_age(seed: int = 5) -> bytes:
    return _dense("data", 96, 8, 3, seed, normalised=True, bias=(0.0, 0.0, 0.35))


def fixed(reshape: Sequence[int] = (1, -1), external: str = "", mixes: bool = False) -> bytes:
    """A net exported for batch 1. `external` names another file for its weights; `mixes`: one answer for a batch."""
    weight = np.random.default_rng(6).normal(0, 1, (12, 5)).astype(np.float32)
    matrix = numpy_helper.from_array(weight, "weight")
    if external:
        matrix.ClearField("raw_data")
        matrix.data_location = TensorProto.EXTERNAL
        for key, value in (("location", external), ("offset", "0"), ("length", str(weight.nbytes))):
            matrix.external_data.add(key=key, value=value)
    shape = numpy_helper.from_array(np.array(reshape, np.int64), "shape")
    nodes = [
        _node("Relu", ["image"], "positive"),
        _node("ReduceMean", ["positive"], "mean", axes=[0], keepdims=1)
        if mixes
        else _node("Abs", ["positive"], "mean"),
        _node("Reshape", ["mean", "shape"], "flat"),
        _node("Gemm", ["flat", "weight"], "answer"),
    ]
    return _model(nodes, [matrix, shape], ("image", [1, 3, 2, 2]), [("answer", [1, 5])])


def fixed_weight() -> bytes:
    return np.random.default_rng(6).normal(0, 1, (12, 5)).astype(np.float32).tobytes()


def fixed_resize() -> bytes:
    """Upsamples to a size that names the batch, as a detector exported for one picture size does."""
    sizes = numpy_helper.from_array(np.array([1, 3, 8, 8], np.int64), "sizes")
    roi = numpy_helper.from_array(np.zeros(0, np.float32), "roi")
    scales = numpy_helper.from_array(np.zeros(0, np.float32), "scales")
    nodes = [
        _node("Relu", ["image"], "positive"),
        _node("Resize", ["positive", "roi", "scales", "sizes"], "large", mode="nearest"),
    ]
    return _model(nodes, [roi, scales, sizes], ("image", [1, 3, 4, 4]), [("large", [1, 3, 8, 8])])


def _dense(
    source: str, side: int, pool: int, size: int, seed: int, normalised: bool, bias: Sequence[float] = ()
) -> bytes:
    inner = 3 * (side // pool) ** 2
    weight = np.random.default_rng(seed).normal(0, 1 / inner**0.5, (inner, size)).astype(np.float32)
    tensors = [
        numpy_helper.from_array(np.array(127.5, np.float32), "mean"),
        numpy_helper.from_array(np.array(1 / 128, np.float32), "scale"),
        numpy_helper.from_array(weight, "weight"),
        numpy_helper.from_array(np.array(bias or [0.0] * size, np.float32), "bias"),
    ]
    start, nodes = source, []
    if normalised:
        nodes = [
            _node("Sub", [source, "mean"], "_minusscalar0"),
            _node("Mul", ["_minusscalar0", "scale"], "_mulscalar0"),
        ]
        start = "_mulscalar0"
    nodes += [
        _node("AveragePool", [start], "pooled", kernel_shape=[pool, pool], strides=[pool, pool]),
        _node("Flatten", ["pooled"], "flat"),
        _node("Gemm", ["flat", "weight", "bias"], "fc1"),
    ]
    return _model(nodes, tensors, (source, ["None", 3, side, side]), [("fc1", ["None", size])])


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [output], name=output, **attributes)


def _model(
    nodes: Sequence[onnx.NodeProto],
    tensors: Sequence[onnx.TensorProto],
    source: tuple[str, list[int | str]],
    outputs: Outputs,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(source[0], TensorProto.FLOAT, source[1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    return bytes(model.SerializeToString())
