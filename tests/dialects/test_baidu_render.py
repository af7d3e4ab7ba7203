"""A face that has everything prints everything the document names, and a face that has nothing invents nothing."""

from __future__ import annotations

import base64
import gzip
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from face_server.dialects.baidu import render
from face_server.dialects.baidu.tables import FIELD_WANTS
from face_server.model import (
    Attributes,
    Box,
    Choice,
    Eyes,
    Face,
    Landmarks,
    Occlusion,
    Parsing,
    Pose,
    Quality,
)

POINTS = np.array([[10, 20], [30, 20], [20, 30], [14, 40], [26, 40]], np.float32)
BARE = Face(Box(1.123456789, 2, 40, 50), 1.0000001, POINTS, "ab" * 16)
FULL = replace(
    BARE,
    pose=Pose(-1.5, 2.25, 3.125),
    landmarks=Landmarks(POINTS[:4], p72=np.zeros((72, 2), np.float32)),
    quality=Quality(0.25, 130.5, 1, Occlusion(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)),
    liveness=0.75,
    liveness_raw=0.5,
    parsing=Parsing(np.array([[0, 1, 2], [10, 11, 0]], np.uint8), ("background",)),
    attributes=Attributes(
        age=29.298097611,
        gender=Choice("male", 0.9),
        expression=Choice("smile", 0.8),
        emotion=Choice("happy", 0.7),
        glasses=Choice("sun", 0.6),
        eyes=Eyes(0.99, 0.01),
        face_shape=Choice("oval", 0.5),
        face_type=Choice("human", 0.99),
        beauty=55.5,
        race=Choice("yellow", 0.4),
    ),
)
ALL = frozenset(FIELD_WANTS)


async def test_everything() -> None:
    shown: dict[str, Any] = await render.face(FULL, ALL)
    angle = {"yaw": -1.5, "pitch": 2.25, "roll": 3.125}
    parsed = gzip.decompress(base64.b64decode(shown.pop("parsing_info"))).decode()
    assert parsed == "0,1,2,10,11,0"
    landmark = [{"x": 10.0, "y": 20.0}, {"x": 30.0, "y": 20.0}, {"x": 20.0, "y": 30.0}, {"x": 14.0, "y": 40.0}]
    assert shown.pop("landmark") == landmark
    assert len(shown.pop("landmark72")) == 72
    assert shown == {
        "face_token": "ab" * 16,
        "location": {"left": 1.12345679, "top": 2.0, "width": 40.0, "height": 50.0, "rotation": 0},
        "face_probability": 1.0,
        "angle": angle,
        "angel": angle,
        "age": 29.29809761,
        "beauty": 56,
        "expression": {"type": "smile", "probability": 0.8},
        "emotion": {"type": "happy", "probability": 0.7},
        "face_shape": {"type": "oval", "probability": 0.5},
        "gender": {"type": "male", "probability": 0.9},
        "glasses": {"type": "sun", "probability": 0.6},
        "race": {"type": "yellow", "probability": 0.4},
        "face_type": {"type": "human", "probability": 0.99},
        "eye_status": {"left_eye": 0.99, "right_eye": 0.01},
        "quality": {
            "blur": 0.25,
            "illumination": 130.5,
            "completeness": 1,
            "occlusion": {
                "left_eye": 0.1,
                "right_eye": 0.2,
                "nose": 0.3,
                "mouth": 0.4,
                "left_cheek": 0.5,
                "right_cheek": 0.6,
                "chin_contour": 0.7,
            },
        },
    }


async def test_only_what_was_asked_for() -> None:
    default = {"face_token", "location", "face_probability", "angle", "angel"}
    assert (await render.face(FULL, frozenset())).keys() == default
    for field in ALL - {"parsing", "feature"}:
        extra = {"landmark", "landmark72"} if field == "landmark" else {field}
        assert (await render.face(FULL, frozenset({field}))).keys() == default | extra
    assert (await render.face(FULL, frozenset({"parsing"}))).keys() == default | {"parsing_info"}


async def test_nothing_is_invented() -> None:
    assert (await render.face(BARE, ALL)).keys() == {"face_token", "location", "face_probability"}
    quality = (await render.face(replace(BARE, quality=Quality(0, 1, 1)), ALL))["quality"]
    assert quality.keys() == {"blur", "illumination", "completeness"}
    points_only = replace(BARE, landmarks=Landmarks(POINTS[:4]))
    assert "landmark72" not in await render.face(points_only, ALL)


@pytest.mark.parametrize(("turn", "rotation"), [(0, 0), (30, 30), (-45, -45), (90, 90), (180, 180), (-179, -179)])
def test_rotation_is_clockwise_as_the_viewer_sees_it(turn: float, rotation: int) -> None:
    angle = np.radians(turn)
    turned = POINTS @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    assert render.rotation(turned.astype(np.float32)) == rotation


def test_liveness_has_both_values() -> None:
    assert render.liveness(FULL) == {"livemapscore": 0.75, "faceliveness": 0.5}
    assert render.liveness(replace(FULL, liveness_raw=None)) == {"livemapscore": 0.75, "faceliveness": 0.75}
