"""From a request to an answer: read path, body and query, run the interface, wrap what it says."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from face_server.dialects import wire
from face_server.dialects.credentials import app_of_header
from face_server.dialects.facebox import codes
from face_server.dialects.params import Refusal, Table, Values
from face_server.dialects.wire import Bodies, BodyTooLarge, Fields, Shape, Unreadable
from face_server.errors import FaceError
from face_server.faces.access import Access
from face_server.faces.service import FaceService
from face_server.model import DEFAULT_APP

DIALECT = "facebox"
FIRST_GROUP = "default"  # there from the start

Answer = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: whose library, the id in the path, and the parameters."""

    app: str
    id: str
    sent: Values


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    method: str
    path: str
    table: Table
    run: Callable[[Call], Awaitable[Answer]]

    @property
    def registers(self) -> bool:
        return "imageMd5" in self.table.names


class Endpoint:
    def __init__(self, interface: Interface, bodies: Bodies, service: FaceService) -> None:
        self._interface, self._bodies = interface, bodies
        self._access, self._album = service.access, service.album
        self._shape = Shape(interface.table.names)

    async def respond(self, request: Request) -> Response:
        interface = self._interface
        wire.begin(DIALECT, interface.name)
        try:
            app = await _app_of(self._access, request)
            if app is None:
                return _unauthorized(interface.name)
            sent = interface.table.read(await self._fields(request))
            await self._album.begin(app, FIRST_GROUP)
            return envelope(interface.name, codes.SUCCESS, await interface.run(Call(app, _id(request), sent)))
        except Exception as error:
            code, detail = self._code(error)
            return envelope(interface.name, code, {}, detail)

    async def _fields(self, request: Request) -> Fields:
        query = wire.parse_query(request.scope["query_string"])
        if request.method == "GET":
            return query
        body = await self._bodies.read(request)
        sent = self._shape.fields(body) if body.strip() else Fields({})
        return _Either(sent, query) if request.method == "DELETE" else sent

    def _code(self, error: Exception) -> tuple[int, str]:
        match error:
            case Refusal(code=code, name=name):
                return int(code), name
            case Unreadable():
                return codes.WRONG, "body"
            case BodyTooLarge():
                return (codes.BAD_QUALITY, "size") if self._interface.registers else (codes.WRONG, "body")
            case FaceError():
                return codes.code_of(error), ""
        log.error("unexpected failure", exc_info=error)
        return codes.FAILED, ""

    def schema(self) -> dict[str, Any]:
        params, path = self._interface.table.params, self._interface.path
        properties = {param.name: {} if param.default is None else {"default": param.default} for param in params}
        needed = [param.name for param in params if param.required]
        named = [{"name": path[path.index("{") + 1 : -1], "in": "path", "required": True}] if "{" in path else []
        if self._interface.method == "GET":
            named += [{"name": name, "in": "query", "schema": about} for name, about in properties.items()]
            return {"parameters": named}
        body = {"type": "object", "properties": properties, "required": needed}
        content = {"requestBody": {"content": {"application/json": {"schema": body}}}} if params else {}
        return {"parameters": named, **content}


class _Either(Fields):
    """The body, or for clients who cannot send one with DELETE the query, where a list is separated by commas."""

    __slots__ = ("_body", "_query")

    def __init__(self, body: Fields, query: Fields) -> None:
        self._body, self._query = body, query

    def get(self, name: str) -> object:
        value = self._body.get(name)
        if value is not None:
            return value
        value = self._query.get(name)
        return value.split(",") if isinstance(value, str) and name.endswith("List") else value


def _id(request: Request) -> str:
    """Databases refuse the character NUL; no id has one."""
    return next((str(value).replace("\0", "\ufffd") for value in request.path_params.values()), "")


async def _app_of(access: Access, request: Request) -> str | None:
    """The box is one library; when callers have to say who they are, each has a box of its own."""
    return await app_of_header(access, request) if access.enforced else DEFAULT_APP


def _unauthorized(interface: str) -> Response:
    """The document has no code for it, but HTTP has."""
    response = envelope(interface, codes.WRONG, {}, "Authorization")
    response.status_code = 401
    response.headers["www-authenticate"] = 'Basic realm="face box"'
    return response


def envelope(interface: str, code: int, data: Answer, detail: str = "") -> Response:
    wire.note(DIALECT, interface, code)
    message = codes.MESSAGES[code].format(detail=detail)
    return wire.answer({"code": code, "msg": message, "data": data}, status=codes.status_of(code))
