"""Real photos at the wire, with the builtin pack and with the open one: who is who, how many, and who is alive."""

from __future__ import annotations

import csv
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.load.server import ServerProcess, serving
from tests.baidu_client import Baidu, image, token

# Of the pairs of one person the share that must reach 80. Nobody else may reach it with any pack.
SAME = {"builtin": 0.75, "open": 1.0}


@pytest.fixture(scope="module", params=["builtin", "open"])
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    if request.param == "open":
        models: Path = request.getfixturevalue("foreign_models")
        install = [sys.executable, "-m", "face_server", "models", "install", "open", "--accept-license"]
        subprocess.run([*install, "--from", str(models), "--models-dir", str(folder)], check=True, capture_output=True)
    return request.param, folder


@pytest.fixture(scope="module")
def running(pack: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    name, models = pack
    with serving(tmp_path_factory.mktemp("photos"), pack=name, models_dir=models, deadline_ms=30000) as server:
        yield server


@pytest.fixture(scope="module")
def api(running: ServerProcess) -> Baidu:
    return Baidu(running.url, app="photos")


@pytest.fixture(scope="module")
def known(api: Baidu, photos: Path) -> list[tuple[str, str]]:
    """Person and face token of every photo that shows one known person."""
    found = []
    with (photos / "photos.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if row["file"].startswith("id_") and ";" not in row["identity"]:
                answer = api("face/detect", **image((photos / row["file"]).read_bytes()), face_field="feature")
                if answer.code == 0:
                    found.append((row["identity"], answer.result["face_list"][0]["face_token"]))
    return found


def test_people_are_told_apart(api: Baidu, known: list[tuple[str, str]], pack: tuple[str, Path]) -> None:
    assert len(known) >= 24
    same: list[float] = []
    different: list[float] = []
    for (one, first), (other, second) in itertools.combinations(known, 2):
        score = api("face/match", [token(first), token(second)]).result["score"]
        (same if one == other else different).append(score)
    assert max(different) < 80
    assert sum(score >= 80 for score in same) / len(same) >= SAME[pack[0]]


def test_people_are_found_in_a_group(api: Baidu, known: list[tuple[str, str]], photos: Path) -> None:
    seen = set()
    for number, (person, face) in enumerate(known):
        if person not in seen:
            seen.add(person)
            place = {"group_id": "people", "user_id": f"u{number}", "user_info": person}
            assert api("face/add", **token(face), **place).code == 0
    search = {"group_id_list": "people", "max_user_num": 3}
    answer = api("face/identify", **image((photos / "id_obama_2.jpg").read_bytes()), **search)
    assert answer.result["user_list"][0]["user_info"] == "Barack Obama"
    both = image((photos / "id_obama_and_biden.jpg").read_bytes())
    faces = api("face/midentify", **both, **search, max_face_num=10, match_threshold=70).result["face_list"]
    named = {face["user_list"][0]["user_info"] for face in faces if face["user_list"]}
    assert named == {"Barack Obama", "Joe Biden"}


@pytest.mark.parametrize(
    ("file", "faces"), [("group_2", 2), ("group_3", 3), ("group_5_friends", 5), ("group_8_office", 8)]
)
def test_groups_of_people(api: Baidu, photos: Path, file: str, faces: int) -> None:
    answer = api("face/detect", **image((photos / f"{file}.jpg").read_bytes()), max_face_num=10).result
    assert answer["face_num"] == faces
    areas = [face["location"]["width"] * face["location"]["height"] for face in answer["face_list"]]
    assert areas == sorted(areas, reverse=True)
    assert len({face["face_token"] for face in answer["face_list"]}) == faces


@pytest.mark.parametrize("file", ["noface_landscape", "noface_food", "noface_park", "noface_dogs"])
def test_no_people(api: Baidu, photos: Path, file: str) -> None:
    assert api("face/detect", **image((photos / f"{file}.jpg").read_bytes()), max_face_num=10).code == 222202


@pytest.mark.parametrize("file", ["broken_truncated.jpg", "broken_text.jpg", "broken_png.png"])
def test_broken_pictures(api: Baidu, photos: Path, file: str) -> None:
    assert api("face/detect", **image((photos / file).read_bytes())).code == 222203


def test_every_format_shows_the_same_face(api: Baidu, photos: Path) -> None:
    first = token(
        api("face/detect", **image((photos / "fmt_einstein.png").read_bytes())).result["face_list"][0]["face_token"]
    )
    for kind in ("bmp", "gif", "jpeg", "tiff", "webp"):
        other = image((photos / f"fmt_einstein.{kind}").read_bytes())
        assert api("face/match", [first, other]).result["score"] > 95, kind


@pytest.mark.parametrize("turn", [3, 5, 6, 8])
def test_pictures_are_looked_at_upright(api: Baidu, photos: Path, turn: int) -> None:
    turned = api("face/detect", **image((photos / f"exif_orient_{turn}.jpg").read_bytes())).result["face_list"][0]
    assert abs(turned["location"]["rotation"]) < 15
    assert turned["location"]["height"] > turned["location"]["width"]


@pytest.mark.parametrize(("file", "code"), [("live_T1", 0), ("spoof_screen_1", 223120), ("spoof_screen_2", 223120)])
def test_liveness_control(api: Baidu, photos: Path, file: str, code: int) -> None:
    sent = image((photos / f"{file}.jpg").read_bytes())
    assert api("face/detect", **sent, liveness_control="NORMAL").code == code
    place = {"group_id": "alive", "user_id": file}
    assert api("face/add", **sent, **place, liveness_control="NORMAL").code == code
    assert api("face/match", [{**sent, "liveness_control": "NORMAL"}, sent]).code == code
    score = api("face/liveness", [sent]).result["face_list"][0]["liveness"]["livemapscore"]
    assert (score >= 0.3) is (code == 0)


def test_liveness_of_several_pictures_is_the_best_one(api: Baidu, photos: Path) -> None:
    files = ("spoof_screen_2.jpg", "live_T1.jpg", "spoof_monitor.jpg")
    answer = api("face/liveness", [image((photos / file).read_bytes()) for file in files]).result
    scores = [face["liveness"]["livemapscore"] for face in answer["face_list"]]
    assert answer["face_liveness"] == max(scores) == scores[1]
