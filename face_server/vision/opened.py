"""A pack's models opened for a device, and what they can do together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from face_server.engine.batcher import BatchedModel, DirectModel, make_model
from face_server.engine.meter import Meter
from face_server.errors import Stage
from face_server.model import Analysis, Cleaned, Task
from face_server.vision.adapters import Net
from face_server.vision.analyzer import Analyzer, Limits
from face_server.vision.packs import Pack, Role
from face_server.vision.protocol import VisionInfo

_STAGES = {"detect": Stage.DETECT, "embed": Stage.EMBED, "liveness": Stage.LIVENESS}

Permit = Callable[[], None]  # raises where no picture may be looked at now


class Opened:
    def __init__(
        self,
        pack: Pack,
        device: str,
        *,
        max_batch: int,
        max_pixels: int,
        meter: Meter | None = None,
        permit: Permit | None = None,
    ) -> None:
        self._how = (device, max_batch, meter)
        self._models: dict[Path, DirectModel | BatchedModel] = {}
        models = {
            name: [self._model(name, file, half=bool(role.parameters.get("fp16"))) for file in role.files]
            for name, role in pack.roles.items()
        }
        limits = Limits(max_pixels, square_input=max_batch > 1)
        if permit is None:
            self.analyzer = Analyzer(pack.roles, models, limits)
        else:
            self.analyzer = _Asking(pack.roles, models, limits, permit)
        self.info = info(pack, self.analyzer)

    @property
    def ready(self) -> bool:
        return all(model.ready for model in self._models.values())

    def _model(self, role: str, file: Path, *, half: bool) -> DirectModel | BatchedModel:
        """Roles that name the same file share one model."""
        if file not in self._models:
            device, max_batch, meter = self._how
            stage = _STAGES.get(role, Stage.ATTRIBUTES)
            self._models[file] = make_model(
                file.stem, file.read_bytes(), device=device, max_batch=max_batch, stage=stage, half=half, meter=meter
            )
        return self._models[file]


class _Asking(Analyzer):
    """Asks before each picture whether it may."""

    def __init__(
        self, roles: Mapping[str, Role], models: Mapping[str, Sequence[Net]], limits: Limits, permit: Permit
    ) -> None:
        super().__init__(roles, models, limits)
        self._permit = permit

    def analyze(self, data: bytes, task: Task) -> Analysis:
        self._permit()
        return super().analyze(data, task)

    def clean(self, data: bytes) -> Cleaned:
        self._permit()
        return super().clean(data)


def info(pack: Pack, analyzer: Analyzer) -> VisionInfo:
    embed = pack.roles.get("embed")
    calibration = embed.calibration if embed else None
    knots = tuple(zip(calibration.raw, calibration.score, strict=True)) if calibration else ()
    return VisionInfo(pack.name, analyzer.capabilities, pack.embedding_id, analyzer.dimensions, knots)
