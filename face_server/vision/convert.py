"""Foreign models made fit for the server: any batch size in front, whatever the exporter fixed it to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from face_server.vision.packs import PackError

Floats = NDArray[np.float32]
Constants = dict[str, NDArray[np.generic]]

_BATCH = "batch"
# Room for another order of summation, not for another answer.
_TOLERANCE = 5e-4
# What a free picture side is set to in the proof: the strides of every detector divide it.
_SIDE = 160


class ConversionError(PackError):
    """The model cannot be rewritten, or the rewritten one would answer differently."""


def batchable(sources: Mapping[str, bytes]) -> bytes:
    """An ONNX file, its external data taken in, that answers a batch as it answers its pictures one by one."""
    model = load(sources)
    stock = model.SerializeToString()
    if not _takes_batches(model):
        make_batchable(model)
    fresh = model.SerializeToString()
    prove(stock, fresh)
    return bytes(fresh)


def load(sources: Mapping[str, bytes]) -> onnx.ModelProto:
    """The one ONNX file among the sources, by name; tensors that lie in the other sources are taken in."""
    names = [name for name in sources if name.endswith(".onnx")]
    if len(names) != 1:
        raise ConversionError(f"one .onnx file is needed, not {len(names)}: {', '.join(sources)}")
    model = onnx.load_model_from_string(sources[names[0]])
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _take_in(tensor, sources)
    return model


def inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """What a caller feeds: old exports list their weights among the inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def make_batchable(model: onnx.ModelProto) -> None:
    """Rewrite, in place, a graph that was exported for batch 1."""
    graph = model.graph
    shapes = {value.name: _dims(value) for value in shape_inference.infer_shapes(model).graph.value_info}
    constants = dict(_constants(graph))
    makers = {name: node for node in graph.node for name in node.output}
    for node in list(graph.node):
        if node.op_type == "Reshape":
            _free_reshape(graph, node, constants, makers.get(node.input[0]))
        elif node.op_type == "Resize":
            _free_resize(graph, node, constants, shapes.get(node.input[0], []))
    _keep(graph.input, inputs(model))
    used = {name for node in graph.node for name in node.input}
    _keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used])
    _refresh_shapes(model)


def prove(stock: bytes, fresh: bytes, batch: int = 3) -> None:
    """Run both on the same random pictures, one by one and together: the answers must agree."""
    old, new = _session(stock), _session(fresh)
    feeds = {value.name: _random(value, batch) for value in old.get_inputs()}
    singles = [old.run(None, {name: rows[i : i + 1] for name, rows in feeds.items()}) for i in range(batch)]
    together = new.run(None, feeds)
    for place, (output, answer) in enumerate(zip(new.get_outputs(), together, strict=True)):
        if len(answer) != batch:
            raise ConversionError(f"output {output.name} has {len(answer)} rows for {batch} pictures")
        for row, single in zip(answer, singles, strict=True):
            want = single[place].reshape(row.shape)
            room = _TOLERANCE * max(1.0, float(np.abs(want).max()))
            if not np.allclose(row, want, rtol=_TOLERANCE, atol=room):
                worst = float(np.abs(row - want).max())
                raise ConversionError(f"output {output.name}: batch {batch} and batch 1 differ by {worst:.2g}")


def _takes_batches(model: onnx.ModelProto) -> bool:
    """Free in front by its own word; the proof sees whether the inside agrees."""
    values = [*inputs(model), *model.graph.output]
    return all(_dims(value)[:1] == [None] for value in values)


def _free_reshape(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    constants: Constants,
    before: onnx.NodeProto | None,
) -> None:
    shape = constants.get(node.input[1])
    if shape is None or not len(shape):
        return
    if before is not None and _rows_before_batch(before):
        # Old SCRFD exports turn (n,c,h,w) into (h,w,n,c) and then into rows: the pictures of a batch get mixed.
        before.attribute[0].CopyFrom(helper.make_attribute("perm", [0, 2, 3, 1]))
        _set_constant(graph, node, 1, np.array([0, -1, int(shape[-1])], np.int64))
    elif shape[0] == 1:
        # 0 keeps what comes in, unless the node says that a zero is a zero.
        _set_constant(graph, node, 1, np.array([0, *shape[1:]], np.int64))
        _keep(node.attribute, [attribute for attribute in node.attribute if attribute.name != "allowzero"])


def _free_resize(graph: onnx.GraphProto, node: onnx.NodeProto, constants: Constants, shape: list[int | None]) -> None:
    sizes = constants.get(node.input[3]) if len(node.input) > 3 else None
    if sizes is None or len(sizes) != len(shape) or None in shape:
        return
    scales = [float(size) / float(side or 1) for size, side in zip(sizes, shape, strict=True)]
    _set_constant(graph, node, 2, np.array(scales, np.float32))
    del node.input[3]


def _refresh_shapes(model: onnx.ModelProto) -> None:
    """What the exporter noted of shapes is about batch 1."""
    graph = model.graph
    del graph.value_info[:]
    for value in graph.input:
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    stock = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in graph.output]
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model).graph.output
    for value, known, before in zip(graph.output, inferred, stock, strict=True):
        value.CopyFrom(known if known.type.tensor_type.HasField("shape") else before)
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH


def _keep(field: Any, values: Sequence[Any]) -> None:
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


def _rows_before_batch(node: onnx.NodeProto) -> bool:
    return node.op_type == "Transpose" and list(node.attribute[0].ints) == [2, 3, 0, 1]


def _set_constant(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, value: NDArray[np.generic]) -> None:
    # Its own tensor: the old one may serve other nodes too.
    name = f"{node.output[0]}_{place}_any_batch"
    graph.initializer.append(numpy_helper.from_array(value, name))
    node.input[place] = name


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, NDArray[np.generic]]]:
    for tensor in graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], numpy_helper.to_array(node.attribute[0].t)


def _take_in(tensor: onnx.TensorProto, sources: Mapping[str, bytes]) -> None:
    place = {entry.key: entry.value for entry in tensor.external_data}
    data = sources.get(place["location"])
    if data is None:
        raise ConversionError(f"tensor {tensor.name} lies in {place['location']}, which is not among the files")
    start = int(place.get("offset", 0))
    tensor.raw_data = data[start : start + int(place.get("length", len(data) - start))]
    tensor.ClearField("data_location")
    del tensor.external_data[:]


def _dims(value: onnx.ValueInfoProto) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims]


def _random(value: ort.NodeArg, batch: int) -> Floats:
    sides = [side if isinstance(side, int) and side > 0 else _SIDE for side in value.shape[1:]]
    return np.random.default_rng(7).uniform(-1, 1, (batch, *sides)).astype(np.float32)


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
