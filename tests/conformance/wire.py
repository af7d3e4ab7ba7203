"""Looks at every answer that passes through the HTTP clients of the tests: httpx and urllib. It changes nothing."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.response import addinfourl

import httpx

from tests.conformance.ledger import Ledger


@contextmanager
def watching(ledger: Ledger) -> Iterator[None]:
    blocking, waiting = httpx.Client.send, httpx.AsyncClient.send

    def seen(request: httpx.Request, sent: bytes, answer: httpx.Response) -> None:
        if answer.is_stream_consumed:
            ledger.saw(request.method, request.url.path, request.url.query + sent, answer.status_code, answer.content)

    def send(client: httpx.Client, request: httpx.Request, **how: Any) -> httpx.Response:
        sent = request.read()
        answer = blocking(client, request, **how)
        seen(request, sent, answer)
        return answer

    async def send_async(client: httpx.AsyncClient, request: httpx.Request, **how: Any) -> httpx.Response:
        sent = await request.aread()
        answer = await waiting(client, request, **how)
        seen(request, sent, answer)
        return answer

    setattr(httpx.Client, "send", send)  # noqa: B010
    setattr(httpx.AsyncClient, "send", send_async)  # noqa: B010
    urllib.request.install_opener(urllib.request.build_opener(_Passing(ledger)))
    try:
        yield
    finally:
        httpx.Client.send, httpx.AsyncClient.send = blocking, waiting  # type: ignore[method-assign]
        urllib.request.install_opener(cast(Any, None))


class _Passing(urllib.request.BaseHandler):
    handler_order = 900  # before an error status raises

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def http_response(self, request: urllib.request.Request, answer: Any) -> Any:
        if "json" not in answer.headers.get("Content-Type", ""):
            return answer  # a download: whoever asked reads it as it comes
        path, _, query = request.selector.partition("?")
        content = answer.read()
        sent = request.data if isinstance(request.data, bytes) else b""
        self._ledger.saw(request.get_method(), path, query.encode() + sent, answer.status, content)
        again = addinfourl(io.BytesIO(content), answer.headers, request.full_url, answer.status)
        again.msg = answer.msg  # type: ignore[attr-defined]  # the error handler asks for it
        return again
