"""The load generator against a server whose answers are known."""

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest

from scripts.load import client, dialects, report
from scripts.qps import sweep

TARGET = dialects.Target("app", "group")


class Counting:
    """Answers every second request with an error, after a fixed delay."""

    def __init__(self, delay: float) -> None:
        self.delay, self.port = delay, 0
        self.seen: list[tuple[str, bytes]] = []
        self.loop = asyncio.new_event_loop()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return
            told = client._LENGTH.search(head)
            assert told is not None
            length = int(told.group(1))
            body = await reader.readexactly(length)
            self.seen.append((head.split(b" ", 2)[1].decode(), body))
            code = 0 if len(self.seen) % 2 else 222910
            await asyncio.sleep(self.delay)
            answer = json.dumps({"error_code": code}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))

    def run(self, started: threading.Event) -> None:
        async def main() -> None:
            server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            await server.serve_forever()

        asyncio.set_event_loop(self.loop)
        self.loop.create_task(main())
        self.loop.run_forever()


@pytest.fixture
def server() -> Iterator[Counting]:
    counting, started = Counting(0.01), threading.Event()
    thread = threading.Thread(target=counting.run, args=(started,), daemon=True)
    thread.start()
    assert started.wait(5)
    yield counting
    counting.loop.call_soon_threadsafe(counting.loop.stop)
    thread.join(5)


def test_counts_good_answers_and_errors_apart(server: Counting) -> None:
    (row,) = sweep(f"http://127.0.0.1:{server.port}", "baidu", "detect", TARGET, [b"a", b"b"], [(2, None)], 1, 0.2)
    assert row.errors.keys() == {"222910"}
    assert row.errors["222910"] == pytest.approx(row.qps, rel=0.2)
    assert 10 <= row.p50 < 40
    assert {path for path, _ in server.seen} == {"/face-api/v3/face/detect?appid=app"}
    assert {json.loads(body)["image"] for _, body in server.seen} == {"YQ==", "Yg=="}


def test_keeps_a_fixed_rate(server: Counting) -> None:
    (row,) = sweep(f"http://127.0.0.1:{server.port}", "baidu", "identify", TARGET, [b"a"], [(8, 40.0)], 1.5, 0.2)
    assert row.qps + sum(row.errors.values()) / 1.5 == pytest.approx(40, rel=0.25)


@pytest.mark.parametrize("dialect", dialects.DIALECTS)
@pytest.mark.parametrize("interface", ["detect", "match", "identify"])
def test_every_dialect_makes_a_request(dialect: str, interface: str) -> None:
    (call,) = dialects.calls(dialects.DIALECTS[dialect], interface, TARGET, [b"\xff\xd8picture"])
    request = dialects.render(call, "host:1")
    head, body = request.split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /")
    assert f"Content-Length: {len(body)}".encode() in head


def test_picture_of_a_sweep_is_well_formed() -> None:
    import xml.etree.ElementTree as ElementTree

    rows = [report.Row(n, None, n * 10.0, 5.0, 6.0, 9.0, {}) for n in (1, 4, 16)]
    root = ElementTree.fromstring(report.svg(rows, "a < b"))
    assert len(root.findall("{*}polyline")) == 3
