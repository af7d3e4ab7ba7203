"""What is wrong with a picture, a feature or the library: each at every interface that has a code for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from scripts.load.server import ServerProcess
from tests.baidu_client import NOBODY, jpeg, pixels, png, text
from tests.conformance.asking import request_of
from tests.conformance.contract import Contract
from tests.conformance.plugin import Proves

PICTURES = ("image", "img", "imgA", "imgB", "param")
ADDRESSES = dict.fromkeys(("url", "urlA", "urlB"), "http://192.0.2.1/x.jpg")  # fetching is off, which is the default
Values = dict[str, Any]


def shown(picture: bytes) -> Values:
    return dict.fromkeys(PICTURES, text(picture))


def small_face(astronaut: bytes) -> bytes:
    """Too small to count, in a picture that is large enough."""
    canvas = np.full((200, 200, 3), 127, np.uint8)
    face = cv2.resize(pixels(astronaut)[0:260, 80:360], None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    canvas[: face.shape[0], : face.shape[1]] = face
    return png(canvas)


CONDITIONS: dict[str, dict[int, Values]] = {
    "baidu_v3": {
        222202: shown(NOBODY),
        222203: {"image": "YWJj"},
        222204: {"image": "http://192.0.2.1/x.jpg", "image_type": "URL"},
        222209: {"image": "0" * 32, "image_type": "FACE_TOKEN"},
        223100: dict.fromkeys(("group_id", "src_group_id", "group_id_list"), "nowhere"),
        223103: {"user_id": "nobody"},
    },
    "cloudwalk": {
        4102: {**dict.fromkeys(PICTURES), **ADDRESSES},
        8464: shown(NOBODY),
        8497: dict.fromkeys(PICTURES, "YWJj"),
        8498: shown(png(np.zeros((30, 6001, 3), np.uint8))),
        8499: shown(png(np.zeros((23, 100, 3), np.uint8))),
        12292: {"faceId": "999999999"},
        12357: {"groupId": "nowhere"},
    },
    "sid": {
        20010009: {"userId": "nobody"},
        20010010: {"groupId": "nowhere"},
        20010011: shown(NOBODY),
        20010012: dict.fromkeys(PICTURES, "AAAA"),
        20010013: {**dict.fromkeys(PICTURES), **dict.fromkeys(("feature", "featureA", "featureB"), "AAAA")},
    },
}
# Where it is none: face_add makes what is missing, a video is no picture.
NO_CONDITION = {
    ("face_add", 223100),
    ("face_add", 223103),
    ("h5_video_liveness", 222202),
    ("h5_video_liveness", 222203),
}


@pytest.fixture(scope="module")
def contract(proves: Proves) -> Contract:
    return proves.contract


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def good(http: httpx.Client, contract: Contract, astronaut: bytes) -> Values:
    """Values that every interface answers well: a group with a user and a face in each dialect."""
    values = {
        **shown(jpeg(pixels(astronaut))),
        **dict.fromkeys(("appid", "app_id"), "conditions"),
        **dict.fromkeys(("group_id", "src_group_id", "group_id_list", "groupId"), "conditions1"),
        **dict.fromkeys(("user_id", "userId"), "u"),
        "dst_group_id": "conditions2",
        "face_token": "0" * 32,
        "image_type": "BASE64",
        "app_secret": "12345",
        "topN": "1",
    }
    for dialect, name in (("baidu_v3", "face_add"), ("cloudwalk", "group_create")):  # SID sees Baidu's
        (interface,) = (one for one in contract.dialects[dialect].interfaces if one.name == name)
        done = http.request(**request_of(interface, values)).json()
        assert contract.dialects[dialect].code_of(done) == 0, done
    (create,) = (one for one in contract.dialects["cloudwalk"].interfaces if one.name == "face_create")
    return {**values, "faceId": http.request(**request_of(create, values)).json()["faceId"]}


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, codes in CONDITIONS.items() for code in codes])
def test_every_interface_that_has_a_code_for_it(
    http: httpx.Client, contract: Contract, good: Values, name: str, code: int
) -> None:
    dialect, tried = contract.dialects[name], 0
    for interface in dialect.interfaces:
        if (
            code in interface.codes
            and (interface.name, code) not in NO_CONDITION
            and not interface.name.startswith("h5")
        ):
            answer = http.request(**request_of(interface, {**good, **CONDITIONS[name][code]})).json()
            assert dialect.code_of(answer) == code, (interface.name, answer)
            tried += 1
    assert tried


def test_faces_that_are_too_small(http: httpx.Client, contract: Contract, good: Values, astronaut: bytes) -> None:
    for interface in contract.dialects["cloudwalk"].interfaces:
        if 8466 in interface.codes:
            sent = request_of(interface, {**good, **shown(small_face(astronaut))})
            assert http.request(**sent).json()["result"] == 8466, interface.name
