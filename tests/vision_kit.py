"""Vision without the server: networks straight from files, for tests of single adapters and of the analyzer."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face_server.engine.session import SessionModel, open_session
from face_server.vision.adapters import make
from face_server.vision.analyzer import Analyzer
from face_server.vision.convert import batchable
from face_server.vision.detection import Finder
from face_server.vision.images import Pixels
from face_server.vision.packs import Pack
from face_server.vision.view import Faces

YUNET = "yunet/yunet_n_dynamic.onnx"
IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
# Role -> adapter, files below the folder of foreign models, parameters.
OPEN: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "detect": ("yunet", [YUNET], {"sizes": [320, 640]}),
    "landmarks": ("ghostone98", ["ghostone98/PFLD_GhostOne_112_1_opt_sim.onnx"], {}),
    "embed": ("arcface", ["mobilefacenet/MobileFaceNet.onnx"], {**IMAGENET, "flip": True}),
    "pose": ("fsanet", ["fsanet/fsanet-1x1-iter-688590.onnx", "fsanet/fsanet-var-iter-688590.onnx"], {}),
    "liveness": (
        "minifasnet",
        ["minifasnet/antispoof.onnx", "minifasnet/antispoof_4.onnx"],
        {"scales": [2.7, 4.0]},
    ),
}


@cache
def load_net(file: Path) -> SessionModel:
    """A network that takes any batch, whatever its export says."""
    sources = {part.name: part.read_bytes() for part in (file, file.with_name(file.name + ".data")) if part.exists()}
    return SessionModel(open_session(batchable(sources)))


def analyzer(
    models: Path, *roles: str, extra: dict[str, tuple[str, list[Any], dict[str, Any]]] | None = None
) -> Analyzer:
    """The named roles of OPEN, or all, and `extra` ones: adapter, networks, parameters."""
    chosen: dict[str, tuple[str, list[Any], dict[str, Any]]] = {}
    for name in roles or OPEN:
        adapter, files, parameters = OPEN[name]
        chosen[name] = (adapter, [load_net(models / file) for file in files], parameters)
    chosen.update(extra or {})
    return Analyzer(
        {name: SimpleNamespace(adapter=adapter, parameters=params) for name, (adapter, _, params) in chosen.items()},
        {name: nets for name, (_, nets, _) in chosen.items()},
    )


def boxed(models: Path, pixels: Pixels, most: int = 1) -> Faces:
    """The faces YuNet finds."""
    return Finder(make("yunet", [load_net(models / YUNET)], {})).find(pixels, most)


class Fake:
    """A network written in Python: tests decide what it answers."""

    def __init__(
        self, inputs: dict[str, tuple[int | str | None, ...]], answer: Any, outputs: tuple[str, ...] = ()
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._answer = answer
        self.batches: list[dict[str, NDArray[Any]]] = []

    def run(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.batches.append(batch)
        answer: dict[str, NDArray[Any]] = self._answer(**batch)
        assert all(len(rows) == len(np.atleast_1d(next(iter(batch.values())))) for rows in answer.values())
        return answer


def load_pack(pack: Pack) -> Analyzer:
    """A whole pack; roles that name the same file share one network."""
    nets = {file: SessionModel(open_session(file.read_bytes())) for role in pack.roles.values() for file in role.files}
    return Analyzer(pack.roles, {name: [nets[file] for file in role.files] for name, role in pack.roles.items()})
