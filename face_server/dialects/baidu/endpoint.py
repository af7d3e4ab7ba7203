"""From a request to an answer: read the body, read the values, run the interface, put the envelope around it."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from face_server.dialects import wire
from face_server.dialects.baidu import codes
from face_server.dialects.baidu.guard import Guard, keep_to_own
from face_server.dialects.baidu.interfaces import ArrayInterface, Interface, Result
from face_server.dialects.baidu.tables import APP_ONLY
from face_server.dialects.params import Refusal, Table, Values
from face_server.dialects.wire import Bodies, BodyTooLarge, Fields, Kind, Shape, Unreadable
from face_server.errors import FaceError

DIALECT = "baidu"
BAD_IMAGE = 222013

log = logging.getLogger(__name__)


def failure(error: Exception) -> tuple[int, str]:
    """The vendor's code and message for whatever went wrong."""
    match error:
        case Refusal():
            return int(error.code), codes.message(int(error.code), error.name)
        case Unreadable():
            return codes.MISSING, codes.message(codes.MISSING)
        case FaceError():
            code = codes.code_of(error)
            return code, codes.message(code)
    log.error("unexpected failure", exc_info=error)
    return codes.SYSTEM_ERROR, codes.message(codes.SYSTEM_ERROR)


async def read_fields(request: Request, bodies: Bodies, shape: Shape) -> tuple[Kind, list[Fields]]:
    """The kind of the body, and its fields: of one object or form, or of each element of an array."""
    body = await bodies.read(request)
    content_type = request.headers.get("content-type", "")
    kind = wire.sniff(body, content_type)
    match kind:
        case Kind.EMPTY:
            return kind, []
        case Kind.OBJECT:
            return kind, [shape.fields(body)]
        case Kind.ARRAY:
            return kind, shape.elements(body)
        case Kind.FORM:
            return kind, [wire.parse_form(body)]
    return kind, [wire.parse_multipart(body, content_type)]


class Endpoint:
    def __init__(self, interface: Interface, bodies: Bodies, guard: Guard) -> None:
        self._interface, self._bodies, self._guard = interface, bodies, guard
        self._shape = Shape(interface.table.names)
        self._too_large = too_large(interface.table)

    async def respond(self, request: Request) -> Response:
        arrived = int(time.time())
        wire.begin(DIALECT, self._interface.path)
        try:
            caller = await self._guard.caller(request)
            result = await self._interface.run(keep_to_own(caller, await self._read(request, caller)))
            return envelope(self._interface.path, arrived, 0, codes.SUCCESS, result, self._interface.flat)
        except Exception as error:
            return envelope(self._interface.path, arrived, *failure(error))

    async def _read(self, request: Request, caller: str | None) -> Values:
        query = self._guard.query(request, caller)
        if request.method == "GET":
            return self._interface.table.read(query)
        try:
            kind, fields = await read_fields(request, self._bodies, self._shape)
        except BodyTooLarge:
            raise self._too_large from None
        if kind is Kind.ARRAY:
            raise Unreadable("an array where an object is expected")
        return self._interface.table.read(fields[0] if fields else Fields({}), query)

    def schema(self) -> dict[str, Any]:
        return {"requestBody": {"content": {"application/json": {"schema": object_schema(self._interface.table)}}}}


class ArrayEndpoint:
    def __init__(self, interface: ArrayInterface, bodies: Bodies, guard: Guard) -> None:
        self._interface, self._bodies, self._guard = interface, bodies, guard
        self._shape = Shape((*interface.element.names, *APP_ONLY.names), interface.most)

    async def respond(self, request: Request) -> Response:
        arrived = int(time.time())
        wire.begin(DIALECT, self._interface.path)
        try:
            caller = await self._guard.caller(request)
            result = await self._interface.run(*await self._read(request, caller))
            return envelope(self._interface.path, arrived, 0, codes.SUCCESS, result)
        except Exception as error:
            return envelope(self._interface.path, arrived, *failure(error))

    async def _read(self, request: Request, caller: str | None) -> tuple[str, list[Values]]:
        interface = self._interface
        try:
            kind, elements = await read_fields(request, self._bodies, self._shape)
        except BodyTooLarge:
            raise Refusal(BAD_IMAGE, "image") from None
        query = self._guard.query(request, caller)
        app = keep_to_own(caller, APP_ONLY.read(elements[0] if elements else Fields({}), query))["appid"]
        single = kind is not Kind.ARRAY and not interface.single
        if single or not interface.least <= len(elements) <= interface.most:
            raise Refusal(codes.IMAGE_COUNT)
        values: list[Values] = []
        for element in elements:
            values.append(interface.element.read(element))
            if interface.total is not None and sum(one["image_length"] for one in values) > interface.total:
                raise Refusal(BAD_IMAGE, "image")
        return app, values

    def schema(self) -> dict[str, Any]:
        bounds = {"minItems": self._interface.least, "maxItems": self._interface.most}
        array = {"type": "array", "items": object_schema(self._interface.element), **bounds}
        appid = {"name": "appid", "in": "query", "required": True, "schema": {"type": "string"}}
        return {"parameters": [appid], "requestBody": {"content": {"application/json": {"schema": array}}}}


def too_large(table: Table) -> Refusal:
    return Refusal(BAD_IMAGE, "image") if "image" in table.names else Refusal(codes.MISSING)


def object_schema(table: Table) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {param.name: _described(param.default) for param in table.params},
        "required": [param.name for param in table.params if param.required],
    }


def _described(default: object) -> dict[str, Any]:
    """A parameter for the documentation page; its rules are in the vendor's own manual."""
    if isinstance(default, int | float):
        return {"type": "integer" if isinstance(default, int) else "number", "default": default}
    return {"type": "string", "default": default} if isinstance(default, str) else {"type": "string"}


def envelope(
    interface: str, arrived: int, code: int, message: str, result: Result = None, flat: bool = False
) -> Response:
    wire.note(DIALECT, interface, code)
    content = {
        "error_code": code,
        "error_msg": message,
        "log_id": wire.log_id(),
        "timestamp": arrived,
        "cached": 0,
        "result": result,
    }
    return wire.answer({**(result or {}), **content} if flat else content)
