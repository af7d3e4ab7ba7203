"""Figures that are read when somebody asks: of many galleries, of a card, of what may not answer."""

from __future__ import annotations

import asyncio
import http.server
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from face_server.licence.seat import seats
from face_server.ops import surroundings
from face_server.ops.card import Card
from face_server.ops.gauges import LARGEST, Figure, Now, galleries
from face_server.ops.metrics import TOGETHER, Figures
from face_server.ops.surroundings import Surroundings
from face_server.store.store import Store

# A driver with two cards, of which the second is the one with the name; it does not tell how busy they are.
DRIVER = """
#include <stdio.h>
#include <string.h>
static int cards[2] = {0, 1};
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned n, void **card) { if (n > 1) return 2; *card = cards + n; return 0; }
int nvmlDeviceGetHandleByUUID(const char *name, void **card) {
  if (strcmp(name, "GPU-second")) return 2; *card = cards + 1; return 0; }
int nvmlDeviceGetName(void *card, char *text, unsigned n) { snprintf(text, n, "Card %d", *(int *)card); return 0; }
int nvmlDeviceGetMemoryInfo(void *card, unsigned long long *m) {
  m[0] = 100000000000ULL; m[2] = 7 + *(int *)card; m[1] = m[0] - m[2]; return 0; }
int nvmlDeviceGetUtilizationRates(void *card, unsigned *busy) { busy[0] = 25; return *(int *)card ? 3 : 0; }
"""


@dataclass
class Gallery:
    group_id: int
    memory: int

    def __len__(self) -> int:
        return self.memory // 10


def text(*found: Figure) -> str:
    registry = CollectorRegistry()
    registry.register(Now(lambda: found))
    return generate_latest(registry).decode()


def test_thousands_of_galleries_are_few_figures() -> None:
    found = list(galleries([Gallery(number, 10 * number) for number in range(10_000)]))
    assert len(found) == 3 + 2 * LARGEST
    assert found[0].value == 10_000
    assert found[1].value == 10 * sum(range(10_000))
    largest = [one for one in found if one.name == "face_largest_gallery_faces"]
    assert [one.value for one in largest] == list(range(9_999, 9_999 - LARGEST, -1))
    assert largest[0].labels == {"gallery": "9999"}


def test_figures_of_one_name_stand_together() -> None:
    one, two = (Figure("face_x", "What it is", value, {"which": name}) for name, value in (("a", 1), ("b", 2)))
    page = text(one, Figure("face_y", "Another", 3), two)
    assert page.count("# TYPE face_x gauge") == 1
    assert {'face_x{which="a"} 1.0', 'face_x{which="b"} 2.0', "face_y 3.0"} <= set(page.splitlines())


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(DRIVER)
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", folder / "driver.so", folder / "driver.c"], check=True)
    return str(folder / "driver.so")


@pytest.mark.parametrize(
    ("device", "shown", "name", "used", "busy"),
    [
        ("cuda:0", None, "Card 0", 7, 0.25),
        ("cuda:1", None, "Card 1", 8, None),
        ("cuda:0", "1", "Card 1", 8, None),
        ("cuda:1", "1, 0", "Card 0", 7, 0.25),
        ("cuda:0", "GPU-second", "Card 1", 8, None),
    ],
)
def test_a_card_is_the_one_that_cuda_means(
    monkeypatch: pytest.MonkeyPatch,
    driver: str,
    device: str,
    shown: str | None,
    name: str,
    used: int,
    busy: float | None,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    figures = {one.name: one for one in Card(device, driver).figures()}
    assert figures["face_gpu_memory_bytes"].value == 100_000_000_000
    assert figures["face_gpu_memory_used_bytes"].value == used
    assert figures["face_gpu_memory_used_bytes"].labels == {"device": device, "name": name}
    assert (figures["face_gpu_busy_ratio"].value if "face_gpu_busy_ratio" in figures else None) == busy


def test_no_card_no_figures(monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert Card("cuda:0", "libnothing-of-this-name.so").figures() == ()
    assert Card("cuda:7", driver).figures() == ()
    assert Card("cpu", driver).figures() == ()


async def test_what_hangs_or_fails_is_absent_and_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "FIRST", 0.05)
    monkeypatch.setattr(surroundings, "EVERY", 0.01)
    there = Figure("face_there", "There", 1)
    answers = [True]

    async def hangs() -> Sequence[Figure]:
        await asyncio.Event().wait()
        return ()

    async def sometimes() -> Sequence[Figure]:
        if not answers[0]:
            raise OSError("gone")
        return (there,)

    async def becomes(found: list[Figure]) -> None:
        async with asyncio.timeout(30):
            while around.figures != found:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.005)

    around = Surroundings([hangs, sometimes])
    async with around.watched():
        assert around.figures == [there]
        answers[0] = False
        await becomes([])
        answers[0] = True
        await becomes([there])


async def test_a_database_grows(place: Path | str) -> None:
    store = Store(place / "faces.db" if isinstance(place, Path) else place)
    await store.open()
    try:
        empty = await store.size()
        assert empty > 0
        await store.add_group("default", "staff", {"about": "x" * 300_000})
        assert await store.size() > empty
    finally:
        await store.close()


async def test_seats_of_a_licence() -> None:
    class Service(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"seats": 4, "taken": 3, "ends": null}')

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    found = await surroundings.licence(lambda: seats(url))()
    assert {one.name: one.value for one in found} == {
        "face_licence_up": 1,
        "face_licence_seats": 4,
        "face_licence_seats_taken": 3,
    }
    server.shutdown()
    server.server_close()
    (down,) = await surroundings.licence(lambda: seats(url))()
    assert (down.name, down.value) == ("face_licence_up", 0)


@pytest.mark.parametrize("times", [1, TOGETHER - 1, 3 * TOGETHER + 1])
def test_every_observation_is_counted_when_somebody_asks(times: int) -> None:
    figures = Figures()

    def observe() -> None:
        for _ in range(times):
            figures.executed("embed", 2, 0.0, 0.5)

    lanes = [threading.Thread(target=observe) for _ in range(2)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    for figure, each in (("batch_size", 2.0), ("queue_seconds", 0.0), ("execution_seconds", 0.5)):
        asked = figures.registry.get_sample_value
        assert asked(f"face_model_{figure}_count", {"model": "embed"}) == 2 * times
        assert asked(f"face_model_{figure}_sum", {"model": "embed"}) == 2 * times * each
