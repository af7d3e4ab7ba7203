"""Two servers on one Postgres, at the wire."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import httpx
import pytest

from scripts.load.server import ServerProcess, serving
from tests.baidu_client import Baidu, Body, image, variant
from tests.postgres import running

BUSY = 222906  # the contract's code for a database that is busy or failing
FACES = 20


def ready(server: ServerProcess) -> int:
    return httpx.get(f"{server.url}/readyz").status_code


@pytest.mark.serial
def test_two_servers_are_one_and_outlive_their_database(tmp_path: Path, astronaut: bytes) -> None:
    with running() as postgres:
        settings = {"database_url": postgres.new_database(), "deadline_ms": 30_000}
        with serving(tmp_path / "near", **settings) as near, serving(tmp_path / "far", **settings) as far:
            here, there = Baidu(near.url, "app"), Baidu(far.url, "app")
            pictures = [image(variant(astronaut, number)) for number in range(FACES)]
            # A face added through one is found through the other by the very next request.
            for number, picture in enumerate(pictures):
                here("face/add", None, group_id="g", user_id=f"u{number}", **picture).result  # noqa: B018
                found = there("face/identify", group_id_list="g", max_user_num=1, **picture).result["user_list"]
                assert found[0]["user_id"] == f"u{number}"

            # Killed under load: nothing but busy while it is away, and what was acknowledged is there afterwards.
            acknowledged, refused = set(), set()
            numbers, enough = count(), {"over": False}

            def client(baidu: Baidu) -> None:
                while not enough["over"]:
                    number = next(numbers)
                    group = f"h{number}"  # one picture is one face of a group
                    answer = baidu("face/add", group_id=group, user_id="u", **pictures[number % FACES])
                    if answer.code:
                        refused.add(answer.code)
                    else:
                        acknowledged.add(group)

            def wait_for(goal: int, done: set[str]) -> None:
                while len(done) < goal:
                    time.sleep(0.02)

            with ThreadPoolExecutor(4) as clients:
                work = [clients.submit(client, Baidu(server.url, "app")) for server in (near, far, near, far)]
                wait_for(20, acknowledged)
                postgres.kill()
                while not refused or ready(near) != 503 or ready(far) != 503:
                    time.sleep(0.05)
                postgres.start()
                wait_for(len(acknowledged) + 20, acknowledged)
                enough["over"] = True
                for each in work:
                    each.result()
            assert refused == {BUSY}
            assert (ready(near), ready(far)) == (200, 200)
            listed: Body = {"length": 1000}
            groups = set(there("group/list", listed).result["group_id_list"])
            assert acknowledged <= groups
            for group in sorted(acknowledged)[-20:]:
                picture = pictures[int(group[1:]) % FACES]
                assert there("face/identify", group_id_list=group, **picture).result["user_list"][0]["score"] > 99
        logs = near.log.read_text() + far.log.read_text()
        assert "the database answers again" in logs
        assert "secret-word" not in logs
        assert "Traceback" not in logs
