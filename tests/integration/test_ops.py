"""Around the requests: ids, deadlines, clients that go, probes, figures, logs, documentation."""

import asyncio
import io
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import numpy as np
import pytest
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message

from face_server.engine.lanes import Lanes
from face_server.errors import Busy, Cancelled
from face_server.ops import docs
from face_server.ops import logging as ops_logging
from face_server.ops.context import Ending, LogIds, RequestScope, _Client
from face_server.ops.health import Probes
from face_server.ops.metrics import Metrics
from face_server.ops.serving import HEADER_BYTES, Protocol, is_public
from face_server.request import RequestContext, checkpoint, current, stage

Endings = list[Ending]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for knows nothing of events
            await asyncio.sleep(0.01)


@asynccontextmanager
async def served(app: object, **options: object) -> AsyncIterator[int]:
    """The app behind a real HTTP server. Gives its port."""
    config = uvicorn.Config(app, port=0, http=Protocol, log_config=None, lifespan="off", **options)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


def scoped(handler: Callable[[Request], object], endings: Endings, deadline: float = 5.0) -> RequestScope:
    app = Starlette(routes=[Route("/", handler, methods=["POST"])])
    return RequestScope(app, deadline, endings.append, admit)


async def admit() -> None:
    """Everybody."""


async def send(port: int, *parts: bytes, pause: float = 0.0) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)
    return reader, writer


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"


def test_log_ids_have_13_digits_and_never_repeat() -> None:
    ids = LogIds()
    many = [ids.next() for _ in range(20_000)]
    assert many == sorted(set(many))
    assert {len(str(number)) for number in many} == {13}


@pytest.mark.parametrize("size", [4, 1_000_000])
async def test_a_client_that_goes_is_noticed_and_its_work_stops(size: int) -> None:
    lanes = Lanes(1, queue_bytes=2**20)
    lanes.start()
    endings: Endings = []
    steps = []

    def work() -> None:
        for _ in range(200):
            checkpoint()
            steps.append(time.monotonic())
            time.sleep(0.01)

    async def handler(request: Request) -> Response:
        await request.body()
        try:
            await lanes.submit(work)
        except Cancelled:
            return Response(status_code=499)
        return Response()

    async with served(scoped(handler, endings)) as port:
        _, writer = await send(port, HEAD.replace(b"4", b"%d" % size) + b"x" * size, pause=0.1)
        writer.close()
        gone = time.monotonic()
        await until(lambda: bool(endings))
    lanes.close()
    assert endings[0].request.cancelled
    assert steps[-1] - gone < 0.2


