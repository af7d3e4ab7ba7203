"""What every request passes: who asks, may they, what do they want to change, and what became of it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message

from face_server.admin.failures import Refusal, refusal
from face_server.admin.roles import Role, Who
from face_server.admin.session import Sessions
from face_server.errors import Busy, Cancelled, Stage
from face_server.request import current
from face_server.store.history import Audit, Entry

DIALECT = "admin"
SMALL = 64 << 10  # bytes of a body without a picture
BEGUN, OK = "begun", "ok"
NOBODY = Who("", Role.VIEWER, "")
# What of a request names the things it changes. Never a password, a picture or what is written about a person.
_TARGETS = (
    "app",
    "group",
    "user",
    "source",
    "target",
    "face_id",
    "kind",
    "key",
    "mode",
    "name",
    "job_id",
    "own",
    "pack",
)
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LONGEST = 200  # characters of a value in the audit log

Handle = Callable[[Request], Coroutine[Any, Any, Response]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rule:
    action: str
    role: Role | None = Role.VIEWER  # None: who is not signed in may too
    changes: bool = False  # is written into the audit log
    largest: int = SMALL  # bytes of the body
    streams: bool = False  # reads the body itself, however long it is
    heavy: bool = False  # works with pictures: counted in the metrics, refused early when the lanes are full


class Gate:
    def __init__(self, sessions: Sessions, audit: Audit, together: int) -> None:
        """`together`: bytes of all bodies that are being read."""
        self.sessions = sessions
        self._audit, self._together = audit, together
        self._held = 0

    def route(self, rule: Rule) -> type[APIRoute]:
        gate = self

        class Guarded(APIRoute):
            def get_route_handler(self) -> Handle:
                handle = super().get_route_handler()

                async def respond(request: Request) -> Response:
                    return await gate._respond(request, rule, handle)

                return respond

        return Guarded

    async def _respond(self, request: Request, rule: Rule, handle: Handle) -> Response:
        code = OK
        try:
            response = await self._admitted(request, rule, handle)
        except Exception as error:
            refused = _refused(error)
            code, response = refused.code, _answer(refused)
        context = current.get()
        if context and (rule.heavy or rule.changes):
            context.dialect, context.interface, context.code = DIALECT, rule.action, "0" if code == OK else code
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    async def _admitted(self, request: Request, rule: Rule, handle: Handle) -> Response:
        who = await self._who(request, rule)
        request.scope["admin.who"] = who
        if rule.streams and (context := current.get()):
            context.patient = True
        body = b"" if rule.streams else await self._body(request, rule)
        _without_nul(request, b"" if rule.heavy else body)
        if not rule.streams:
            request = Request(request.scope, _once(body))
        if not rule.changes:
            return await handle(request)
        return await self._audited(request, rule, who, body, handle)

    async def _who(self, request: Request, rule: Rule) -> Who:
        if rule.role is None:
            return NOBODY
        who = await self.sessions.who(request, changes=request.method not in ("GET", "HEAD"))
        if who.role < rule.role:
            raise Refusal(403, "role", f"This needs the role {rule.role.word}, {who.name} is {who.role.word}.")
        return who

    async def _audited(self, request: Request, rule: Rule, who: Who, body: bytes, handle: Handle) -> Response:
        """Written before the change and completed after it, so that a crash between the two leaves a trace."""
        context = current.get()
        log_id = context.log_id if context else 0
        entry = Entry(who.name, who.role.word, who.source, rule.action, _target(request, body), BEGUN, log_id)
        entry_id = await self._audit.add(entry)
        outcome = "failed"
        try:
            response = await handle(request)
            outcome = OK
        except Exception as error:
            outcome = _refused(error, quiet=True).code
            raise
        finally:
            await asyncio.shield(self._audit.ended(entry_id, outcome))
        return response

    async def _body(self, request: Request, rule: Rule) -> bytes:
        context = current.get()
        if context and rule.heavy:
            await context.admit()
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                self._held += len(chunk)
                chunks.append(chunk)
                if size > rule.largest:
                    raise Refusal(413, "body_too_large", f"The body is larger than {rule.largest} bytes.")
                if self._held > self._together:
                    raise Busy(Stage.QUEUE)
        except ClientDisconnect:
            raise Cancelled from None
        finally:
            self._held -= size
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def who_asks(request: Request) -> Who:
    who = request.scope["admin.who"]
    assert isinstance(who, Who)
    return who


def _without_nul(request: Request, body: bytes) -> None:
    """Postgres keeps no text with this character, and no honest client sends one."""
    if b"%00" in request.scope["query_string"] or b"\\u0000" in body:
        raise Refusal(400, "bad_parameter", "A text has the character NUL.")


def _once(body: bytes) -> Callable[[], Awaitable[Message]]:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _target(request: Request, body: bytes) -> dict[str, str]:
    named: dict[str, Any] = {**request.query_params, **request.path_params}
    if len(body) <= SMALL and body[:1] == b"{":
        with suppress(orjson.JSONDecodeError):
            named |= orjson.loads(body)
    return {key: str(named[key])[:_LONGEST] for key in _TARGETS if named.get(key) is not None}


def _refused(error: Exception, quiet: bool = False) -> Refusal:
    known = refusal(error)
    if known is not None:
        return known
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        parameter = ".".join(str(part) for part in first["loc"][1:]) or None
        return Refusal(400, "bad_parameter", f"{parameter or 'The body'}: {first['msg']}.", parameter)
    if isinstance(error, HTTPException):
        return Refusal(error.status_code, "bad_request", str(error.detail))
    if not quiet:
        log.error("unexpected failure", exc_info=error)
    return Refusal(500, "failed", "Something went wrong, the log of the server says what.")


def _answer(refused: Refusal) -> Response:
    context = current.get()
    error = {"code": refused.code, "message": refused.message, "parameter": refused.parameter}
    headers = {}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(refused.retry_after))
    content = orjson.dumps({"error": error, "log_id": context.log_id if context else None})
    return Response(content, refused.status, headers, "application/json")
