"""What a supervisor asks: alive, ready, figures. Answered before everything else, and without waiting for anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Check = Callable[[], bool]


class Probes:
    """/healthz: the process answers. /readyz: a face request could be answered now. /metrics: for Prometheus."""

    def __init__(self, app: ASGIApp, checks: Mapping[str, Check], page: Callable[[], bytes]) -> None:
        self._app = app
        self._checks = checks
        self._page = page
        self._answers = {"/healthz": self._alive, "/readyz": self._ready, "/metrics": self._metrics}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answers.get(scope["path"]) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            await answer()(scope, receive, send)
        else:
            await Response(status_code=405, headers={"Allow": "GET, HEAD"})(scope, receive, send)

    @staticmethod
    def _alive() -> Response:
        return Response(b'{"alive":true}', media_type="application/json")

    def _ready(self) -> Response:
        failing = [name for name, check in self._checks.items() if not check()]
        body = {"ready": not failing, **({"failing": failing} if failing else {})}
        return Response(orjson.dumps(body), 503 if failing else 200, media_type="application/json")

    def _metrics(self) -> Response:
        return Response(self._page(), headers={"Content-Type": CONTENT_TYPE_LATEST})
