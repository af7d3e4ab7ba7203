"""kill -9 in the middle of 500 adds: what was acknowledged is found, nothing is half there."""

from __future__ import annotations

import base64
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import cv2
import numpy as np

from scripts.load.server import ServerProcess

ADDS = 500


def variants(picture: bytes, count: int) -> list[str]:
    """One face under so many lights: every picture is another face to the library."""
    whole = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert whole is not None
    pixels = whole[0:300, 80:380]
    made = []
    for number in range(count):
        lit = np.clip(pixels * (0.8 + 0.4 * number / count) + number % 7, 0, 255).astype(np.uint8)
        made.append(base64.b64encode(cv2.imencode(".jpg", lit)[1].tobytes()).decode())
    return made


def call(server: ServerProcess, path: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(f"{server.url}/face-api/v3/{path}?appid=app", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.loads(answer.read()))


def test_acknowledged_faces_survive_a_kill(tmp_path: Path, astronaut: bytes) -> None:
    server = ServerProcess(tmp_path / "data", deadline_ms=60_000).start()
    acknowledged: dict[str, str] = {}

    def add(number: int, picture: str) -> None:
        body = {"image": picture, "image_type": "BASE64", "group_id": "g", "user_id": f"u{number}"}
        try:
            answer = call(server, "face/add", body)
        except (OSError, HTTPException, ValueError):  # whatever a dying server does to its clients
            return
        if answer["error_code"] == 0:
            acknowledged[f"u{number}"] = answer["result"]["face_token"]  # type: ignore[index]
        if len(acknowledged) == ADDS // 4:
            server.kill()

    with ThreadPoolExecutor(50) as clients:
        list(clients.map(add, range(ADDS), variants(astronaut, ADDS)))
    assert ADDS // 4 <= len(acknowledged) < ADDS

    server = ServerProcess(tmp_path / "data").start()
    try:
        users = call(server, "user/list", {"group_id": "g", "length": 1000})["result"]["user_id_list"]  # type: ignore[index]
        assert set(acknowledged) <= set(users)
        for user in users:
            faces = call(server, "face/list", {"group_id": "g", "user_id": user})["result"]["face_list"]  # type: ignore[index]
            assert len(faces) == 1
            token = faces[0]["face_token"]
            assert acknowledged.get(user, token) == token
            search = {"image": token, "image_type": "FACE_TOKEN", "group_id_list": "g", "max_user_num": 20}
            (best, *_) = call(server, "face/identify", search)["result"]["user_list"]  # type: ignore[index]
            assert best["score"] > 99
            seen = call(server, "face/detect", {"image": token, "image_type": "FACE_TOKEN", "face_field": "quality"})
            assert seen["error_code"] == 0, "the stored picture is there too"
    finally:
        server.stop()