async def test_a_client_that_goes_while_it_sends_its_body_is_noticed() -> None:
    endings: Endings = []

    async def handler(request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        return Response()

    async with served(scoped(handler, endings)) as port:
        _, writer = await send(port, HEAD + b"bo", pause=0.05)
        writer.close()
        await asyncio.sleep(0.2)
    assert endings[0].request.cancelled


async def test_who_has_his_answer_has_not_left_early() -> None:
    endings: Endings = []

    async def handler(request: Request) -> Response:
        await request.body()

        async def slowly() -> AsyncIterator[bytes]:
            yield b"an"
            yield b"swer"

        return StreamingResponse(slowly(), background=BackgroundTask(asyncio.sleep, 0.1))

    async with served(scoped(handler, endings)) as port, httpx.AsyncClient() as client:
        assert (await client.post(f"http://127.0.0.1:{port}/", content=b"x")).text == "answer"
        await until(lambda: bool(endings))
    assert not endings[0].request.cancelled


async def test_the_deadline_counts_from_the_end_of_the_body() -> None:
    left: list[float] = []

    async def handler(request: Request) -> Response:
        await request.body()
        context = current.get()
        assert context
        left.append(context.deadline - time.monotonic())
        return Response()

    async with served(scoped(handler, [], deadline=0.5)) as port:
        reader, writer = await send(port, HEAD, b"bo", b"dy", pause=0.4)
        assert b"200 OK" in await reader.readline()
        writer.close()
    assert 0.4 < left[0] <= 0.5


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("face_server.ops.context.UPLOAD_SECONDS", 0.2)
    endings: Endings = []

    async def handler(request: Request) -> Response:
        return Response((await request.receive())["type"] + (await request.receive())["type"])

    async with served(scoped(handler, endings)) as port:
        begun = time.monotonic()
        _, writer = await send(port, HEAD + b"bo")
        await until(lambda: bool(endings))
        assert 0.15 < time.monotonic() - begun < 1
        writer.close()
    assert endings[0].request.cancelled


@pytest.mark.parametrize(("patient", "got"), [(False, "http.disconnect"), (True, "http.request")])
async def test_an_archive_may_take_its_time_while_it_comes(
    monkeypatch: pytest.MonkeyPatch, patient: bool, got: str
) -> None:
    request = RequestContext(1, time.monotonic() + 5, patient=patient)

    async def slow() -> Message:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    monkeypatch.setattr("face_server.ops.context.UPLOAD_SECONDS", 0.0)
    client = _Client(request, slow, 5.0)
    monkeypatch.undo()
    assert (await client.receive())["type"] == got
    assert request.cancelled is not patient


async def test_a_body_passes_through_in_pieces_and_is_never_kept() -> None:
    pieces: list[int] = []

    async def handler(request: Request) -> Response:
        pieces.extend([len(chunk) async for chunk in request.stream()])
        return JSONResponse(sum(pieces))

    async with served(scoped(handler, [])) as port, httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{port}/", content=b"x" * 5_000_000)
    assert answer.json() == 5_000_000
    assert max(pieces) < 2_000_000


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * (HEADER_BYTES + 10) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: %s\r\n" % (n, b"v" * 1000) for n in range(80)) + b"\r\n",
    ],
)
async def test_a_head_without_end_is_refused(head: bytes) -> None:
    async with served(Starlette()) as port:
        reader, writer = await send(port, head)
        assert b"400" in await reader.readline()
        writer.close()


# Probes and figures


def metrics_with_requests() -> Metrics:
    metrics = Metrics()
    for code, cancelled in (("0", False), ("0", False), ("222202", False), ("", True)):
        context = RequestContext(1, 0.0, cancelled, dialect="baidu", interface="detect", code=code)
        context.stages["decode"] = 20.0
        metrics.ended(Ending(context, "/", 200, 0.03))
    metrics.ended(Ending(RequestContext(1, 0.0), "/docs", 200, 0.1))
    metrics.queued(0.2)
    metrics.refused("queue")
    metrics.executed("embed", 8, 0.01, 0.02)
    metrics.restarted("lane")
    metrics.gauge("face_queue_length", "now", lambda: 3)
    return metrics


@pytest.mark.parametrize(
    "line",
    [
        'face_requests_total{code="0",dialect="baidu",interface="detect"} 2.0',
        'face_requests_total{code="222202",dialect="baidu",interface="detect"} 1.0',
        'face_requests_gone_total{dialect="baidu",interface="detect"} 1.0',
        'face_request_seconds_count{dialect="baidu",interface="detect"} 3.0',
        'face_stage_seconds_sum{stage="decode"} 0.08',
        "face_queue_wait_seconds_count 1.0",
        'face_work_refused_total{reason="queue"} 1.0',
        'face_model_batch_size_sum{model="embed"} 8.0',
        'face_model_execution_seconds_count{model="embed"} 1.0',
        'face_lane_restarts_total{lane="lane"} 1.0',
        "face_queue_length 3.0",
    ],
)
def test_figures(line: str) -> None:
    assert line in metrics_with_requests().page().decode().splitlines()


def test_process_memory_is_among_the_figures() -> None:
    assert re.search(r"^process_resident_memory_bytes \d", Metrics().page().decode(), re.M)


