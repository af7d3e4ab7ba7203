"""A face that was added through one server is found through another by the very next request: a thousand times."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from scripts.load.server import serving
from scripts.load.worker import WorkerProcess
from tests import postgres, redis_server
from tests.baidu_client import Baidu, image, jpeg, pixels

CLIENTS = 4
EACH = 250
SETTINGS = {"deadline_ms": 30_000}


@contextmanager
def two_servers(folder: Path, bus: bool) -> Iterator[tuple[str, str]]:
    with ExitStack() as stack:
        database = stack.enter_context(postgres.running())
        shared: dict[str, object] = SETTINGS | {"database_url": database.migrated_database()}
        if bus:
            redis = stack.enter_context(redis_server.running())
            shared["redis_url"] = redis.url
            worker = WorkerProcess(redis.url, folder / "worker.log", lanes=2).start()
            stack.callback(worker.kill)
        one, other = (stack.enter_context(serving(folder / name, **shared)) for name in ("one", "other"))
        yield one.url, other.url


def small(face: np.ndarray, number: int) -> bytes:
    """The same small face elsewhere in its picture, and brighter or darker: each number is another one."""
    left, top, light = number % 10, number // 10 % 10, number // 100
    cut = face[2 * top : 2 * top + 180, 2 * left : 2 * left + 180].astype(np.int16) + 4 * (light - 5)
    return jpeg(np.clip(cut, 0, 255).astype(np.uint8))


@pytest.mark.serial
@pytest.mark.parametrize("bus", [False, True], ids=["models in each", "workers behind Redis"])
def test_found_by_the_very_next_request(tmp_path: Path, astronaut: bytes, bus: bool) -> None:
    face = pixels(astronaut)[:210, 120:330]
    with two_servers(tmp_path, bus) as urls, ThreadPoolExecutor(CLIENTS) as clients:

        def client(who: int) -> list[int]:
            """The numbers that were not found."""
            ways = [Baidu(url, "app") for url in urls]
            missed = []
            for number in range(who * EACH, who * EACH + EACH):
                here, there = ways[number % 2], ways[1 - number % 2]
                picture, user = image(small(face, number)), f"u{number}"
                assert here("face/add", None, group_id="g", user_id=user, **picture).code == 0
                answer = there("face/identify", None, group_id_list="g", user_id=user, max_user_num=1, **picture)
                found = answer.result["user_list"] if answer.code == 0 else []
                if [each["user_id"] for each in found] != [user]:
                    missed.append(number)
            return missed

        missed = [number for numbers in clients.map(client, range(CLIENTS)) for number in numbers]
    assert missed == [], f"{len(missed)} of {CLIENTS * EACH} were not found"
