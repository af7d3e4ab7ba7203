"""What this server is: its pack, what the pack can do, and what the scores and levels mean with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import BaseModel

from face_server import __version__
from face_server.faces import gates
from face_server.faces.scoring import Scorer
from face_server.faces.service import FaceService
from face_server.model import Want
from face_server.settings import Settings


class Role(BaseModel):
    name: str
    adapter: str
    licence: str
    files: list[str]


@dataclass(frozen=True, slots=True)
class PackFacts:
    """What the manifest of the pack says."""

    name: str
    version: str
    licence: str
    source: str
    notice: str
    roles: list[Role]
    far: tuple[tuple[float, float], ...]  # false accept rate and its cosine


class Knot(BaseModel):
    cosine: float
    score: float


class Rate(BaseModel):
    rate: float
    cosine: float
    score: float


class Calibration(BaseModel):
    knots: list[Knot]
    far: list[Rate]


class Pack(BaseModel):
    name: str
    version: str
    licence: str
    source: str
    notice: str
    embedding_id: str
    dimensions: int
    capabilities: list[str]
    roles: list[Role]
    calibration: Calibration | None


class QualityLimits(BaseModel):
    occlusion: float
    blur: float
    illumination: float
    completeness: int


class Gates(BaseModel):
    quality: dict[str, QualityLimits]
    liveness: dict[str, float]


class Limits(BaseModel):
    body_bytes: int
    picture_pixels: int
    undo_seconds: float


class About(BaseModel):
    version: str
    device: str
    time_zone: str
    pack: Pack
    gates: Gates
    false_rejects: dict[str, float]
    dialects: list[str]
    limits: Limits


class Telling:
    def __init__(
        self,
        service: FaceService,
        settings: Settings,
        facts: PackFacts,
        device: str,
        dialects: list[str],
        undo_seconds: float,
    ) -> None:
        self._about = _about(service, settings, facts, device, dialects, undo_seconds)

    async def about(self) -> About:
        """The version, the installed models, and what scores and levels mean."""
        return self._about


def _about(
    service: FaceService,
    settings: Settings,
    facts: PackFacts,
    device: str,
    dialects: list[str],
    undo_seconds: float,
) -> About:
    return About(
        version=__version__,
        device=device,
        time_zone=settings.time_zone,
        pack=_pack(service, facts),
        gates=Gates(
            quality={level.value: QualityLimits(**asdict(limits)) for level, limits in gates.QUALITY.items()},
            liveness={level.value: limit for level, limit in gates.LIVENESS.items()},
        ),
        false_rejects=gates.CONTRACT.false_rejects,
        dialects=dialects,
        limits=Limits(
            body_bytes=settings.max_body_mb << 20,
            picture_pixels=settings.max_picture_pixels,
            undo_seconds=undo_seconds,
        ),
    )


def _pack(service: FaceService, facts: PackFacts) -> Pack:
    info = service.info
    calibration = None
    if info.calibration:
        rates = [Rate(rate=rate, cosine=cosine, score=_score(service, cosine)) for rate, cosine in facts.far]
        calibration = Calibration(knots=[Knot(cosine=c, score=s) for c, s in info.calibration], far=rates)
    return Pack(
        name=facts.name,
        version=facts.version,
        licence=facts.licence,
        source=facts.source,
        notice=facts.notice,
        embedding_id=info.embedding_id,
        dimensions=info.dimensions,
        capabilities=[want.name.lower() for want in Want if want in info.capabilities and want.name],
        roles=facts.roles,
        calibration=calibration,
    )


def _score(service: FaceService, cosine: float) -> float:
    return round(Scorer(service.info.calibration).score(cosine), 2)
