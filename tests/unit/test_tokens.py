"""The cache of face tokens: there at once, there after a restart, bounded, gone in time."""

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from face_server.store.tokens import TokenCache
from tests.small_library import full_disk, token, until

APP = "app"


@contextmanager
def cache(folder: Path, minutes: float = 60, megabytes: int = 64) -> Iterator[TokenCache]:
    tokens = TokenCache(folder, minutes, megabytes)
    tokens.open()
    try:
        yield tokens
    finally:
        tokens.close()


@pytest.fixture
async def tokens(tmp_path: Path) -> AsyncIterator[TokenCache]:
    with cache(tmp_path) as opened:
        yield opened


def picture(number: int, size: int = 20_000) -> bytes:
    return number.to_bytes(4, "little") * (size // 4)


async def written(tokens: TokenCache) -> None:
    await until(lambda: not tokens._waiting)


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def test_known_the_moment_it_is_put_and_after_it_is_written(tokens: TokenCache) -> None:
    for number in range(100):
        tokens.put(APP, picture(number), [(token(number), b"one"), (token(1000 + number), b"two")])
        assert await tokens.get(APP, token(number)) == (picture(number), b"one")
    await written(tokens)
    for number in range(100):
        assert await tokens.get(APP, token(1000 + number)) == (picture(number), b"two")


async def test_apps_do_not_share_tokens(tokens: TokenCache) -> None:
    tokens.put(APP, picture(1), [(token(1), b"mine")])
    tokens.put("other", picture(1), [(token(1), b"theirs")])
    for _ in range(2):
        assert await tokens.get(APP, token(1)) == (picture(1), b"mine")
        assert await tokens.get("other", token(1)) == (picture(1), b"theirs")
        assert await tokens.get("third", token(1)) is None
        await written(tokens)


async def test_newer_record_of_a_token_wins(tokens: TokenCache) -> None:
    for record in (b"first", b"second"):
        tokens.put(APP, picture(1), [(token(1), record)])
    assert await tokens.get(APP, token(1)) == (picture(1), b"second")
    await written(tokens)
    assert await tokens.get(APP, token(1)) == (picture(1), b"second")


async def test_same_picture_is_stored_once(tokens: TokenCache, tmp_path: Path) -> None:
    for number in range(50):
        tokens.put(APP, picture(1, 400_000), [(token(number), b"record")])
    await written(tokens)
    assert on_disk(tmp_path) < 1_000_000
    assert await tokens.get(APP, token(0)) == await tokens.get(APP, token(49)) == (picture(1, 400_000), b"record")


async def test_survives_a_restart(tmp_path: Path) -> None:
    with cache(tmp_path) as first:
        for number in range(20):
            first.put(APP, picture(number), [(token(number), b"record")])
    with cache(tmp_path) as second:
        second.put(APP, picture(99), [(token(99), b"record")])
        for number in (*range(20), 99):
            assert await second.get(APP, token(number)) == (picture(number), b"record")


WRITER = """
import sys, time; from pathlib import Path; from face_server.store.tokens import TokenCache
tokens = TokenCache(Path(sys.argv[1]), 60, 64); tokens.open()
for number in range(200):
    tokens.put("app", number.to_bytes(4, "little") * 5000, [(f"{number:032x}", b"record")])
while tokens._waiting: time.sleep(0.01)
print("written", flush=True)
while True: tokens.put("app", bytes(100_000), [(f"{time.time_ns():032x}", b"record")]); time.sleep(0.001)
"""


def write_and_be_killed(folder: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.kill()


async def test_survives_kill_9(tmp_path: Path) -> None:
    await asyncio.to_thread(write_and_be_killed, tmp_path)
    with cache(tmp_path) as tokens:
        for number in range(200):
            assert await tokens.get(APP, token(number)) == (picture(number), b"record")


async def test_expires_even_when_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TokenCache, "chores_every", 0.1)
    with cache(tmp_path, minutes=0.6 / 60) as tokens:
        tokens.put(APP, picture(1, 500_000), [(token(1), b"record")])
        await written(tokens)
        assert await tokens.get(APP, token(1)) is not None
        await asyncio.sleep(0.7)
        assert await tokens.get(APP, token(1)) is None
        await until(lambda: on_disk(tmp_path) < 200_000)  # the picture itself is gone too


async def test_stays_within_its_bound_and_keeps_the_newest(tmp_path: Path) -> None:
    with cache(tmp_path, megabytes=4) as tokens:
        largest = 0
        for number in range(1000):
            tokens.put(APP, picture(number), [(token(number), b"record")])
            if number % 100 == 99:
                await written(tokens)
                largest = max(largest, on_disk(tmp_path / "tokens"))
        newest = [await tokens.get(APP, token(number)) for number in range(900, 1000)]
        oldest = [await tokens.get(APP, token(number)) for number in range(100)]
    assert newest == [(picture(number), b"record") for number in range(900, 1000)]
    assert oldest == [None] * 100
    assert largest < 6 << 20


@pytest.mark.parametrize("name", ["index.db", "1.segment"])
async def test_damaged_cache_is_an_empty_one(tmp_path: Path, name: str) -> None:
    with cache(tmp_path) as tokens:
        for number in range(30):
            tokens.put(APP, picture(number), [(token(number), b"record")])
    path = tmp_path / "tokens" / name
    path.write_bytes(os.urandom(path.stat().st_size))
    with cache(tmp_path) as tokens:
        assert await tokens.get(APP, token(3)) is None
        tokens.put(APP, picture(3), [(token(3), b"record")])
        await written(tokens)
        assert await tokens.get(APP, token(3)) == (picture(3), b"record")


async def test_full_disk_costs_a_token_but_never_an_answer(tokens: TokenCache, tmp_path: Path) -> None:
    tokens.put(APP, picture(1), [(token(1), b"record")])
    await written(tokens)
    with full_disk((tmp_path / "tokens" / "1.segment").stat().st_size + 100):
        tokens.put(APP, picture(2), [(token(2), b"record")])
        await written(tokens)
    assert await tokens.get(APP, token(2)) is None
    tokens.put(APP, picture(3), [(token(3), b"record")])
    await written(tokens)
    for number in (1, 3):
        assert await tokens.get(APP, token(number)) == (picture(number), b"record")


@pytest.mark.serial
async def test_costs_little_time_and_no_memory(tokens: TokenCache) -> None:
    async def put(numbers: range) -> None:
        for number in numbers:
            data = os.urandom(16) + body
            begun = time.perf_counter()
            tokens.put(APP, data, [(token(number), bytes(400))])
            waits.append(time.perf_counter() - begun)
            if number % 50 == 0:
                await written(tokens)
        await written(tokens)

    def used() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    waits: list[float] = []
    body = os.urandom(100_000)
    await put(range(1000))
    before, begun = used(), time.process_time()
    waits.clear()
    await put(range(1000, 3000))
    assert time.process_time() - begun < 2000 * 0.0005  # measured: 0.2 ms
    assert sorted(waits)[1900] < 0.001, "putting never waits for the disk"
    body = os.urandom(1000)
    await put(range(3000, 23_000))
    assert used() - before < 4 << 20


def test_index_on_disk_is_not_readable_by_others(tmp_path: Path) -> None:
    with cache(tmp_path) as tokens:
        tokens.put(APP, picture(1), [(token(1), b"record")])
    assert (tmp_path / "tokens" / "1.segment").stat().st_mode & 0o077 == 0
    with sqlite3.connect(tmp_path / "tokens" / "index.db") as connection:
        assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (1,)


async def test_what_cannot_be_written_does_not_end_the_writing(tmp_path: Path) -> None:
    with cache(tmp_path) as tokens:
        tokens.put("no text \ud800", picture(1), [("one", b"record")])
        await written(tokens)
        tokens.put(APP, picture(2), [("two", b"record")])
    with cache(tmp_path) as again:
        assert await again.get(APP, "two") == (picture(2), b"record")
