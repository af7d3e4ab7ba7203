"""Sessions: what runs where. A GPU is not needed: the rule that finds stray nodes reads a profile, and every node of a
session on the CPU is a stray one."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from face_server.engine.batcher import BatchedModel, DirectModel, make_model
from face_server.engine.session import (
    CPU,
    CUDA,
    NotOnGpu,
    SessionModel,
    choose_device,
    computed_on_cpu,
    half_precision,
    open_session,
    prove_gpu,
    sample,
)
from face_server.errors import Stage

RANDOM = np.random.default_rng(7)


@pytest.fixture(scope="module")
def network() -> bytes:
    """uint8 pictures in, three numbers each out, with a little arithmetic on shapes between."""
    weights = {"w": RANDOM.normal(size=(3, 3, 3, 3)).astype(np.float32), "axes": np.array([2, 3])}
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "w"], ["features"], name="convolve"),
        helper.make_node("ReduceMean", ["features", "axes"], ["mean"], keepdims=0),
        helper.make_node("Shape", ["features"], ["shape"], start=0, end=1),
        helper.make_node("Cast", ["shape"], ["size"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["size", "size"], ["nothing"]),
        helper.make_node("Add", ["mean", "nothing"], ["out"], name="add"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def pictures(count: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, 8, 8, 3), np.uint8)


def test_bound_run_gives_what_the_plain_run_gives(network: bytes) -> None:
    model = SessionModel(open_session(network))
    assert (model.inputs, model.outputs) == ({"image": ("n", "h", "w", 3)}, ["out"])
    batch = {"image": pictures(3)[:, ::-1]}
    assert (model._run_bound(batch)["out"] == model.run(batch)["out"]).all()


def test_batched_and_direct_agree_under_load(network: bytes) -> None:
    direct = make_model("m", network, device="cpu", max_batch=1, stage=Stage.EMBED)
    batched = make_model("m", network, device="cpu", max_batch=8, stage=Stage.EMBED)
    assert isinstance(direct, DirectModel)
    assert isinstance(batched, BatchedModel)
    items = [pictures(1 + n % 3) for n in range(200)]
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda item: batched.run({"image": item})["out"], items))
    batched.close()
    for item, answer in zip(items, answers, strict=True):
        np.testing.assert_allclose(answer, direct.run({"image": item})["out"], rtol=1e-5, atol=1e-3)


def test_half_precision_keeps_types_and_nearly_the_values(network: bytes) -> None:
    full, half = SessionModel(open_session(network)), SessionModel(open_session(half_precision(network)))
    batch = {"image": pictures(4)}
    exact, rounded = full.run(batch)["out"], half.run(batch)["out"]
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(rounded, exact, rtol=0.02, atol=1)


def test_profile_tells_which_nodes_computed_on_the_cpu(network: bytes, tmp_path: Path) -> None:
    session = open_session(network, profile=tmp_path / "profile")
    SessionModel(session).run(sample(session))
    events = json.loads(Path(session.end_profiling()).read_text())
    stray = computed_on_cpu(events)
    assert any("Conv" in name for name in stray)
    assert any(name.startswith("add") for name in stray)
    assert not any("Shape" in name or "Sub" in name for name in stray), "arithmetic on shapes may stay on the CPU"
    for event in events:
        if "args" in event and event["args"].get("provider") == CPU:
            event["args"]["provider"] = CUDA
    assert computed_on_cpu(events) == []


def test_a_model_that_runs_on_the_cpu_is_refused_by_the_names_of_its_nodes(network: bytes) -> None:
    with pytest.raises(NotOnGpu, match=r"nodes do not run on cpu: .*\(Conv\)"):
        prove_gpu(network, "cpu")


@pytest.mark.parametrize("wanted", ["cuda", "cuda:1"])
def test_a_gpu_that_is_asked_for_must_be_there(wanted: str) -> None:
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        assert choose_device(wanted).startswith("cuda:")
    else:
        with pytest.raises(ValueError, match="gpu extra"):
            choose_device(wanted)


@pytest.mark.parametrize("wanted", ["gpu", "cuda:x", "", "cpu:1"])
def test_unknown_devices_are_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match="unknown device"):
        choose_device(wanted)
