"""What an operator may demand of pictures that are registered; by default nothing is."""

from __future__ import annotations

from face_server.dialects.params import Refusal
from face_server.faces.gates import Limits
from face_server.model import Analysis, Level, Want

SEVERAL, LARGE, BRIGHT, DARK, BLURRED, GLASSES, POOR = 8465, 8467, 8480, 8481, 8482, 8483, 8496
BRIGHTEST = 230.0  # mean brightness of a face
MOST = 0.7  # share of the picture that a face may fill

QUALITY_WANTS = Want.QUALITY
STRICT_WANTS = Want.QUALITY | Want.GLASSES


def check_quality(limits: Limits, seen: Analysis) -> None:
    """Light, sharpness, and whether all of the face is to be seen, as level NORMAL asks for."""
    normal, quality = limits.quality[Level.NORMAL], seen.faces[0].quality
    if quality is None:
        return
    if quality.illumination > BRIGHTEST:
        raise Refusal(BRIGHT)
    if quality.illumination < normal.illumination:
        raise Refusal(DARK)
    if quality.blur > normal.blur:
        raise Refusal(BLURRED)
    if not quality.completeness or quality.covered > normal.occlusion:
        raise Refusal(POOR)


def check_strictly(limits: Limits, seen: Analysis) -> None:
    """That, and one face alone, without glasses and not too near."""
    if len(seen.faces) > 1:
        raise Refusal(SEVERAL)
    (face,) = seen.faces
    if face.box.area > MOST * seen.width * seen.height:
        raise Refusal(LARGE)
    check_quality(limits, seen)  # before the glasses: in the dark a model sees what is not there
    if face.attributes.glasses is not None and face.attributes.glasses.type != "none":
        raise Refusal(GLASSES)
