"""What the pages Try, Compare and Search see in a picture."""

import base64
from collections.abc import Iterator
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from face_server.faces import gates
from face_server.model import Level
from scripts.load.server import ServerProcess
from tests.admin_client import Console


@pytest.fixture
def console(server: ServerProcess) -> Iterator[Console]:
    with Console(server.url) as client:
        yield client


@pytest.fixture(scope="session")
def nobody() -> bytes:
    return cv2.imencode(".png", np.full((200, 300, 3), 128, np.uint8))[1].tobytes()


def test_about_tells_what_scores_and_levels_mean(console: Console) -> None:
    about = console.ask("GET", "/about")
    pack = about["pack"]
    assert pack["name"] == "builtin"
    assert {"detect", "embed"} <= {role["name"] for role in pack["roles"]}
    assert all(role["licence"] for role in pack["roles"])
    knots = pack["calibration"]["knots"]
    assert [knot["score"] for knot in knots] == sorted(knot["score"] for knot in knots)
    rate = next(rate for rate in pack["calibration"]["far"] if rate["rate"] == 1e-4)
    assert rate["score"] == pytest.approx(80, abs=0.1)
    for level in (Level.LOW, Level.NORMAL, Level.HIGH):
        assert about["gates"]["quality"][level.value]["blur"] == gates.QUALITY[level].blur
        assert about["gates"]["liveness"][level.value] == gates.LIVENESS[level]
    assert {"baidu", "cloudwalk", "enn", "sid"} <= set(about["dialects"])


def test_everything_of_a_face(console: Console, astronaut: bytes) -> None:
    seen = console.ask("POST", "/look", content=astronaut)
    assert (seen["width"], seen["height"]) == (512, 512)
    (face,) = seen["faces"]
    assert 150 < face["box"]["left"] < 300
    assert len(face["points"]) == 5
    assert len(face["landmarks"]["p72"]) == 72
    assert 15 < face["attributes"]["age"] < 70
    assert face["attributes"]["gender"]["type"] in ("male", "female")
    assert 0 <= face["liveness"] <= 1
    assert face["parsing"] is None
    assert {"decode", "detect"} <= seen["stages"].keys()
    assert sum(seen["stages"].values()) <= seen["milliseconds"] * 1.05


def pixels_of(picture: bytes) -> Any:
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels


def test_gates_say_who_would_be_refused_and_why(console: Console, astronaut: bytes) -> None:
    picture = pixels_of(astronaut)
    dark = cv2.imencode(".png", (picture * 0.35).astype(np.uint8))[1].tobytes()
    (face,) = console.ask("POST", "/look", content=dark)["faces"]
    for level in (Level.LOW, Level.NORMAL, Level.HIGH):
        limits, told = gates.QUALITY[level], face["gates"]["quality"][level.value]
        if told is None:
            assert face["quality"]["illumination"] >= limits.illumination
        else:
            assert told["limit"] in (limits.occlusion, limits.blur, limits.illumination, limits.completeness)
            assert told["defect"] in told["text"]
        live = face["gates"]["liveness"][level.value]
        assert (live is None) == (face["liveness"] >= gates.LIVENESS[level])
    assert face["gates"]["quality"]["HIGH"]["defect"] == "illumination" or face["quality"]["blur"] > 0.2


def test_parsing_is_a_picture_of_classes(console: Console, astronaut: bytes) -> None:
    (face,) = console.ask("POST", "/look?parsing=true", content=astronaut)["faces"]
    png = np.frombuffer(base64.b64decode(face["parsing"]["png"]), np.uint8)
    classes = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    assert classes is not None
    assert classes.shape == (512, 512)
    assert 1 < len(np.unique(classes)) <= len(face["parsing"]["labels"])
    assert classes.max() < len(face["parsing"]["labels"])


def test_a_picture_without_a_face_is_an_answer(console: Console, nobody: bytes) -> None:
    assert console.ask("POST", "/look", content=nobody)["faces"] == []
    assert console.ask("POST", "/search?app=default", content=nobody)["faces"] == []


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("/look", b"", 400, "bad_parameter"),
        ("/look", b"no picture", 400, "bad_picture"),
        ("/look?max_faces=0", b"no picture", 400, "bad_parameter"),
        ("/search?app=default&threshold=101", b"no picture", 400, "bad_parameter"),
        ("/search", b"no picture", 400, "bad_parameter"),
        ("/search?app=default&group=no_such_group", b"no picture", 404, "group_missing"),
        ("/compare", b"{}", 400, "bad_parameter"),
        ("/compare", b'{"first": "*", "second": "*"}', 400, "bad_parameter"),
        ("/compare", b"[[[[", 400, "bad_parameter"),
    ],
)
def test_mistakes_are_named(console: Console, path: str, content: bytes, status: int, code: str) -> None:
    answer = console.post(path, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["log_id"] > 10**12


def test_every_face_against_every_face(console: Console, astronaut: bytes, nobody: bytes) -> None:
    picture = pixels_of(astronaut)
    twice = cv2.imencode(".png", np.hstack([picture, cv2.flip(picture, 1)]))[1].tobytes()
    one, two, none = (base64.b64encode(data).decode() for data in (astronaut, twice, nobody))
    told = console.ask("POST", "/compare", json={"first": one, "second": two})
    assert len(told["first"]["faces"]) == 1
    assert len(told["second"]["faces"]) == 2
    assert np.shape(told["scores"]) == np.shape(told["cosines"]) == (1, 2)
    assert np.min(told["scores"]) > 80
    failure = console.ask("POST", "/compare", 422, json={"first": one, "second": none})["error"]
    assert (failure["code"], failure["parameter"]) == ("no_face", "second")


def test_candidates_down_to_a_threshold(console: Console, astronaut: bytes) -> None:
    picture = pixels_of(astronaut)
    mirrored = cv2.imencode(".png", cv2.flip(picture, 1))[1].tobytes()
    for user, content in (("itself", astronaut), ("mirrored", mirrored)):
        where = {"app": "seekers", "group": "g", "user": user}
        console.ask("POST", "/faces", 201, params=where, content=content)
    (face,) = console.ask("POST", "/search?app=seekers", content=astronaut)["faces"]
    assert [match["user"] for match in face["candidates"]] == ["itself", "mirrored"]
    scores = [match["score"] for match in face["candidates"]]
    assert scores[0] > scores[1] > 80
    between = sum(scores) / 2
    (face,) = console.ask("POST", f"/search?app=seekers&threshold={between}", content=astronaut)["faces"]
    assert [match["user"] for match in face["candidates"]] == ["itself"]


def test_every_answer_is_typed_in_openapi(server: ServerProcess) -> None:
    schema = httpx.get(f"{server.url}/openapi.json").json()
    paths = {path: methods for path, methods in schema["paths"].items() if path.startswith("/admin/v1/")}
    assert len(paths) >= 20
    for path, methods in paths.items():
        for operation in methods.values():
            (good,) = [answer for code, answer in operation["responses"].items() if code.startswith("2")]
            if "content" in good and not path.endswith("/picture"):
                assert "$ref" in good["content"]["application/json"]["schema"], path
