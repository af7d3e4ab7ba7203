"""Searching on a card as two small ONNX graphs, beside the models in the same runtime.

Rows lie in blocks. A block is compared with all queries in one matrix product, its best are kept, and then the best of
these: the runtime's choice of the k largest was wrong and slow on very long rows, on short ones it is neither."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

_HALF, _LONG = TensorProto.FLOAT16, TensorProto.INT64


def finding(blocks: int, dimensions: int, length: int) -> bytes:
    """From queries and so many blocks to the k best rows of each query. Row n of block b has the number length * b + n.
    The bias of a row is 0, or so low that the row is never among the best. `each` is how many rows are kept of a block,
    which no block is shorter than: so nothing of the graph has to be computed beside the card."""
    inputs = [_value("queries", _HALF, ["queries", dimensions]), _value("each", _LONG, [1]), _value("k", _LONG, [1])]
    nodes, constants = [], []
    for n in range(blocks):
        inputs += [_value(f"rows{n}", _HALF, [f"rows_of{n}", dimensions]), _value(f"bias{n}", _HALF, [f"rows_of{n}"])]
        constants.append(helper.make_tensor(f"base{n}", _LONG, [1], [n * length]))
        nodes += [
            helper.make_node("Gemm", ["queries", f"rows{n}", f"bias{n}"], [f"scores{n}"], transB=1),
            helper.make_node("TopK", [f"scores{n}", "each"], [f"best{n}", f"place{n}"], axis=1),
            helper.make_node("Add", [f"place{n}", f"base{n}"], [f"number{n}"]),
        ]
    nodes += [
        helper.make_node("Concat", [f"best{n}" for n in range(blocks)], ["all_best"], axis=1),
        helper.make_node("Concat", [f"number{n}" for n in range(blocks)], ["all_numbers"], axis=1),
        helper.make_node("TopK", ["all_best", "k"], ["scores", "at"], axis=1),
        helper.make_node("GatherElements", ["all_numbers", "at"], ["numbers"], axis=1),
    ]
    outputs = [_value("scores", _HALF, ["queries", "found"]), _value("numbers", _LONG, ["queries", "found"])]
    return _model(nodes, inputs, outputs, constants)


def writing(dimensions: int) -> bytes:
    """Some rows of a block, and whether they count, replaced in place: outputs share the memory of the inputs."""
    rows: Sequence[int | str] = ["length", dimensions]
    bias: Sequence[int | str] = ["length"]
    inputs = [
        _value("rows", _HALF, rows),
        _value("bias", _HALF, bias),
        _value("at", _LONG, ["changed", 1]),
        _value("new_rows", _HALF, ["changed", dimensions]),
        _value("new_bias", _HALF, ["changed"]),
    ]
    nodes = [
        helper.make_node("ScatterND", ["rows", "at", "new_rows"], ["rows_after"]),
        helper.make_node("ScatterND", ["bias", "at", "new_bias"], ["bias_after"]),
    ]
    return _model(nodes, inputs, [_value("rows_after", _HALF, rows), _value("bias_after", _HALF, bias)], [])


def _value(name: str, kind: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> bytes:
    graph = helper.make_graph(nodes, "gallery", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
