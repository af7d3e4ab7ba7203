"""A pack as large as the well-known ones, of random weights: a detector built as SCRFD-10g with points and an embedder
built as IResNet-50. It recognises nobody; it computes what they compute.

    python -m scripts.gpu.large_pack FOLDER

The detector always finds one face, in the middle of the picture: so a request costs what a photo of one person does."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE, FACE = 640, 112  # pixels of the two inputs
FLOATS = NDArray[np.float32]
# A face of 256 pixels around the middle, in strides of 32: distances to its sides, and its five points.
BOX = (4.0, 4.0, 4.0, 4.0)
POINTS = (-1.4, -0.9, 1.4, -0.9, 0.0, 0.4, -1.1, 1.8, 1.1, 1.8)


class Net:
    """Builds a graph and counts its parameters and multiplications."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self.parameters = self.multiplications = 0

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"n{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def weight(self, values: NDArray[np.generic], *, counts: bool = True) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        self.parameters += values.size * counts
        return name

    def random(self, *shape: int, gain: float = 1.0) -> FLOATS:
        spread = gain / np.sqrt(np.prod(shape[1:]))
        return np.asarray(self._rng.standard_normal(shape) * spread, np.float32)

    def conv(
        self, x: str, ins: int, outs: int, out_side: int, kernel: int = 3, stride: int = 1, gain: float = 1.4,
        bias: FLOATS | None = None,
    ) -> str:  # fmt: skip
        weight = self.weight(self.random(outs, ins, kernel, kernel, gain=gain))
        offset = self.weight(np.zeros(outs, np.float32) if bias is None else bias)
        self.multiplications += outs * ins * kernel**2 * out_side**2
        edge = kernel // 2
        return self.add("Conv", [x, weight, offset], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[edge] * 4)

    def model(self, source: str, shape: list[int | str], outputs: list[tuple[str, list[int | str]]]) -> bytes:
        graph = helper.make_graph(
            self._nodes,
            "random",
            [helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in outputs],
            self._weights,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(made)
        return bytes(made.SerializeToString())


def embedder() -> tuple[bytes, Net]:
    """IResNet-50: blocks of two convolutions, 3 + 4 + 14 + 3 of them."""
    net = Net(1)

    def scaled(x: str, width: int) -> str:
        vectors = [np.ones(width, np.float32), *[np.zeros(width, np.float32)] * 2, np.ones(width, np.float32)]
        return net.add("BatchNormalization", [x, *map(net.weight, vectors)])

    def bent(x: str, width: int) -> str:
        return net.add("PRelu", [x, net.weight(np.full((width, 1, 1), 0.25, np.float32))])

    x, side, ins = bent(net.conv("input", 3, 64, FACE), 64), FACE, 64
    for width, blocks in ((64, 3), (128, 4), (256, 14), (512, 3)):
        for number in range(blocks):
            stride = 1 if number else 2
            inner = bent(net.conv(scaled(x, ins), ins, width, side), width)
            side //= stride
            inner = net.conv(inner, width, width, side, stride=stride, gain=0.3)
            x = net.add("Add", [inner, net.conv(x, ins, width, side, 1, stride, gain=1.0) if stride == 2 else x])
            ins = width
    flat = net.add("Flatten", [scaled(x, ins)])
    net.multiplications += ins * side**2 * 512
    matrix = net.weight(net.random(512, ins * side**2))
    vector = net.add("Gemm", [flat, matrix, net.weight(np.zeros(512, np.float32))], transB=1)
    return net.model("input", ["n", 3, FACE, FACE], [(vector, ["n", 512])]), net


def detector() -> tuple[bytes, Net]:
    """SCRFD-10g: a ResNet of 3 + 4 + 2 + 3 narrow blocks, a pyramid of three levels, and a head for each."""
    net = Net(2)

    def relu(x: str) -> str:
        return net.add("Relu", [x])

    side = SIDE // 2
    x = relu(net.conv("input", 3, 28, side, stride=2))
    x = relu(net.conv(relu(net.conv(x, 28, 28, side)), 28, 56, side))
    x, side, ins, levels = net.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), side // 2, 56, []
    for width, blocks, first in ((56, 3, 1), (88, 4, 2), (88, 2, 2), (224, 3, 2)):
        for number in range(blocks):
            stride = 1 if number else first
            side //= stride
            inner = net.conv(relu(net.conv(x, ins, width, side, stride=stride)), width, width, side, gain=0.3)
            if stride == 2:
                x = net.add("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            x = relu(net.add("Add", [inner, net.conv(x, ins, width, side, 1) if ins != width or stride == 2 else x]))
            ins = width
        levels.append((x, width, side))
    return net.model("input", ["n", 3, SIDE, SIDE], _heads(net, _pyramid(net, levels[1:]))), net


def _pyramid(net: Net, levels: list[tuple[str, int, int]]) -> list[tuple[str, int]]:
    inner = [net.conv(x, width, 56, side, 1) for x, width, side in levels]
    sides = [side for _, _, side in levels]
    twice = net.weight(np.array([1, 1, 2, 2], np.float32), counts=False)
    for number in (1, 0):
        larger = net.add("Resize", [inner[number + 1], "", twice], mode="nearest")
        inner[number] = net.add("Add", [inner[number], larger])
    inner = [net.conv(x, 56, 56, side) for x, side in zip(inner, sides, strict=True)]
    for number in (1, 2):
        smaller = net.conv(inner[number - 1], 56, 56, sides[number], stride=2)
        inner[number] = net.add("Add", [inner[number], smaller])
    inner[1:] = [net.conv(x, 56, 56, side) for x, side in zip(inner[1:], sides[1:], strict=True)]
    return list(zip(inner, sides, strict=True))


def _heads(net: Net, levels: list[tuple[str, int]]) -> list[tuple[str, list[int | str]]]:
    outputs: list[tuple[str, list[int | str]]] = []
    for x, side in levels:
        for ins in (56, 80, 80):
            x = net.add("Relu", [net.conv(x, ins, 80, side)])
        for width, bias in ((1, (0.0,)), (4, BOX), (10, POINTS)):
            known = np.array(bias * 2, np.float32)
            y = net.conv(x, 80, 2 * width, side, gain=0.001, bias=known)  # what is known outweighs what is random
            y = net.add("Transpose", [y], perm=[0, 2, 3, 1])
            y = net.add("Reshape", [y, net.weight(np.array([0, -1, width], np.int64), counts=False)])
            if width == 1:
                y = net.add("Sigmoid", [net.add("Add", [y, net.weight(_where(side), counts=False)])])
            outputs.append((y, ["n", 2 * side**2, width]))
    return outputs


def _where(side: int) -> FLOATS:
    """One cell of the coarsest level sees a face, no other does."""
    cells = np.full((1, side, side, 2), -20, np.float32)
    if side == SIDE // 32:
        cells[0, side // 2, side // 2, 0] = 20
    return cells.reshape(1, -1, 1)


def write(folder: Path, *, half: bool = False) -> str:
    """Returns what it is, in words."""
    folder.mkdir(parents=True, exist_ok=True)
    said, roles = [], []
    for role, adapter, (data, net) in (("detect", "scrfd", detector()), ("embed", "arcface", embedder())):
        (folder / f"{role}.onnx").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        lines = [f"[roles.{role}]", f'file = "{role}.onnx"', f'sha256 = "{digest}"', f'adapter = "{adapter}"']
        lines += ['licence = "Apache-2.0"', f"fp16 = {str(half).lower()}"]
        roles.append("\n".join([*lines, *([f"sizes = [{SIDE}]"] if role == "detect" else []), ""]))
        size = SIDE if role == "detect" else FACE
        said.append(
            f"{role}: {net.parameters / 1e6:.2f} million parameters, {net.multiplications / 1e9:.2f} billion "
            f"multiplications for {size}x{size}"
        )
    head = ['name = "random"', 'version = "1"', 'licence = "Apache-2.0"', 'source = "scripts/gpu/large_pack.py"', ""]
    knots = ["[roles.embed.calibration]", "cosine = [-1.0, 0.3, 0.4, 1.0]", "score = [0.0, 70.0, 80.0, 100.0]", ""]
    (folder / "pack.toml").write_text("\n".join([*head, *roles, *knots]))
    return "; ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", action="store_true", help="on a card it computes in half precision")
    options = parser.parse_args()
    print(write(options.folder, half=options.half))


if __name__ == "__main__":
    main()
