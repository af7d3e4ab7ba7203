"""The builtin pack through the analyzer, on a real face that every machine has."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from face_server.model import Spot, Task, Want
from face_server.vision.analyzer import Analyzer
from face_server.vision.images import decode
from face_server.vision.packs import find_pack, models_home
from tests.vision_kit import load_pack

EVERYTHING = ~Want.NONE


@pytest.fixture(scope="module")
def builtin() -> Analyzer:
    return load_pack(find_pack("builtin", models_home("builtin")))


def one(made: Analyzer, data: bytes, want: Want, **task: Any) -> Any:
    """The one face; a test that reads what no model of it has told fails of that."""
    (face,) = made.analyze(data, Task(want, **task)).faces
    return face


def test_the_astronaut(builtin: Analyzer, astronaut: bytes) -> None:
    """Eileen Collins smiles at the camera, in the upper middle of a picture of 512 x 512."""
    answer = builtin.analyze(astronaut, Task(EVERYTHING))
    assert (answer.width, answer.height) == (512, 512)
    face: Any = answer.faces[0]
    assert len(answer.faces) == 1
    box = face.box
    assert 150 < box.left < 200
    assert 40 < box.top < 100
    assert 70 < box.width < 130
    assert 90 < box.height < 160
    assert face.probability > 0.5
    eyes, nose, mouth = face.landmarks.p4[:2], face.landmarks.p4[2], face.landmarks.p4[3]
    assert eyes[0, 0] < nose[0] < eyes[1, 0]
    assert eyes[:, 1].max() < nose[1] < mouth[1]
    room = 0.2 * box.width
    assert (face.landmarks.p68 > [box.left - room, box.top - room]).all()
    assert (face.landmarks.p68 < [box.left + box.width + room, box.top + box.height + room]).all()
    assert abs(face.pose.yaw) < 30
    assert abs(face.pose.pitch) < 25
    assert abs(face.pose.roll) < 15
    assert face.quality.blur < 0.3
    assert 60 < face.quality.illumination < 220
    assert face.quality.completeness == 1
    assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)


def test_what_the_pack_can_is_answered_and_nothing_else(builtin: Analyzer, astronaut: bytes) -> None:
    face = one(builtin, astronaut, EVERYTHING)
    words = face.attributes
    given = {
        Want.LIVENESS: face.liveness,
        Want.AGE: words.age,
        Want.GENDER: words.gender,
        Want.EXPRESSION: words.expression,
        Want.EMOTION: words.emotion,
        Want.GLASSES: words.glasses,
        Want.MASK: words.mask,
        Want.EYES: words.eyes,
        Want.MOUTH: words.mouth_open,
        Want.FACE_SHAPE: words.face_shape,
        Want.FACE_TYPE: words.face_type,
        Want.BEAUTY: words.beauty,
        Want.RACE: words.race,
        Want.PARSING: face.parsing,
        Want.EMBEDDING: face.embedding,
        Want.POSE: face.pose,
        Want.LANDMARKS: face.landmarks,
        Want.QUALITY: face.quality,
    }
    assert {flag for flag, value in given.items() if value is not None} == {
        flag for flag in given if flag in builtin.capabilities
    }
    assert Want.RACE not in builtin.capabilities
    assert {Want.EMBEDDING, Want.LIVENESS, Want.AGE, Want.GENDER} <= {f for f in given if f in builtin.capabilities}
    assert words.gender.type == "female"
    assert words.expression.type in ("smile", "laugh")
    assert 20 < words.age < 60
    if face.parsing is not None:
        assert face.parsing.classes.shape == (512, 512)
        assert face.parsing.classes.max() < len(face.parsing.labels)
        middle = face.landmarks.p4[2].astype(int)
        assert face.parsing.classes[middle[1], middle[0]] > 0
        assert face.parsing.classes[500, 10] == 0


def test_known_face_turned_picture_other_file(builtin: Analyzer, astronaut: bytes) -> None:
    wanted = one(builtin, astronaut, Want.EMBEDDING)
    spot = Spot(wanted.box, wanted.points, wanted.probability, wanted.token)
    assert one(builtin, astronaut, Want.EMBEDDING, spot=spot).embedding @ wanted.embedding > 0.99999
    pixels = decode(astronaut, 10**6).pixels
    for turned, any_turn in ((pixels, False), (np.rot90(pixels), True), (np.rot90(pixels, 2), True)):
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(turned)).save(buffer, "BMP")
        found = one(builtin, buffer.getvalue(), Want.EMBEDDING, any_turn=any_turn)
        assert found.embedding @ wanted.embedding > 0.9
        assert (found.token == wanted.token) is not any_turn


def test_dewatering_leaves_the_person(builtin: Analyzer, astronaut: bytes) -> None:
    pixels = decode(astronaut, 10**6).pixels.copy()
    clean = one(builtin, astronaut, Want.EMBEDDING).embedding
    lines = np.zeros(pixels.shape[:2], bool)
    for start in range(-512, 512, 14):
        for x in range(512):
            y = int(start + x + 5 * np.sin(x / 9))
            if 0 <= y < 512:
                lines[y, x] = True
    pixels[lines] = (pixels[lines] * 0.5 + 110).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    marked, mended = (one(builtin, buffer.getvalue(), Want.EMBEDDING, dewater=on).embedding for on in (False, True))
    assert mended @ clean > 0.7
    assert mended @ clean > marked @ clean - 0.02
