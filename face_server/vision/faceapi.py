"""face-api's two small networks: published as weights without a graph, so the graph is drawn here.

Both take `image`, uint8 RGB [N,112,112,3], like our own networks. Weights come as a JSON list of tensors (name, shape,
quantisation) and one file of their bytes in that order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE = 112
_OPSET = 17
_IR = 9
_MEAN = (122.782, 117.001, 104.298)
# Place of our classes (angry disgust fear happy sad surprise neutral, and female male) among theirs.
_EMOTIONS = (3, 5, 4, 1, 2, 6, 0)
_GENDERS = (1, 0)

Floats = NDArray[np.float32]
Weights = dict[str, Floats]


def age_gender(sources: Mapping[str, bytes]) -> bytes:
    """`age` [N] in years; `gender` [N,2] female, male."""
    draw = _Drawing(weights(sources))
    x = draw.pixels(256.0)
    x = draw.relu(draw.conv(x, "entry_flow/conv_in", stride=2))
    x = _reduction(draw, x, "entry_flow/reduction_block_0", activate=False)
    x = _reduction(draw, x, "entry_flow/reduction_block_1")
    for block in range(2):
        x = _main(draw, x, f"middle_flow/main_block_{block}")
    x = _reduction(draw, x, "exit_flow/reduction_block")
    x = draw.pool(draw.relu(draw.separable(x, "exit_flow/separable_conv")))
    draw.output("age", draw.node("Squeeze", draw.dense(x, "fc/age"), draw.integers([1])), ["batch"])
    draw.output("gender", draw.classes(draw.dense(x, "fc/gender"), _GENDERS), ["batch", 2])
    return draw.model("face-api age and gender")


def emotion(sources: Mapping[str, bytes]) -> bytes:
    """`emotion` [N,7]: angry disgust fear happy sad surprise neutral."""
    draw = _Drawing(weights(sources))
    x = draw.pixels(255.0)
    for block in range(4):
        x = _dense_block(draw, x, f"dense{block}", first=block == 0)
    x = draw.dense(draw.pool(x), "fc")
    draw.output("emotion", draw.classes(x, _EMOTIONS), ["batch", 7])
    return draw.model("face-api emotion")


def weights(sources: Mapping[str, bytes]) -> Weights:
    """The tensors by name, from the manifest and its one file of bytes."""
    manifest = next(data for name, data in sources.items() if name.endswith(".json"))
    data = next(data for name, data in sources.items() if name.endswith(".bin"))
    return dict(_tensors(json.loads(manifest), data))


def _tensors(manifest: list[dict[str, Any]], data: bytes) -> Iterator[tuple[str, Floats]]:
    place = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        shape = [int(side) for side in entry["shape"]]
        scale = entry.get("quantization")
        kind = np.dtype(np.uint8 if scale else np.float32)
        count = int(np.prod(shape))
        values = np.frombuffer(data, kind, count, place).astype(np.float32)
        if scale:
            values = values * np.float32(scale["scale"]) + np.float32(scale["min"])
        place += count * kind.itemsize
        yield str(entry["name"]), values.reshape(shape)
    if place != len(data):
        raise ValueError(f"the weights are {len(data)} bytes, their manifest says {place}")


def _reduction(draw: _Drawing, x: str, name: str, activate: bool = True) -> str:
    inner = draw.separable(draw.relu(x) if activate else x, f"{name}/separable_conv0")
    inner = draw.separable(draw.relu(inner), f"{name}/separable_conv1")
    inner = draw.node("MaxPool", inner, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    return draw.node("Add", inner, draw.conv(x, f"{name}/expansion_conv", stride=2))


def _main(draw: _Drawing, x: str, name: str) -> str:
    inner = x
    for part in range(3):
        inner = draw.separable(draw.relu(inner), f"{name}/separable_conv{part}")
    return draw.node("Add", inner, x)


def _dense_block(draw: _Drawing, x: str, name: str, first: bool) -> str:
    one = draw.conv(x, f"{name}/conv0", 2) if first else draw.separable(x, f"{name}/conv0", 2)
    total = one = draw.relu(one)
    for part in (1, 2, 3):
        inner = one if part == 1 else draw.relu(total)
        total = draw.node("Add", total, draw.separable(inner, f"{name}/conv{part}"))
    return draw.relu(total)


class _Drawing:
    """A graph as it grows; every method adds a node and answers the name of what it makes."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def floats(self, values: Floats) -> str:
        return self._tensor(np.ascontiguousarray(values, np.float32))

    def integers(self, values: Sequence[int]) -> str:
        return self._tensor(np.array(values, np.int64))

    def pixels(self, scale: float) -> str:
        """The input, normalised and channels first."""
        x = self.node("Cast", "image", to=TensorProto.FLOAT)
        x = self.node("Sub", x, self.floats(np.array(_MEAN, np.float32)))
        x = self.node("Div", x, self.floats(np.array(scale, np.float32)))
        return self.node("Transpose", x, perm=[0, 3, 1, 2])

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def conv(self, x: str, name: str, stride: int) -> str:
        filters = self._weights[f"{name}/filters"].transpose(3, 2, 0, 1)
        return self._conv(x, filters, stride, self._weights[f"{name}/bias"])

    def separable(self, x: str, name: str, stride: int = 1) -> str:
        depth = self._weights[f"{name}/depthwise_filter"].transpose(2, 3, 0, 1)
        point = self._weights[f"{name}/pointwise_filter"].transpose(3, 2, 0, 1)
        x = self._conv(x, depth, stride, groups=len(depth))
        return self._conv(x, point, 1, self._weights[f"{name}/bias"])

    def pool(self, x: str) -> str:
        """(n, c, 7, 7) -> (n, c)."""
        return self.node("Flatten", self.node("GlobalAveragePool", x), axis=1)

    def dense(self, x: str, name: str) -> str:
        return self.node(
            "Gemm", x, self.floats(self._weights[f"{name}/weights"]), self.floats(self._weights[f"{name}/bias"])
        )

    def classes(self, logits: str, order: Sequence[int]) -> str:
        """Probabilities, in our order."""
        return self.node("Gather", self.node("Softmax", logits, axis=1), self.integers(order), axis=1)

    def output(self, name: str, value: str, shape: Sequence[int | str]) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def model(self, name: str) -> bytes:
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])
        graph = helper.make_graph(self._nodes, name, [image], self._outputs, self._tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _conv(
        self,
        x: str,
        filters: Floats,
        stride: int,
        bias: Floats | None = None,
        groups: int = 1,
    ) -> str:
        inputs = [x, self.floats(filters), *([] if bias is None else [self.floats(bias)])]
        # TensorFlow's "same": an odd pixel of padding goes to the right and to the bottom.
        return self.node("Conv", *inputs, strides=[stride, stride], auto_pad="SAME_UPPER", group=groups)

    def _tensor(self, values: NDArray[np.generic]) -> str:
        name = f"weight_{len(self._tensors)}"
        self._tensors.append(numpy_helper.from_array(values, name))
        return name
