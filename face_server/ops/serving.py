"""The HTTP server around the app: its socket, its limits, its start and its end."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from face_server.ops.context import GONE

DRAIN_SECONDS = 10  # for requests in flight at the end; what still waits then is refused
LAST_SECONDS = 3  # for those refusals to leave
KEEP_ALIVE_SECONDS = 75
HEADER_BYTES = 64 << 10  # of one request, its address included
BACKLOG = 2048
ARENAS = 2
JOINED_BYTES = 64 << 10  # from so many on what was written does not wait: flow control has to see it

log = logging.getLogger(__name__)


class CannotListen(Exception):
    """The address is not there, or taken."""


def listen(host: str, port: int) -> socket.socket:
    """Take the port before anything slow is loaded, so that a mistake is told at once."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        taken = socket.socket(kind, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return taken


def is_public(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def keep_memory_small() -> None:
    """glibc gives threads heaps of their own, each of which keeps what its largest picture once needed."""
    if sys.platform == "linux":
        m_arena_max = -8
        ctypes.CDLL(None).mallopt(m_arena_max, ARENAS)


def give_memory_back() -> None:
    """Free memory between the pieces in use goes back to the system only when somebody asks for it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def run(app: ASGIApp, listener: socket.socket, *, ready: Callable[[], None], draining: Callable[[], None]) -> int:
    """Serve until a signal comes, then end in order. Returns the exit status of the process."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS + LAST_SECONDS,
    )
    # uvicorn raises the signal again when it is done: then this ends the process as one that went well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server = _Server(config, ready, draining)
    server.run(sockets=[listener])
    return 0 if server.started else 1


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], draining: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._draining = draining

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            gc.freeze()  # modules and models stay: no collection has to walk through them
            gc.enable()
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Requests in flight are answered; after a while what still waits in the queue hears that we are closing."""
        log.info("draining")
        end = asyncio.get_running_loop().call_later(DRAIN_SECONDS, self._draining)
        try:
            await super().shutdown(sockets)
        finally:
            end.cancel()


class JoinedWrites:
    """A transport that sends at the end of the loop's turn what was written in it. The head of an answer and its body
    leave together: one call of the system, and the client wakes once."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written: list[bytes] = []
        self._bytes = 0
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)
        self._bytes += len(data)
        if self._bytes >= JOINED_BYTES:
            self._send()

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        data = b"".join(self._written)
        self._written.clear()
        self._bytes = 0
        if data:
            with suppress(RuntimeError):  # of a transport whose client has gone since
                self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _nobody() -> None:
    """Wants to know."""


class Protocol(HttpToolsProtocol):
    """The parser itself would collect headers without end. And whoever wants to know when a client goes is told, and
    need not keep a task that waits for it."""

    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, JoinedWrites(transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            cast(dict[str, Any], self.cycle.scope).get(GONE, _nobody)()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()  # held back while much of the body waited; a client's end is heard only so

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEADER_BYTES:
            raise ValueError("the head of the request is too long")  # the parser turns it into a 400
