"""Every limit of every level, on both sides of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from face_server.errors import Defect, ModelMissing, NotLive, QualityRefused
from face_server.faces import gates
from face_server.model import Box, Face, Gates, Level, Occlusion, Quality, Want

CLEAR = Occlusion(0, 0, 0, 0, 0, 0, 0)
GOOD = Quality(blur=0.0, illumination=255.0, completeness=1, occlusion=CLEAR)
FACE = Face(Box(0, 0, 9, 9), 1.0, np.zeros((5, 2), np.float32), "0" * 32, quality=GOOD, liveness=1.0)
PARTS = ("left_eye", "right_eye", "nose", "mouth", "left_cheek", "right_cheek", "chin_contour")
LEVELS = (Level.LOW, Level.NORMAL, Level.HIGH)
LARGEST = dict(zip(LEVELS, (0.8, 0.6, 0.2), strict=True))
LIGHT = dict(zip(LEVELS, (20.0, 40.0, 100.0), strict=True))
COMPLETE = dict(zip(LEVELS, (0, 0, 1), strict=True))
LIVE = dict(zip(LEVELS, (0.05, 0.3, 0.9), strict=True))


def refused(quality: Quality, level: Level) -> Defect | None:
    try:
        gates.check(replace(FACE, quality=quality), Gates(quality=level), gates.CONTRACT)
    except QualityRefused as error:
        return error.defect
    return None


@pytest.mark.parametrize("level", LEVELS)
def test_quality_limits(level: Level) -> None:
    for part in PARTS:
        for share, outcome in ((LARGEST[level], None), (LARGEST[level] + 1e-6, Defect(part))):
            assert refused(replace(GOOD, occlusion=replace(CLEAR, **{part: share})), level) is outcome
    assert refused(replace(GOOD, blur=LARGEST[level]), level) is None
    assert refused(replace(GOOD, blur=LARGEST[level] + 1e-6), level) is Defect.BLUR
    assert refused(replace(GOOD, illumination=LIGHT[level]), level) is None
    assert refused(replace(GOOD, illumination=LIGHT[level] - 1e-3), level) is Defect.ILLUMINATION
    assert refused(replace(GOOD, completeness=COMPLETE[level]), level) is None
    assert refused(replace(GOOD, completeness=0), level) is (Defect.COMPLETENESS if level is Level.HIGH else None)


@pytest.mark.parametrize("level", LEVELS)
def test_liveness_limits(level: Level) -> None:
    gates.check(replace(FACE, liveness=LIVE[level]), Gates(liveness=level), gates.CONTRACT)
    with pytest.raises(NotLive):
        gates.check(replace(FACE, liveness=LIVE[level] - 1e-6), Gates(liveness=level), gates.CONTRACT)


def test_first_defect_in_the_contract_s_order() -> None:
    """Parts, then blur, light, completeness, then liveness: taking the first away uncovers the next."""
    everything = replace(FACE, quality=Quality(1.0, 0.0, 0, Occlusion(1, 1, 1, 1, 1, 1, 1)), liveness=0.0)
    seen = []
    face = everything
    for mended in (*PARTS, "blur", "illumination", "completeness"):
        with pytest.raises(QualityRefused) as error:
            gates.check(face, Gates(Level.HIGH, Level.HIGH), gates.CONTRACT)
        seen.append(error.value.defect.value)
        assert face.quality
        assert face.quality.occlusion
        if mended in PARTS:
            quality = replace(face.quality, occlusion=replace(face.quality.occlusion, **{mended: 0.0}))
        else:
            quality = replace(face.quality, **{mended: getattr(GOOD, mended)})
        face = replace(face, quality=quality)
    assert seen == [*PARTS, "blur", "illumination", "completeness"]
    with pytest.raises(NotLive):
        gates.check(face, Gates(Level.HIGH, Level.HIGH), gates.CONTRACT)


def test_no_gate_refuses_nobody() -> None:
    gates.check(replace(FACE, quality=None, liveness=None), Gates(), gates.CONTRACT)


def test_what_has_no_model_is_not_judged_but_liveness_is_not_waved_through() -> None:
    unknown = replace(FACE, quality=replace(GOOD, occlusion=None))
    gates.check(unknown, Gates(quality=Level.HIGH), gates.CONTRACT)
    gates.check(replace(FACE, quality=None), Gates(quality=Level.HIGH), gates.CONTRACT)
    with pytest.raises(ModelMissing):
        gates.check(replace(FACE, liveness=None), Gates(liveness=Level.LOW), gates.CONTRACT)


def test_only_what_the_gates_need_is_computed() -> None:
    assert gates.wanted(Gates()) is Want.NONE
    assert gates.wanted(Gates(quality=Level.LOW)) is Want.QUALITY
    assert gates.wanted(Gates(Level.HIGH, Level.LOW)) == Want.QUALITY | Want.LIVENESS
