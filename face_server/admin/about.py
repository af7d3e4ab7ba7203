"""What this server is: its pack, what the pack can do, and what the scores and levels mean with it."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel

from face_server import __version__, packs
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
        pack: packs.Pack,
        device: str,
        dialects: list[str],
        undo_seconds: float,
    ) -> None:
        self._about = About(
            version=__version__,
            device=device,
            time_zone=settings.time_zone,
            pack=_pack(service, pack),
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

    async def about(self) -> About:
        """The version, the installed models, and what scores and levels mean."""
        return self._about


def _pack(service: FaceService, pack: packs.Pack) -> Pack:
    info = service.info
    return Pack(
        name=pack.name,
        version=pack.version,
        licence=pack.licence,
        source=pack.source,
        notice=pack.notice,
        embedding_id=info.embedding_id,
        dimensions=info.dimensions,
        capabilities=[want.name.lower() for want in Want if want in info.capabilities and want.name],
        roles=[
            Role(name=name, adapter=role.adapter, licence=role.licence, files=[file.name for file in role.files])
            for name, role in pack.roles.items()
        ],
        calibration=_calibration(service, pack),
    )


def _calibration(service: FaceService, pack: packs.Pack) -> Calibration | None:
    knots = service.info.calibration
    if not knots:
        return None
    embed = pack.roles.get("embed")
    far = embed.calibration.far if embed and embed.calibration else ()
    return Calibration(
        knots=[Knot(cosine=cosine, score=score) for cosine, score in knots],
        far=[Rate(rate=rate, cosine=cosine, score=_score(service, cosine)) for rate, cosine in far],
    )


def _score(service: FaceService, cosine: float) -> float:
    return round(Scorer(service.info.calibration).score(cosine), 2)
