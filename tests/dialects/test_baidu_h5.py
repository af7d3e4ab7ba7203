"""H5 liveness with real h264 videos: ways to send one, sessions, browsers of other origins, and what is no video."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import av
import cv2
import httpx
import numpy as np
import pytest

from face_server.dialects.baidu.sessions import SECONDS, Sessions
from face_server.vision.images import decode
from face_server.vision.video import FRAMES, MOST_DECODED
from face_server.vision.video import pictures as frames_of
from scripts.load.server import ServerProcess, serving
from tests.baidu_client import pixels

ORIGIN = "https://pages.example"
PATHS = ("/face-api/face/liveness", "/api/face-api/face/liveness")
KEYS = {"err_no", "err_msg", "result", "timestamp", "cached", "serverlogid", "error_code", "error_msg"}
SESSIONS = (
    "/face-api/v3/face/sessioncode",
    "/v3/face/sessioncode",
    "/api/face-api/v3/face/sessioncode",
    "/api/v3/face/sessioncode",
)
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def mp4(
    frames: Iterator[Pixels] | list[Pixels], codec: str = "libx264", container: str = "mp4", **options: str
) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = cast("av.VideoStream", output.add_stream(codec, rate=25, options=options))
        for number, values in enumerate(frames):
            if number == 0:
                stream.height, stream.width = values.shape[:2]
                stream.pix_fmt = "yuv420p"
            output.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="bgr24")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def moving(picture: bytes, count: int, size: tuple[int, int] = (320, 320)) -> list[Pixels]:
    """A head that comes slowly nearer."""
    values = cv2.resize(pixels(picture), size)
    shown = []
    for number in range(count):
        scale = 1 + number / count / 5
        turned = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), 0, scale)
        shown.append(np.asarray(cv2.warpAffine(values, turned, size), np.uint8))
    return shown


@pytest.fixture(scope="module")
def video(astronaut: bytes) -> bytes:
    return mp4(moving(astronaut, 125))


@pytest.fixture(scope="module")
def browser_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("browsers"), cors_origins=json.dumps([ORIGIN]), deadline_ms=30000) as running:
        yield running


@pytest.fixture(scope="module")
def http(browser_server: ServerProcess) -> httpx.Client:
    return httpx.Client(base_url=browser_server.url, timeout=60)


def checked(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer: dict[str, Any] = response.json()
    assert answer.keys() == KEYS
    assert (answer["error_code"], answer["error_msg"]) == (answer["err_no"], answer["err_msg"])
    assert answer["cached"] == 0
    assert answer["serverlogid"].isdigit()
    assert abs(answer["timestamp"] - time.time()) < 60
    if answer["err_no"]:
        assert answer["result"] is None
    else:
        assert answer["err_msg"] == "success"
    return answer


def judged(answer: dict[str, Any]) -> None:
    result = answer["result"]
    assert result.keys() == {"score", "thresholds", "code", "pic_list"}
    assert 0 <= result["score"] <= 1
    assert result["thresholds"] == {"frr_1e-4": 0.05, "frr_1e-3": 0.3, "frr_1e-2": 0.9}
    ids = [picture["face_id"] for picture in result["pic_list"]]
    assert 1 <= len(ids) <= 8
    assert all(number.isdigit() for number in ids)
    assert len(set(ids)) == len(ids)
    for picture in result["pic_list"]:
        shown = decode(base64.b64decode(picture["pic"], validate=True), 10**7)
        assert min(shown.width, shown.height) > 40


@pytest.mark.parametrize("path", PATHS)
def test_video_as_a_file(http: httpx.Client, video: bytes, path: str) -> None:
    files = {"video": ("test.mp4", video, "video/mp4")}
    answer = checked(http.post(f"{path}?appid=app01", files=files, data={"session_id": "S59faeeebb9111890355690"}))
    judged(answer)
    assert answer["result"]["code"] == {"create": "", "identify": ""}


def test_video_as_text(http: httpx.Client, video: bytes) -> None:
    text = base64.b64encode(video).decode()
    scores = set()
    form = {"content-type": "application/x-www-form-urlencoded"}
    for body, headers in (
        (f"video_base64={quote(text, safe='')}", form),
        (f"video_base64={text}", form),  # + arrives as a space
        (f"session_id=&video_base64=data:video/mp4;base64,{text}", form),
        (json.dumps({"video_base64": text, "session_id": None}), {"content-type": "application/json"}),
        (json.dumps({"video_base64": text}), form),
    ):
        answer = checked(http.post(PATHS[0], content=body, headers=headers))
        judged(answer)
        scores.add(answer["result"]["score"])
    assert len(scores) == 1
    answer = checked(http.post(PATHS[0], data={"video_base64": text}, files={"note": ("a", b"b")}))
    judged(answer)


def test_file_goes_before_text(http: httpx.Client, video: bytes) -> None:
    files = {"video": ("test.mp4", video, "video/mp4")}
    judged(checked(http.post(PATHS[0], files=files, data={"video_base64": "*"})))
    answer = checked(http.post(PATHS[0], files={"video": ("a.mp4", b"junk")}, data={"video_base64": "*"}))
    assert answer["err_no"] == 222203


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mp4", {"g": "5"}),
        ("libx264", "mov", {}),
        ("libx264", "matroska", {}),
        ("mpeg4", "avi", {}),
        ("libvpx", "webm", {"deadline": "realtime"}),
    ],
)
def test_other_containers(
    http: httpx.Client, astronaut: bytes, codec: str, container: str, options: dict[str, str]
) -> None:
    sent = mp4(moving(astronaut, 30), codec, container, **options)
    judged(checked(http.post(PATHS[0], files={"video": ("v", sent)})))


def test_no_video(http: httpx.Client) -> None:
    for body in (b"", b"{}", b"session_id=a", b"video=", b"video_base64=", b'{"video_base64":""}', b'{"video":null}'):
        answer = checked(http.post(PATHS[0], content=body))
        assert (answer["err_no"], answer["err_msg"]) == (222001, "param[video] is null"), body
    assert checked(http.post(PATHS[0], content=b"[{}]"))["err_no"] == 222001
    assert checked(http.post(PATHS[0], content=b"{"))["err_msg"] == "param[] is null"
    assert checked(http.post(PATHS[0], json={"video_base64": 5}))["err_no"] in (222001, 222203)
    for sent in ({"data": {"a": "b"}}, {"files": {"video": ("", b"")}}, {"files": {"other": ("a", b"b")}}):
        assert checked(http.post(PATHS[0], **sent))["err_no"] == 222001


def test_what_is_no_video(http: httpx.Client, video: bytes, astronaut: bytes) -> None:
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    concat = b"ffconcat version 1.0\nfile '/etc/passwd'\n"
    for junk in (b"junk", video[:500], bytes(100_000), astronaut, playlist, concat, b"\x00\x00\x00\x20ftypisom" * 99):
        assert checked(http.post(PATHS[0], files={"video": ("a.mp4", junk)}))["err_no"] == 222203, junk[:20]
    for text in ("*", "AAAA", "é"):
        assert checked(http.post(PATHS[0], json={"video_base64": text}))["err_no"] == 222203
    body = b'{"video_base64":"' + b"A" * (30 << 20) + b'"}'
    assert checked(http.post(PATHS[0], content=body))["err_no"] == 222203


def test_video_without_a_face(http: httpx.Client) -> None:
    grey = [np.full((240, 320, 3), shade, np.uint8) for shade in range(40, 80)]
    assert checked(http.post(PATHS[0], files={"video": ("a.mp4", mp4(grey))}))["err_no"] == 222202


def test_methods(http: httpx.Client) -> None:
    assert http.get(PATHS[0]).status_code == 405
    assert http.put(PATHS[0]).status_code == 405


# Frames


def test_frames_are_spread_over_the_video() -> None:
    shades = [np.full((64, 64, 3), shade * 2, np.uint8) for shade in range(100)]
    for options in ({"g": "10"}, {"g": "250"}):
        shown = [decode(jpeg, 10**6).pixels.mean() / 2 for jpeg in frames_of(mp4(shades, **options))]
        assert len(shown) == FRAMES
        assert shown == sorted(shown)
        assert shown[0] < 15
        assert shown[-1] > 80
        assert max(np.diff(shown)) < 30


def test_short_video_gives_all_it_has() -> None:
    assert len(frames_of(mp4([np.zeros((64, 64, 3), np.uint8)] * 3))) == 3


def test_video_that_lies_on_its_side(astronaut: bytes) -> None:
    """Phones store portrait videos lying and say in the header how to turn them."""
    upright = mp4(moving(astronaut, 8, (256, 320)))
    matrix = upright.index(b"tkhd") + 4 + 4 + 36  # version and flags, then times, ids, layer, volume
    identity = bytes.fromhex("00010000" + "00" * 12 + "00010000" + "00" * 12 + "40000000")
    assert upright[matrix : matrix + 36] == identity
    quarter = bytes.fromhex("00000000" + "00010000" + "00000000" + "ffff0000" + "00" * 16 + "40000000")
    turned = decode(frames_of(upright[:matrix] + quarter + upright[matrix + 36 :])[0], 10**6)
    plain = decode(frames_of(upright)[0], 10**6)
    assert (turned.width, turned.height) == (plain.height, plain.width)
    clockwise = np.rot90(plain.pixels, -1).astype(int)
    assert np.abs(turned.pixels.astype(int) - clockwise).mean() < 6


def test_limits_of_a_video(http: httpx.Client) -> None:
    still = np.zeros((32, 32, 3), np.uint8)
    endless = mp4(still for _ in range(MOST_DECODED + 100))
    assert checked(http.post(PATHS[0], files={"video": ("a.mp4", endless)}))["err_no"] == 222203
    huge = mp4([np.zeros((2400, 3200, 3), np.uint8)] * 2, preset="ultrafast")
    assert checked(http.post(PATHS[0], files={"video": ("a.mp4", huge)}))["err_no"] == 222304


# Sessions


@pytest.mark.parametrize("path", SESSIONS)
def test_session(http: httpx.Client, video: bytes, path: str) -> None:
    made = checked(http.post(path, data={"appid": "app01"}))["result"]
    assert made["code"].isdigit()
    assert len(made["code"]) == 4
    if path != SESSIONS[0]:
        return
    files = {"video": ("test.mp4", video, "video/mp4")}
    answer = checked(http.post(PATHS[0], files=files, data={"session_id": made["session_id"]}))
    assert answer["result"]["code"] == {"create": made["code"], "identify": ""}


def test_sessions_are_signed_and_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(b"k" * 32)
    session, code = sessions.create()
    assert len({sessions.create()[0] for _ in range(100)}) == 100
    assert Sessions(b"k" * 32).code(session) == code
    assert Sessions(b"l" * 32).code(session) == ""
    for forged in ("", "S", session[:-1], session[:-1] + "x", "S" + "0" * 28, "é" * 29, session + "0", session[1:]):
        assert sessions.code(forged) == ""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SECONDS + 2)
    assert sessions.code(session) == ""


# Browsers of other origins


def test_allowed_origin(http: httpx.Client) -> None:
    for path in (*PATHS, SESSIONS[0]):
        ask = {"origin": ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "x-a"}
        preflight = http.options(path, headers=ask)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        answer = http.post(path, headers={"origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_other_origins_and_other_paths(http: httpx.Client, server: ServerProcess) -> None:
    ask = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert http.options(PATHS[0], headers=ask).status_code == 400
    assert "access-control-allow-origin" not in http.post(PATHS[0], headers={"origin": ask["origin"]}).headers
    assert "access-control-allow-origin" not in http.post("/v3/group/list", headers={"origin": ORIGIN}).headers
    assert httpx.options(server.url + PATHS[0], headers=ask).status_code == 405


def test_documentation(http: httpx.Client, server: ServerProcess) -> None:
    """With and without browsers of other origins: each interface once, with what it reads."""
    for paths in (http.get("/openapi.json").json()["paths"], httpx.get(f"{server.url}/openapi.json").json()["paths"]):
        body = paths[PATHS[0]]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert body["properties"].keys() == {"video", "video_base64", "session_id"}
        assert [one["name"] for one in paths[SESSIONS[0]]["post"]["parameters"]] == ["appid"]
        assert not {PATHS[1], *SESSIONS[1:]} & paths.keys()
        assert "options" not in paths[PATHS[0]]
