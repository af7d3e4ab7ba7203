"""The open pack on real photos: made from its authors' files, then the whole way from bytes to faces."""

import csv
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face_server.faces.gates import LIVENESS
from face_server.model import Analysis, Level, Task, Want
from face_server.vision import offline
from face_server.vision.install import Definition, FromFolder, install
from face_server.vision.packs import Pack, models_home

Look = Callable[..., Analysis]


@pytest.fixture(scope="module")
def pack(foreign_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    definition = Definition.load(models_home("packs") / "open.toml")
    return install(definition, FromFolder(foreign_models), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def look(pack: Pack, photos: Path) -> Look:
    analyzer = offline.analyzer(pack)

    def analyze(name: str, want: Want = Want.NONE, max_faces: int = 10) -> Analysis:
        return analyzer.analyze((photos / name).read_bytes(), Task(want, max_faces=max_faces))

    return analyze


def one(look: Look, name: str, want: Want) -> Any:
    """The one face; a test that reads what no model of it has told fails of that."""
    (face,) = look(name, want, max_faces=1).faces
    return face


def test_one_person_scores_80_and_two_score_less(pack: Pack, look: Look, photos: Path) -> None:
    calibration = pack.roles["embed"].calibration
    assert calibration is not None
    with (photos / "photos.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["file"].startswith("id_") and row["faces"] == "1"]
    templates = [(row["identity"], one(look, row["file"], Want.EMBEDDING).embedding) for row in rows if row["identity"]]
    same: list[float] = []
    different: list[float] = []
    for (a, left), (b, right) in combinations(templates, 2):
        score = np.interp(float(left @ right), calibration.raw, calibration.score)
        (same if a == b else different).append(score)
    assert len(same) >= 20
    assert len(different) >= 200
    assert min(same) >= 80
    assert max(different) < 70


def test_screens_fail_and_a_living_face_passes(look: Look) -> None:
    normal = LIVENESS[Level.NORMAL]
    for name in ("spoof_screen_1.jpg", "spoof_screen_2.jpg", "spoof_monitor.jpg"):
        assert one(look, name, Want.LIVENESS).liveness < normal, name
    assert one(look, "live_T1.jpg", Want.LIVENESS).liveness > LIVENESS[Level.HIGH]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("group_5_friends.jpg", 5),
        ("group_2.jpg", 2),
        ("group_3.jpg", 3),
        ("noface_dogs.jpg", 0),
        ("noface_landscape.jpg", 0),
        ("noface_food.jpg", 0),
        ("noface_park.jpg", 0),
    ],
)
def test_faces_are_counted(look: Look, name: str, count: int) -> None:
    assert len(look(name).faces) == count


def test_pose_has_our_signs(look: Look) -> None:
    def pose(name: str) -> tuple[float, float, float]:
        found = one(look, name, Want.POSE).pose
        return found.yaw, found.pitch, found.roll

    assert pose("cond_profile_left.jpg")[0] < -30
    assert pose("cond_profile_right.png")[0] > 30
    assert pose("cond_chin_up.jpg")[1] < -8
    assert pose("cond_tilt.png")[2] > 25
    assert max(map(abs, pose("id_obama_1.jpg"))) < 10


def test_attributes_tell_what_is_seen(look: Look) -> None:
    wanted = Want.AGE | Want.GENDER | Want.EMOTION
    obama, biden = (one(look, name, wanted).attributes for name in ("id_obama_1.jpg", "id_biden_2.jpg"))
    leslie = one(look, "id_rose_leslie_1.jpg", wanted).attributes
    assert (obama.gender.type, biden.gender.type, leslie.gender.type) == ("male", "male", "female")
    assert obama.age < biden.age
    assert obama.emotion.type == "happy"
