"""Quality and liveness control: which face is refused at which level. What a level asks for is an app's own matter.

A part of the quality for which the installed pack has no model is not judged; liveness control without a model cannot
be answered honestly and raises ModelMissing, so that nobody is let in because a file is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What the levels ask for in one app, and the score from which on a face is somebody's."""

    quality: Mapping[Level, QualityLimits]
    liveness: Mapping[Level, float]
    # Where a request names no score. None: the one of the vendor's contract, or of the server's settings.
    search: float | None = None
    compare: float | None = None

    @property
    def false_rejects(self) -> dict[str, float]:
        """The levels of liveness by the names that clients know."""
        return {name: self.liveness[level] for name, level in _FALSE_REJECTS.items()}


CONTRACT = Limits(QUALITY, LIVENESS)
_FALSE_REJECTS = {"frr_1e-4": Level.LOW, "frr_1e-3": Level.NORMAL, "frr_1e-2": Level.HIGH}

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


def check(face: Face, gates: Gates, limits: Limits) -> None:
    """Raises for the first rule that the face breaks. Equality passes."""
    if gates.quality is not Level.NONE and face.quality is not None:
        _check_quality(face.quality, limits.quality[gates.quality])
    if gates.liveness is not Level.NONE:
        if face.liveness is None:
            raise ModelMissing("liveness")
        if face.liveness < limits.liveness[gates.liveness]:
            raise NotLive(face.liveness, limits.liveness[gates.liveness])


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