async def test_probes() -> None:
    well = {"lanes": True, "store": True}
    app = Probes(Starlette(), {name: partial(well.__getitem__, name) for name in well}, lambda: b"figures")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).json() == {"ready": True}
        well["store"] = False
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ready": False, "failing": ["store"]})
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/metrics")).text == "figures"
        assert (await client.head("/healthz")).status_code == 200
        assert (await client.post("/healthz")).status_code == 405
        assert (await client.get("/other")).status_code == 404


# Logs


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[io.BytesIO]:
    before = logging.root.handlers, logging.root.level
    out = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(out, write_through=True))
    ops_logging.set_up("info", request.param)
    yield out
    logging.root.handlers, logging.root.level = before
    structlog.reset_defaults()


@pytest.mark.usefixtures("lines")
@pytest.mark.parametrize("lines", ["json"], indirect=True)
def test_one_line_of_json_for_a_request(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    context = RequestContext(1763717000123, time.monotonic() + 1, dialect="baidu", interface="match", code="223120")
    context.stages["detect"] = 12.345
    ops_logging.RequestLog().ended(Ending(context, "/", 200, 0.0312))
    said = json.loads(capsysbinary.readouterr().err)
    said.pop("timestamp")
    assert said == {
        "event": "request",
        "level": "info",
        "log_id": 1763717000123,
        "dialect": "baidu",
        "interface": "match",
        "code": "223120",
        "ms": 31.2,
        "stages": {"detect": 12.3},
    }


@pytest.mark.parametrize("lines", ["json", "text"], indirect=True)
def test_no_picture_and_no_template_reaches_a_log(lines: io.BytesIO) -> None:
    picture, template = b"\xff\xd8secret" * 200, np.full(128, 0.123456789, np.float32)
    structlog.get_logger("x").info("event", picture=picture, template=template, text="c2VjcmV0" * 200)
    logging.getLogger("library").warning("body %s", "c2VjcmV0" * 200)
    try:
        local_picture = picture
        raise ValueError("bad " + "c2VjcmV0" * 200 + str(len(local_picture)))
    except ValueError:
        logging.getLogger("library").exception("failed")
    text = lines.getvalue().decode()
    assert "secret" not in text
    assert "0.1234" not in text
    assert "c2VjcmV0" * 70 not in text
    assert "Traceback" in text


# Documentation


async def test_documentation_comes_from_the_package_alone() -> None:
    app = Starlette(routes=docs.routes)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        page = await client.get("/docs")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert {"docs/docs.js", "docs/docs.css", "openapi.json"} == set(parts)
        for name in ("docs.js", "docs.css"):
            answer = await client.get(f"/docs/{name}")
            assert answer.status_code == 200
            assert "://" not in answer.text
        for name in ("docs.html", "..%2fdocs.py", "docs.py"):
            assert (await client.get(f"/docs/{name}")).status_code == 404
    assert "<script>" not in page.text
    assert "style=" not in page.text


@pytest.mark.parametrize(
    ("host", "public"),
    [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True), ("10.0.0.7", True)],
)
def test_public_addresses(host: str, public: bool) -> None:
    assert is_public(host) is public


def test_a_late_answer_is_busy() -> None:
    token = current.set(RequestContext(1, time.monotonic() - 1))
    with pytest.raises(Busy), stage("detect"):
        pytest.fail("ran")
    current.reset(token)


async def test_the_head_of_an_answer_and_its_body_leave_together() -> None:
    async def handler(request: Request) -> Response:
        return Response(b"well" * 100)

    async with served(scoped(handler, [])) as port:
        for ending in (b"", b"Connection: close\r\n"):
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + ending + b"\r\n"
            reader, writer = await send(port, head)
            assert (await reader.read(1 << 16)).endswith(b"\r\n\r\n" + b"well" * 100)
            writer.close()
