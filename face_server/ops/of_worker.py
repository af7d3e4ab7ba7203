"""A worker's own figures, and the small page that it serves them on."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, Info

from face_server.ops.metrics import Figures

_SECONDS_TO_ASK = 5.0

log = logging.getLogger(__name__)


class WorkerFigures(Figures):
    def __init__(self, device: str, pack: str) -> None:
        super().__init__()
        self._jobs = self._counter("face_worker_jobs", "Pictures that were answered", ("result",))
        self._reclaimed = self._counter("face_worker_reclaimed", "Of these: taken over from a worker that had died")
        self._ages = self._histogram("face_worker_queue_age_seconds", "From a server to the lane that begins with it")
        self._stages = self._histogram("face_worker_stage_seconds", "Steps of the work on one picture", ("stage",))
        self._result, self._stage = cache(self._jobs.labels), cache(self._stages.labels)
        Info("face_worker", "What this worker is", registry=self.registry).info({"device": device, "pack": pack})

    def answered(self, result: str, age: float, stages: Mapping[str, float], reclaimed: bool) -> None:
        self._result(result).inc()
        self._ages.observe(max(0.0, age))
        for name, milliseconds in stages.items():
            self._stage(name).observe(milliseconds / 1000)
        if reclaimed:
            self._reclaimed.inc()


def serve(
    host: str, port: int, page: Callable[[], bytes], alive: Callable[[], bool], ready: Callable[[], bool]
) -> ThreadingHTTPServer:
    """/healthz, /readyz and /metrics as a server has them, in threads of their own. Raises OSError."""

    class Asked(BaseHTTPRequestHandler):
        timeout = _SECONDS_TO_ASK

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(200, page(), CONTENT_TYPE_LATEST)
                case "/healthz":
                    self._say("alive", alive())
                case "/readyz":
                    self._say("ready", ready())
                case _:
                    self._answer(404, b"", "text/plain")

        def _say(self, what: str, true: bool) -> None:
            body = f'{{"{what}":{"true" if true else "false"}}}'
            self._answer(200 if true else 503, body.encode(), "application/json")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name is inherited
            log.debug(format, *args)

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            gone = isinstance(sys.exception(), ConnectionError)
            log.log(logging.DEBUG if gone else logging.ERROR, "figures could not be told", exc_info=True)

    server = Server((host, port), Asked)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="figures", daemon=True).start()
    return server
