"""The way of a GPU, walked on the CPU: more lanes than cores, models that batch. The answers stay what they were."""

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from scripts.load.server import ServerProcess, serving


@pytest.fixture(scope="module")
def pictures(astronaut: bytes) -> list[dict[str, str]]:
    """Views of one face at different sizes and places, and one picture without any."""
    pixels = cv2.imdecode(np.frombuffer(astronaut, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    views = [pixels[y : y + 400, x : x + 400] for x in (0, 20, 40, 60) for y in (0, 20)]
    views += [np.full_like(pixels, 128), cv2.flip(pixels, 1)]
    encoded = [base64.b64encode(cv2.imencode(".png", view)[1].tobytes()).decode() for view in views]
    return [{"appid": "default", "image": text, "image_type": "BASE64", "face_field": "quality"} for text in encoded]


def answers(server: ServerProcess, pictures: list[dict[str, str]], repeat: int) -> list[dict[str, Any]]:
    with httpx.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(16) as callers:
        asked = callers.map(lambda body: client.post("/face-api/v3/face/detect", json=body).json(), pictures * repeat)
        return [{"code": answer["error_code"], "result": answer["result"]} for answer in asked]


def test_batched_answers_are_the_direct_ones(
    server: ServerProcess, pictures: list[dict[str, str]], tmp_path: Path
) -> None:
    direct = answers(server, pictures, 1)
    assert {answer["code"] for answer in direct} == {0, 222202}
    with serving(tmp_path, lanes=8, max_batch=8) as batching:
        batched = answers(batching, pictures, 4)
        page = httpx.get(f"{batching.url}/metrics").text
    sums = {
        name: sum(
            float(value) for value in re.findall(rf'^face_model_batch_size_{name}{{model="detect"}} (\S+)$', page, re.M)
        )
        for name in ("sum", "count")
    }
    assert sums["sum"] > sums["count"] > 0, "no batch was formed"
    for number, answer in enumerate(batched):
        expected = direct[number % len(pictures)]
        assert answer["code"] == expected["code"]
        if expected["result"]:
            (face,), (other,) = answer["result"]["face_list"], expected["result"]["face_list"]
            for side, value in other["location"].items():
                assert face["location"][side] == pytest.approx(value, abs=1.5)
            assert face["face_probability"] == pytest.approx(other["face_probability"], abs=0.01)
