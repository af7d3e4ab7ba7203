"""A pack's models opened for a device, and what they can do together."""

from __future__ import annotations

from pathlib import Path

from face_server.engine.batcher import BatchedModel, DirectModel, make_model
from face_server.engine.meter import Meter
from face_server.errors import Stage
from face_server.vision.analyzer import Analyzer, Limits
from face_server.vision.packs import Pack
from face_server.vision.protocol import VisionInfo

_STAGES = {"detect": Stage.DETECT, "embed": Stage.EMBED, "liveness": Stage.LIVENESS}


class Opened:
    def __init__(self, pack: Pack, device: str, *, max_batch: int, max_pixels: int, meter: Meter | None = None) -> None:
        self._how = (device, max_batch, meter)
        self._models: dict[Path, DirectModel | BatchedModel] = {}
        models = {
            name: [self._model(name, file, half=bool(role.parameters.get("fp16"))) for file in role.files]
            for name, role in pack.roles.items()
        }
        self.analyzer = Analyzer(pack.roles, models, Limits(max_pixels, square_input=max_batch > 1))
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


def info(pack: Pack, analyzer: Analyzer) -> VisionInfo:
    embed = pack.roles.get("embed")
    calibration = embed.calibration if embed else None
    knots = tuple(zip(calibration.raw, calibration.score, strict=True)) if calibration else ()
    return VisionInfo(pack.name, analyzer.capabilities, pack.embedding_id, analyzer.dimensions, knots)
