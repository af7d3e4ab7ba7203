"""Quality and liveness control: which face is refused at which level.

A part of the quality for which the installed pack has no model is not judged; liveness control without a model cannot
be answered honestly and raises ModelMissing, so that nobody is let in because a file is absent.
"""

from __future__ import annotations

from dataclasses import dataclass

from face_server.errors import Defect, ModelMissing, NotLive, QualityRefused
from face_server.model import Face, Gates, Level, Quality, Want


@dataclass(frozen=True, slots=True)
class QualityLimits:
    occlusion: float  # largest share of any part
    blur: float  # largest
    illumination: float  # smallest
    completeness: int  # smallest


QUALITY = {
    Level.LOW: QualityLimits(0.8, 0.8, 20, 0),
    Level.NORMAL: QualityLimits(0.6, 0.6, 40, 0),
    Level.HIGH: QualityLimits(0.2, 0.2, 100, 1),
}
LIVENESS = {Level.LOW: 0.05, Level.NORMAL: 0.3, Level.HIGH: 0.9}
FALSE_REJECTS = {"frr_1e-4": LIVENESS[Level.LOW], "frr_1e-3": LIVENESS[Level.NORMAL], "frr_1e-2": LIVENESS[Level.HIGH]}

_PARTS = (
    Defect.LEFT_EYE,
    Defect.RIGHT_EYE,
    Defect.NOSE,
    Defect.MOUTH,
    Defect.LEFT_CHEEK,
    Defect.RIGHT_CHEEK,
    Defect.CHIN_CONTOUR,
)


def wanted(gates: Gates) -> Want:
    """What must be computed to answer the gates."""
    quality = Want.NONE if gates.quality is Level.NONE else Want.QUALITY
    return quality if gates.liveness is Level.NONE else quality | Want.LIVENESS


def check(face: Face, gates: Gates) -> None:
    """Raises for the first rule that the face breaks. Equality passes."""
    if gates.quality is not Level.NONE and face.quality is not None:
        _check_quality(face.quality, QUALITY[gates.quality])
    if gates.liveness is not Level.NONE:
        if face.liveness is None:
            raise ModelMissing("liveness")
        if face.liveness < LIVENESS[gates.liveness]:
            raise NotLive(face.liveness, LIVENESS[gates.liveness])


def _check_quality(quality: Quality, limits: QualityLimits) -> None:
    if quality.occlusion is not None:
        for part in _PARTS:
            share = getattr(quality.occlusion, part.value)
            if share > limits.occlusion:
                raise QualityRefused(part, share, limits.occlusion)
    if quality.blur > limits.blur:
        raise QualityRefused(Defect.BLUR, quality.blur, limits.blur)
    if quality.illumination < limits.illumination:
        raise QualityRefused(Defect.ILLUMINATION, quality.illumination, limits.illumination)
    if quality.completeness < limits.completeness:
        raise QualityRefused(Defect.COMPLETENESS, quality.completeness, limits.completeness)
