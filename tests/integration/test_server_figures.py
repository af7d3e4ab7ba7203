"""Every number of the console's Server page is one that /metrics has, and says the same there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console as Screen

from face_server.commands.top import page
from scripts.load.server import ServerProcess, serving
from scripts.load.worker import WorkerProcess
from tests.admin_client import Console, furnish
from tests.redis_server import running

Samples = Mapping[str, list[tuple[dict[str, str], float]]]

TIMES = ("count", "mean", "p50", "p95", "p99")
COUNTED = {
    "requests[].count": "face_requests_total",
    "refused[].count": "face_work_refused_total",
    "gone[].count": "face_requests_gone_total",
    **{f"latency[].{one}": "face_request_seconds_bucket" for one in TIMES},
    **{f"stages[].{one}": "face_stage_seconds_bucket" for one in TIMES},
    **{f"queue_wait.{one}": "face_queue_wait_seconds_bucket" for one in TIMES},
    "batches[].executions": "face_model_batch_size_count",
    "batches[].rows": "face_model_batch_size_sum",
    "batches[].mean": "face_model_batch_size_sum",
    "batches[].sizes[].most": "face_model_batch_size_bucket",
    "batches[].sizes[].count": "face_model_batch_size_bucket",
    "galleries[].id": "face_largest_gallery_bytes",  # its label
    "galleries[].faces": "face_largest_gallery_faces",
    "galleries[].bytes": "face_largest_gallery_bytes",
}
STANDING = {  # the same number on both sides, but for what passes between two looks
    "ready": "face_ready",
    "lanes.count": "face_lanes",
    "lanes.alive": "face_lanes_alive",
    "lanes.queue": "face_queue_length",
    "lanes.restarts": "face_lane_restarts_total",
    "all_galleries.count": "face_galleries",
    "all_galleries.faces": "face_gallery_faces",
    "all_galleries.bytes": "face_gallery_bytes",
    "all_galleries.evictions": "face_gallery_evictions",
    "disk.total_bytes": "face_disk_bytes",
    "database.up": "face_database_up",
}
MOVING = {
    "uptime": "process_start_time_seconds",
    "memory.resident_bytes": "process_resident_memory_bytes",
    "disk.free_bytes": "face_disk_free_bytes",
    "disk.database_bytes": "face_database_bytes",
}
OF_WORKERS = {
    "workers.redis": "face_redis_up",
    "workers.count": "face_workers",
    "workers.lanes": "face_worker_lanes",
    "workers.waiting": "face_bus_waiting",
    "workers.away": "face_bus_away",
}
LATER = {"lanes.restarts", "refused[].count", "gone[].count"}  # there is none before the first
BY_WORKERS = re.compile(r"batches|queue_wait\.(mean|p)")  # they run the models and have the queue


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("alone")
    furnish(folder, accounts=False)
    with serving(folder) as server:
        yield server


@pytest.fixture(scope="module")
def with_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("with_worker")
    furnish(folder, accounts=False)
    with running() as redis:
        worker = WorkerProcess(redis.url, folder / "worker.log").start()
        try:
            with serving(folder, redis_url=redis.url) as server:
                yield server
        finally:
            worker.kill()


def used(server: ServerProcess, picture: bytes) -> Console:
    """Somebody searched, somebody was refused."""
    console = Console(server.url)
    console.ask("POST", "/search?app=default&group=crowd", content=picture)
    httpx.post(f"{server.url}/face-api/v3/face/detect?appid=default", json={"image": "", "image_type": "x"})
    return console


def numbers(found: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf that is a number, by its place."""
    if isinstance(found, dict):
        for name, one in found.items():
            yield from numbers(one, f"{path}.{name}" if path else name)
    elif isinstance(found, list):
        for one in found:
            yield from numbers(one, f"{path}[]")
    elif isinstance(found, (int, float)):
        yield path, found


def samples(server: ServerProcess) -> Samples:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def check(server: ServerProcess, console: Console, table: Mapping[str, str], same: Mapping[str, str]) -> Any:
    answer = console.ask("GET", "/server")
    metrics = samples(server)
    shown = {path for path, _ in numbers(answer)}
    assert shown <= table.keys(), "a number of the page that no metric is known for"
    assert {path for path in shown if path not in LATER and table[path] not in metrics} == set()
    leaves = dict(numbers(answer))
    assert {path: leaves[path] for path in same} == {
        path: sum(value for _, value in metrics.get(name, ())) for path, name in same.items()
    }
    began = metrics["process_start_time_seconds"][0][1]
    assert abs(time.time() - began - answer["uptime"]) < 60
    return answer


def test_every_number_of_a_plain_server(alone: ServerProcess, astronaut: bytes) -> None:
    table = COUNTED | STANDING | MOVING
    answer = check(alone, used(alone, astronaut), table, STANDING)
    shown = {path for path, _ in numbers(answer)}
    assert table.keys() - shown <= {"refused[].count", "gone[].count"}
    assert (answer["workers"], answer["licence"], answer["gpus"]) == (None, None, [])
    assert answer["database"]["kind"] == "sqlite"
    assert 0 < answer["disk"]["free_bytes"] <= answer["disk"]["total_bytes"]


def test_every_number_with_redis_and_a_worker(with_worker: ServerProcess, astronaut: bytes) -> None:
    table = COUNTED | STANDING | MOVING | OF_WORKERS
    answer = check(with_worker, used(with_worker, astronaut), table, STANDING | OF_WORKERS)
    missing = table.keys() - {path for path, _ in numbers(answer)} - {"refused[].count", "gone[].count"}
    assert {path for path in missing if not BY_WORKERS.match(path)} == set()
    assert answer["workers"] == {"redis": True, "count": 1, "lanes": 1, "waiting": 0, "away": 0}
    seats = {"up": True, "seats": 4, "taken": 3}
    screen = Screen(record=True, width=100, file=StringIO())
    screen.print(page(with_worker.url, answer | {"licence": seats}, [], {}))
    shown = screen.export_text()
    assert "workers 1 with 1 lanes; 0 pictures wait, 0 are with workers; Redis answers" in shown
    assert "licence seats: 3 of 4 taken" in shown


def test_a_gallery_has_the_same_number_on_both_sides(alone: ServerProcess, astronaut: bytes) -> None:
    """/metrics is open to whoever reaches the port: it names no app and no group."""
    (gallery,) = used(alone, astronaut).ask("GET", "/server")["galleries"]
    metrics = samples(alone)
    assert metrics["face_largest_gallery_faces"] == [({"gallery": str(gallery["id"])}, gallery["faces"])]
    assert metrics["face_largest_gallery_bytes"] == [({"gallery": str(gallery["id"])}, gallery["bytes"])]
    assert gallery["group"] == "crowd"
    assert "crowd" not in httpx.get(f"{alone.url}/metrics").text
