"""CloudWalk with what an operator can switch on: limits, checks of what is registered, a lower limit of pixels."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from face_server.dialects.cloudwalk import codes
from face_server.dialects.cloudwalk.checks import check_quality, check_strictly
from face_server.dialects.cloudwalk.interfaces import Interface, Tools
from face_server.dialects.cloudwalk.library import Faces, Groups, Recognition
from face_server.dialects.params import Refusal
from face_server.errors import Busy, ModelMissing, OtherModel, Stage, StoreFailed
from face_server.faces.gates import CONTRACT
from face_server.model import Analysis, Attributes, Box, Choice, Face, Occlusion, Quality
from scripts.load.server import serving
from tests.baidu_client import pixels, png, text, variant
from tests.clients.cloudwalk_client import CloudWalk
from tests.dialects.test_cloudwalk import beside, refusal

GOOD = Quality(0.1, 120.0, 1, Occlusion(0, 0, 0, 0, 0, 0, 0))


SMALL = Box(10, 10, 40, 40)


def seen(quality: Quality | None = GOOD, glasses: str = "none", box: Box = SMALL, faces: int = 1) -> Analysis:
    attributes = Attributes(glasses=Choice(glasses, 0.9))
    face = Face(box, 0.9, np.zeros((5, 2), np.float32), "", quality=quality, attributes=attributes)
    return Analysis(100, 100, (face,) * faces)


@pytest.mark.parametrize(
    ("quality", "code"),
    [
        (Quality(0.1, 240.0, 1), 8480),
        (Quality(0.1, 20.0, 1), 8481),
        (Quality(0.9, 120.0, 1), 8482),
        (Quality(0.1, 120.0, 0), 8496),
        (Quality(0.1, 120.0, 1, Occlusion(0, 0, 0, 0.9, 0, 0, 0)), 8496),
    ],
)
def test_quality_checks(quality: Quality, code: int) -> None:
    for check in (check_quality, check_strictly):
        check(CONTRACT, seen())
        check(CONTRACT, seen(None))
        with pytest.raises(Refusal) as caught:
            check(CONTRACT, seen(quality))
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("picture", "code"),
    [(seen(faces=2), 8465), (seen(box=Box(0, 0, 90, 90)), 8467), (seen(glasses="common"), 8483)],
)
def test_strict_checks(picture: Analysis, code: int) -> None:
    check_quality(CONTRACT, picture)
    with pytest.raises(Refusal) as caught:
        check_strictly(CONTRACT, picture)
    assert caught.value.code == code


def test_strict_at_the_wire(astronaut: bytes, tmp_path: Path, photos: Path) -> None:
    portrait = pixels(astronaut)[0:260, 80:360]
    with serving(tmp_path, cloudwalk_checks="strict", deadline_ms=30000) as server:
        api = CloudWalk(server.url)
        api.create_group("g")
        face = api.add_face("g", png(np.ascontiguousarray(portrait)))
        (face_at,) = api.detect(png(np.ascontiguousarray(portrait)))
        near = portrait[face_at["y"] :, face_at["x"] :][: face_at["height"], : face_at["width"]]
        mirrored = np.ascontiguousarray(portrait[:, ::-1])
        refused = {
            "the same again": (portrait, 12294),
            "two faces": (beside(portrait, mirrored), 8465),
            "dark": ((portrait * 0.2).astype(np.uint8), 8481),
            "bright": (np.clip(portrait.astype(np.float32) * 0.3 + 200, 0, 255).astype(np.uint8), 8480),
            "blurred": (cv2.GaussianBlur(portrait, (0, 0), 2.5), 8482),
            "near": (near, 8467),
            "glasses": (pixels((photos / "cond_glasses_1.jpg").read_bytes()), 8483),
            "cut off": (portrait[:, face_at["x"] + face_at["width"] // 3 :], 8496),
        }
        for name, (shown, code) in refused.items():
            picture = text(png(np.ascontiguousarray(shown)))
            create = {"groupId": "g", "img": picture}
            assert refusal(partial(api.call, "/face/clustering/face/create", **create)) == code, name
            if code != 12294:
                assert refusal(partial(api.edit_face, "g", face, img=picture)) == code, name
        assert api.add_face("g", png(mirrored)) != face
        assert len(api.detect(png(beside(portrait, mirrored)))) == 2


@pytest.mark.other_contract("numbers are told to be texts")
def test_numbers_as_texts(astronaut: bytes, tmp_path: Path) -> None:
    with serving(tmp_path, cloudwalk_texts=True) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        sent = {"groupId": "g", "img": text(astronaut)}
        assert http.post("/face/clustering/group/create", data=sent).json()["result"] == "0"
        face = http.post("/face/clustering/face/create", data=sent).json()["faceId"]
        assert isinstance(face, str)
        found = http.post("/face/recog/group/identify/ext1", data=sent).json()["faces"][0]
        assert (found["faceId"], type(found["x"]), type(found["score"])) == (face, int, float)
        rows = http.post("/face/clustering/face/query", data={**sent, "faceId": face}).json()["rows"]
        assert rows == [{"faceId": face, "tag": ""}]
        assert http.post("/face/tool/detect").json() == {"result": "4097", "info": "参数不完整"}


def test_limits_of_the_library(astronaut: bytes, tmp_path: Path) -> None:
    with serving(tmp_path, groups_per_app=2, faces_per_group=2, faces_per_app=3, max_picture_pixels=400_000) as server:
        api = CloudWalk(server.url)
        api.create_group("a")
        api.create_group("b")
        assert refusal(lambda: api.create_group("c")) == 12361
        first, _ = (api.add_face("a", variant(astronaut, number)) for number in (1, 2))
        assert refusal(lambda: api.add_face("a", astronaut)) == 12368
        api.edit_face("a", first, img=text(astronaut))
        api.add_face("b", astronaut)
        assert refusal(lambda: api.add_face("b", variant(astronaut, 1))) == 12295
        api.delete_face("a", first)
        api.add_face("b", variant(astronaut, 1))
        api.delete_group("a")
        api.create_group("c")
        assert refusal(lambda: api.detect(png(np.zeros((700, 700, 3), np.uint8)))) == 8498


# Failures that no request can cause at will


class Anything:
    """Stands for a service while interfaces are only listed."""

    embedding_id, dimensions, time_zone, cloudwalk_checks = "", 4, "Asia/Shanghai", "none"

    def __getattr__(self, name: str) -> Anything:
        return self


def interfaces() -> dict[str, Interface]:
    nothing = Anything()
    parts = (Tools(nothing, nothing), Groups(nothing), Faces(nothing, nothing), Recognition(nothing))  # type: ignore[arg-type]
    return {interface.path: interface for part in parts for interface in part.all()}


@pytest.mark.parametrize(
    ("path", "error", "code"),
    [
        ("tool/detect", Busy(Stage.QUEUE), 4098),
        ("tool/detect", Busy(Stage.DEADLINE), 4115),
        ("tool/detect", Busy(Stage.RATE), 4117),
        ("tool/detect", Busy(Stage.DETECT), 4105),
        ("tool/keypt", Busy(Stage.ATTRIBUTES), 8512),
        ("tool/attribute", Busy(Stage.ATTRIBUTES), 4105),
        ("tool/attribute", ModelMissing("age_gender"), 4100),
        ("tool/removeWater", ModelMissing("dewater"), 4100),
        ("tool/removeWater", Busy(Stage.ATTRIBUTES), 8454),
        ("tool/feature", Busy(Stage.EMBED), 8513),
        ("tool/feature", ModelMissing("embed"), 8513),
        ("tool/compare", Busy(Stage.EMBED), 8517),
        ("tool/compare/ext1", Busy(Stage.EMBED), 8517),
        ("recog/group/compare", OtherModel(), 8517),
        ("recog/group/identify", Busy(Stage.EMBED), 8516),
        ("recog/group/identify", OtherModel(), 12356),
        ("recog/group/identify/ext1", Busy(Stage.INDEX), 8516),
        ("clustering/group/create", StoreFailed(), 12352),
        ("clustering/group/delete", StoreFailed(), 12354),
        ("clustering/group/query", Busy(Stage.DATABASE), 12359),
        ("clustering/face/create", StoreFailed(), 12289),
        ("clustering/face/create", Busy(Stage.EMBED), 8513),
        ("clustering/face/edit", StoreFailed(), 12290),
        ("clustering/face/delete", StoreFailed(), 12291),
        ("clustering/face/query", Busy(Stage.DATABASE), 12293),
    ],
)
def test_what_fails_inside_has_the_interfaces_own_code(path: str, error: Exception, code: int) -> None:
    assert codes.code_of(error, interfaces()[f"/face/{path}"].codes) == code  # type: ignore[arg-type]
    assert code in codes.MESSAGES
