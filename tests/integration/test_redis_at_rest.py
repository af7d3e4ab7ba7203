"""With a key file what stays in Redis shows no face."""

from __future__ import annotations

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from face_server.store import in_redis
from face_server.store.scanning import LONGEST, Scanner
from scripts.load.server import serving
from scripts.load.worker import WorkerProcess
from tests.baidu_client import Baidu, image, variant
from tests.redis_server import running


def templates(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(folder / "faces.db")) as connection:
        return [row[0] for row in connection.execute("SELECT template FROM faces")]


def ask(url: str, picture: bytes) -> str:
    """The token of the face, which everybody may send from now on."""
    client = Baidu(url, "a")
    client("face/add", **image(picture), group_id="g", user_id="u").result  # noqa: B018
    client("face/identify", **image(picture), group_id_list="g").result  # noqa: B018
    token: str = client("face/detect", **image(picture)).result["face_list"][0]["face_token"]
    return token


def test_what_stays_in_redis_shows_no_face(tmp_path: Path, astronaut: bytes) -> None:
    picture, key = variant(astronaut, 1), tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    with ExitStack() as stack:
        redis = stack.enter_context(running())
        worker = WorkerProcess(redis.url, tmp_path / "worker.log").start()
        stack.callback(worker.kill)
        with serving(tmp_path / "plain", redis_url=redis.url) as server:
            ask(server.url, picture)
        (template,) = templates(tmp_path / "plain")
        wide = np.frombuffer(template, np.float16).astype(np.float32).tobytes()
        middle = len(picture) // 2
        shows = Scanner([template[:LONGEST], wide[:LONGEST], picture[middle : middle + LONGEST]])
        assert in_redis.left(redis.url, shows)[1] >= 1, "else there would be nothing to hide"
        in_redis.erase(redis.url)
        with serving(tmp_path / "sealed", redis_url=redis.url, key_file=key) as server:
            token = ask(server.url, picture)
            end = time.monotonic() + 20
            while (found := in_redis.left(redis.url, shows)[1]) and time.monotonic() < end:
                time.sleep(0.1)  # an answer goes when the next one is waited for
            assert found == 0
            assert redis.client.keys(f"*{token}"), "the token is there, sealed"
            asked = Baidu(server.url, "a")("face/identify", image=token, image_type="FACE_TOKEN", group_id_list="g")
            assert asked.result["user_list"][0]["user_id"] == "u"
