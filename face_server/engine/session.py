"""ONNX Runtime sessions: opened on a CPU or a GPU, run, and the proof that the GPU does the work."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[Any]
Batch = dict[str, Array]
Shape = Sequence[int | str | None]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"


class Model(Protocol):
    """Named arrays in, named arrays out; dimension 0 of each is the batch."""

    @property
    def inputs(self) -> Mapping[str, Shape]: ...

    @property
    def outputs(self) -> Sequence[str]: ...

    def run(self, batch: Batch) -> Batch: ...


class NotOnGpu(RuntimeError):
    """Nodes of a model that should run on the GPU were placed on the CPU."""


def choose_device(wanted: str) -> str:
    """'cpu' or 'cuda:N'. Who asks for a GPU that the runtime cannot use gets an error, not a slow server."""
    import onnxruntime

    present = CUDA in onnxruntime.get_available_providers()
    if wanted == "auto":
        return "cuda:0" if present else "cpu"
    if wanted == "cpu":
        return "cpu"
    name, _, number = wanted.partition(":")
    if name != "cuda" or not (number or "0").isdigit():
        raise ValueError(f"unknown device {wanted!r}: use auto, cpu, cuda or cuda:N")
    if not present:
        raise ValueError(f"device {wanted} is set, but this onnxruntime has no CUDA provider: install the gpu extra")
    return f"cuda:{number or 0}"


def open_session(model: bytes, device: str = "cpu", *, profile: Path | None = None) -> onnxruntime.InferenceSession:
    """One thread per run: several callers of one session beat several threads in one call, and idle threads that spin
    would take the time of the others."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    session = onnxruntime.InferenceSession(model, options, providers=_providers(device))
    session.disable_fallback()  # a CUDA failure must be seen; without this the session goes on, on the CPU
    return session


def _providers(device: str) -> Sequence[str | tuple[str, dict[str, object]]]:
    arena = {"arena_extend_strategy": "kSameAsRequested"}
    if device == "cpu":
        return [CPU]
    _load_cuda()
    cuda = {"device_id": int(device.partition(":")[2]), "cudnn_conv_algo_search": "HEURISTIC", **arena}
    return [(CUDA, cuda), CPU]


@cache
def _load_cuda() -> None:
    """CUDA may come with the packages beside onnxruntime, where the system's loader does not look."""
    import onnxruntime

    with redirect_stdout(sys.stderr):  # it prints what it does not find
        onnxruntime.preload_dlls()


def half_precision(model: bytes) -> bytes:
    """The same model computing in 16 bit. Inputs and outputs keep their types."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    halved: bytes = convert_float_to_float16(onnx.load_from_string(model), keep_io_types=True).SerializeToString()
    return halved


class SessionModel:
    """A session seen as a model: it runs in the thread of its caller."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str = "cpu") -> None:
        self._session = session
        self._device, _, number = device.partition(":")
        self._number = int(number or 0)
        self.inputs: Mapping[str, Shape] = {node.name: tuple(node.shape) for node in session.get_inputs()}
        self.outputs: Sequence[str] = [node.name for node in session.get_outputs()]

    def run(self, batch: Batch) -> Batch:
        if self._device == "cpu":
            return dict(zip(self.outputs, self._session.run(self.outputs, batch), strict=True))
        return self._run_bound(batch)

    def _run_bound(self, batch: Batch) -> Batch:
        """The inputs cross to the device once, as they are (mostly uint8), and only the outputs come back."""
        import onnxruntime

        binding = self._session.io_binding()
        for name, array in batch.items():
            value = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, self._number)
            binding.bind_ortvalue_input(name, value)
        for name in self.outputs:
            binding.bind_output(name, self._device, self._number)
        self._session.run_with_iobinding(binding)
        return dict(zip(self.outputs, binding.copy_outputs_to_cpu(), strict=True))


def prove_gpu(model: bytes, device: str) -> None:
    """Run the model once under the profiler and look where its nodes ran."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(model, device, profile=Path(folder) / "profile")
        SessionModel(session, device).run(sample(session))
        events = json.loads(Path(session.end_profiling()).read_text())
    stray = computed_on_cpu(events)
    if stray:
        raise NotOnGpu(f"{len(stray)} nodes do not run on {device}: {', '.join(stray[:8])}")


def sample(session: onnxruntime.InferenceSession) -> Batch:
    """One row of zeros for each input; a side that the graph leaves open gets a usual length."""
    kinds = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}
    return {
        node.name: np.zeros([1, *(side if isinstance(side, int) else 320 for side in node.shape[1:])], kinds[node.type])
        for node in session.get_inputs()
    }


def computed_on_cpu(events: Iterable[dict[str, Any]]) -> list[str]:
    """The nodes of a profile that computed with pixels or features on the CPU. Arithmetic on shapes is meant to stay
    there: its tensors are integers, or have no batch dimension."""
    stray = {}
    for event in events:
        details = event.get("args", {})
        if event.get("cat") == "Node" and details.get("provider") == CPU and _is_data(details):
            stray[event["name"].removesuffix("_kernel_time")] = details.get("op_name", "?")
    return [f"{name} ({kind})" for name, kind in stray.items()]


def _is_data(details: dict[str, Any]) -> bool:
    tensors = [(kind, shape) for item in details.get("output_type_shape", ()) for kind, shape in item.items()]
    return any(("float" in kind or kind == "uint8") and len(shape) >= 2 for kind, shape in tensors)
