"""Around every request: gives it an id and a deadline, notices when its client goes, and reports its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from face_server.ops.proxies import Proxies
from face_server.request import RequestContext, current

UPLOAD_SECONDS = 60.0  # for a whole body: a client that sends slower than that only holds memory
DISCONNECT: Message = {"type": "http.disconnect"}
GONE = "face_server.gone"  # in a scope: what the HTTP server calls when the client goes before it has its answer


@dataclass(slots=True)
class Ending:
    """What is known of a request when it is over."""

    request: RequestContext
    path: str
    status: int  # 0: nothing was answered
    seconds: float


class LogIds:
    """13 digits, rising: the milliseconds of the clock, or the next number when that one is taken."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last = max(self._last + 1, int(time.time() * 1000))
        return self._last


class RequestScope:
    def __init__(
        self,
        app: ASGIApp,
        deadline_seconds: float,
        ended: Callable[[Ending], None],
        admit: Callable[[], Awaitable[None]],
        proxies: Proxies | None = None,
    ) -> None:
        self._app = app
        self._deadline = deadline_seconds
        self._ended = ended
        self._admit = admit
        self._proxies = proxies or Proxies()
        self._ids = LogIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        self._proxies.look_behind(scope)
        peer = scope["client"][0] if scope.get("client") else ""
        request = RequestContext(self._ids.next(), deadline=begun + self._deadline, admit=self._admit, peer=peer)
        client = _Client(request, receive, self._deadline)
        scope[GONE] = client.gone
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = current.set(request)
        try:
            await self._app(scope, client.receive, sent)
        finally:
            current.reset(token)
            ending = Ending(request, scope["path"], status, time.monotonic() - begun)
            # After the answer has left: whoever waits for it does not wait for logs and figures too.
            asyncio.get_running_loop().call_soon(self._ended, ending)


class _Client:
    """Passes the body on as it comes, and keeps none of it."""

    def __init__(self, request: RequestContext, receive: Receive, deadline_seconds: float) -> None:
        self._request = request
        self._receive = receive
        self._deadline = deadline_seconds
        self._until = time.monotonic() + UPLOAD_SECONDS
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:  # nothing comes any more but the end
            return await self._receive()
        seconds = UPLOAD_SECONDS if self._request.patient else self._until - time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError:
            message = DISCONNECT
        if message["type"] == "http.disconnect":
            self.gone()
        elif not message.get("more_body", False):
            # The time a client needs to send its body is its own: the deadline counts from here.
            self._request.deadline = time.monotonic() + self._deadline
            self._complete = True
        return message

    def gone(self) -> None:
        self._request.cancelled = True
