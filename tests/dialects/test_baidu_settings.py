"""What the operator can switch: each switch on a server that has it the other way round."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scripts.load.server import ServerProcess, serving
from tests.baidu_client import NOBODY, Baidu, image, png, token, variant

TURNED = {
    "picture_urls": True,
    "picture_url_hosts": json.dumps(["pictures.example"]),
    "strict_picture_size": True,
    "infrared": False,
    "beauty": False,
    "race": True,
    "store_pictures": "none",
    "faces_per_user": 2,
    "max_user_num": 50,
    "max_face_num": 3,
    "max_body_mb": 1,
    "time_zone": "America/New_York",
}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("turned"), **TURNED) as running:
        yield running


@pytest.fixture(scope="module")
def portrait(astronaut: bytes) -> bytes:
    return variant(astronaut, 0)  # as a JPEG it fits into the small body


@pytest.fixture
def api(other: ServerProcess) -> Baidu:
    return Baidu(other.url, app="turned")


@pytest.fixture
def usual(server: ServerProcess) -> Baidu:
    return Baidu(server.url, app="usual")


def test_infrared(api: Baidu, usual: Baidu) -> None:
    assert usual("face/detect", **image(NOBODY), face_type="INFRARED").code == 222202
    assert api("face/detect", **image(NOBODY), face_type="INFRARED").code == 222024
    assert api("face/match", [{**image(NOBODY), "face_type": "infrared"}] * 2).code == 222024


def test_picture_size(api: Baidu, usual: Baidu) -> None:
    for height, width, code in ((1080, 1920, 222202), (1920, 1080, 222202), (1081, 1920, 222304), (100, 1921, 222304)):
        grey = png(np.zeros((height, width, 3), np.uint8))
        assert api("face/detect", **image(grey)).code == code
        assert usual("face/detect", **image(grey)).code == 222202
    assert usual("face/detect", **image(png(np.zeros((4000, 6000), np.uint8)))).code == 222202
    assert usual("face/detect", **image(png(np.zeros((4001, 6000), np.uint8)))).code == 222304
    assert usual("face/detect", **image(png(np.zeros((30_000, 30_000), np.uint8)))).code == 222304


def test_attributes_that_are_switched_off(api: Baidu, portrait: bytes) -> None:
    face = api("face/detect", **image(portrait), face_field="beauty,race,age").result["face_list"][0]
    assert "beauty" not in face


def test_race_is_off_by_default(usual: Baidu, astronaut: bytes) -> None:
    face = usual("face/detect", **image(astronaut), face_field="race").result["face_list"][0]
    assert "race" not in face


def test_limits_of_numbers(api: Baidu) -> None:
    sent = {**image(NOBODY), "group_id_list": "nobody"}
    assert api("face/identify", **sent, max_user_num=50).code == 223100
    assert api("face/identify", **sent, max_user_num=51).code == 222021
    assert api("face/detect", **image(NOBODY), max_face_num=4).code == 222016


def test_body_limit(api: Baidu) -> None:
    assert api("face/detect", image="A" * (1 << 20), image_type="BASE64").code == 222013
    assert api("face/detect", image="AAAA", image_type="BASE64").code == 222203


def test_faces_per_user(api: Baidu, astronaut: bytes) -> None:
    place = {"group_id": "few", "user_id": "u1"}
    for number in (0, 1):
        assert api("face/add", **image(variant(astronaut, number)), **place).code == 0
    assert api("face/add", **image(variant(astronaut, 2)), **place).code == 222300
    assert len(api("face/list", **place).result["face_list"]) == 2
    assert api("face/update", **image(variant(astronaut, 2)), **place).code == 0


def test_no_picture_is_stored(api: Baidu, other: ServerProcess, portrait: bytes) -> None:
    added = api("face/add", **image(portrait), group_id="bare", user_id="u1").result["face_token"]
    assert not [path for path in (other.data_dir / "pictures").rglob("*") if path.is_file()]
    assert api("face/identify", **token(added), group_id_list="bare").result["user_list"][0]["user_id"] == "u1"


def test_times_are_of_the_zone(api: Baidu, usual: Baidu, portrait: bytes) -> None:
    place = {"group_id": "zone", "user_id": "u1"}
    hours = set()
    for one in (api, usual):
        one("face/add", **image(portrait), **place)
        hours.add(one("face/list", **place).result["face_list"][0]["ctime"][11:13])
    assert len(hours) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a.jpg",
        "http://localhost/a.jpg",
        "http://other.example/a.jpg",
        "http://pictures.example/a.jpg",
        "file:///etc/passwd",
        "ftp://pictures.example/",
        "x",
        "http://pictures.example/\u0000",
    ],
)
def test_addresses_that_cannot_be_fetched(api: Baidu, url: str) -> None:
    code = api("face/detect", image=url, image_type="URL").code
    assert code == (222013 if "\0" in url else 222204)


# What is kept of a registered face: each way must be enough to ask for the face again when its token has expired.


@pytest.mark.parametrize("kept", ["face", "picture", "none"])
def test_registered_face_without_its_cached_token(tmp_path: Path, astronaut: bytes, kept: str) -> None:
    with serving(tmp_path, store_pictures=kept) as first:
        api = Baidu(first.url, app="kept")
        shown = api("face/detect", **image(astronaut), face_field="quality").result["face_list"][0]
        added = api("face/add", **image(astronaut), group_id="g1", user_id="u1").result
        assert added["location"] == shown["location"]
    shutil.rmtree(tmp_path / "tokens")
    with serving(tmp_path, store_pictures=kept) as second:
        api = Baidu(second.url, app="kept")
        sent = token(added["face_token"])
        assert api("face/identify", **sent, group_id_list="g1").result["user_list"][0]["score"] > 99
        again = api("face/detect", **sent, face_field="quality")
        if kept == "none":
            assert again.code == 222301
            return
        face = again.result["face_list"][0]
        for name in ("left", "top", "width", "height"):
            assert face["location"][name] == pytest.approx(shown["location"][name], abs=0.01)
        for name in ("yaw", "pitch", "roll"):
            assert face["angle"][name] == pytest.approx(shown["angle"][name], abs=4)
        assert face["quality"]["completeness"] == shown["quality"]["completeness"]
        assert face["quality"]["illumination"] == pytest.approx(shown["quality"]["illumination"], abs=2)
        assert face["quality"]["blur"] == pytest.approx(shown["quality"]["blur"], abs=0.1)
        assert api("face/match", [sent, image(astronaut)]).result["score"] > 99
        added = api("face/add", **sent, group_id="g2", user_id="u2").result
        assert added["face_token"] == face["face_token"]
