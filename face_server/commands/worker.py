"""`face-server worker`: looks at pictures for the servers that share a Redis, until it is told to end."""

from __future__ import annotations

import gc
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr
from redis.exceptions import RedisError

from face_server.commands.said import refuse_to_start
from face_server.errors import FaceError
from face_server.settings import Settings, load_settings

if TYPE_CHECKING:
    from face_server.bus.worker import Worker
    from face_server.ops.of_worker import WorkerFigures

app = typer.Typer(add_completion=False)

Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...: FACE_DEVICE, or auto.", show_default=False)]
Count = Annotated[
    int | None, typer.Option("--lanes", min=1, help="Pictures at once: FACE_LANES, or by device.", show_default=False)
]
Address = Annotated[str | None, typer.Option("--redis", help="redis://...: FACE_REDIS_URL.", show_default=False)]
ModelsDir = Annotated[
    Path | None, typer.Option("--models-dir", help="Where installed packs are: FACE_MODELS_DIR.", show_default=False)
]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        help="/metrics and /healthz are here: FACE_WORKER_METRICS_PORT, or nowhere.",
        show_default=False,
    ),
]


@app.command()
def worker(
    device: Device = None,
    lanes: Count = None,
    redis: Address = None,
    models_dir: ModelsDir = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Look at pictures for the servers that share a Redis."""
    given = {"device": device, "lanes": lanes, "models_dir": models_dir, "worker_metrics_port": metrics_port}
    given["redis_url"] = None if redis is None else SecretStr(redis)  # type: ignore[assignment]
    try:
        settings = load_settings(**{name: value for name, value in given.items() if value is not None})
        if not settings.redis:
            raise ValueError("where is Redis? --redis or FACE_REDIS_URL says it")
        _run(settings)
    except (FaceError, ValueError, OSError, RedisError) as error:
        refuse_to_start(error)


def _run(settings: Settings) -> None:
    from face_server.bus import wire
    from face_server.bus.worker import Worker
    from face_server.engine.session import choose_device
    from face_server.engine.width import usual_width
    from face_server.licence.seat import seat_of
    from face_server.ops import logging, of_worker, serving
    from face_server.vision.opened import Opened
    from face_server.vision.packs import find_pack

    logging.set_up(settings.log_level, settings.log_format)
    serving.keep_memory_small()
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    pack = find_pack(settings.pack, settings.models_dir or settings.data_dir / "models")
    device = choose_device(settings.device)
    max_batch, usual = usual_width(device, settings.max_batch)
    seat = seat_of(settings.licence_url, settings.licence_public_key, settings.licence_grace_minutes)
    permit = seat.permit if seat else None
    figures = of_worker.WorkerFigures(device, pack.name)
    opened = Opened(
        pack, device, max_batch=max_batch, max_pixels=settings.max_picture_pixels, meter=figures, permit=permit
    )
    working = Worker(
        settings.redis,
        wire.digest(pack),
        opened.analyzer,
        opened.info,
        lanes=settings.lanes or usual,
        device=device,
        ready=lambda: opened.ready,
        heard=figures,
    )
    _show(figures, working, device, settings)
    if seat:
        seat.start()
    working.start()
    gc.freeze()  # modules and models stay: no collection has to walk through them
    print(f"ready: {working.id}, pack {pack.name}, {device}, {working.lanes} lanes", flush=True)
    ending.wait()
    working.stop()
    if seat:
        seat.stop()


def _show(figures: WorkerFigures, working: Worker, device: str, settings: Settings) -> None:
    """What it is doing, for whoever looks at it from outside."""
    from face_server.ops import of_worker
    from face_server.ops.card import Card

    figures.gauge("face_lanes", "Lanes there should be", lambda: working.lanes)
    figures.gauge("face_lanes_alive", "Lanes that work", lambda: working.alive)
    figures.gauge("face_worker_busy_lanes", "Lanes that have a picture in their hands", lambda: working.busy)
    if settings.worker_metrics_port:
        figures.now(Card(device).figures)
        of_worker.serve(
            settings.host,
            settings.worker_metrics_port,
            figures.page,
            alive=lambda: working.alive == working.lanes,
            ready=lambda: working.ready,
        )
