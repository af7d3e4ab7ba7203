"""From a request to an answer: read the body, check the app, read the values, run the interface, wrap the answer."""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from face_server.dialects import wire
from face_server.dialects.params import Refusal, Wrong
from face_server.dialects.sid import codes
from face_server.dialects.sid.interfaces import Interface
from face_server.dialects.sid.tables import identifier
from face_server.dialects.wire import Bodies, BodyTooLarge, Fields, Kind, Shape, Unreadable
from face_server.errors import FaceError
from face_server.faces.access import Access

DIALECT = "sid"
CREDENTIALS = ("app_id", "app_secret")

log = logging.getLogger(__name__)


async def app_of(access: Access, body: Fields) -> str:
    """The app a caller works with. While authorization is open any pair is good, but both must be there."""
    try:
        app_id, secret = (identifier(body.get(name) or "") for name in CREDENTIALS)
    except Wrong:
        raise Refusal(codes.REFUSED) from None
    if not app_id or not secret or not await access.app_secret(app_id, secret):
        raise Refusal(codes.REFUSED)
    return app_id


class Endpoint:
    def __init__(self, interface: Interface, bodies: Bodies, access: Access) -> None:
        self._interface, self._bodies, self._access = interface, bodies, access
        self._shape = Shape((*interface.table.names, *CREDENTIALS))

    async def respond(self, request: Request) -> Response:
        interface = self._interface
        wire.begin(DIALECT, interface.path)
        try:
            body = await self._body(request)
            app = await app_of(self._access, body)
            answer = await interface.run(app, interface.table.read(body))
            wire.note(DIALECT, interface.path, 0)
            return wire.answer({"info": "success", "result": 0, **answer})
        except Exception as error:
            code, detail = self._code(error)
            wire.note(DIALECT, interface.path, code)
            info = codes.MESSAGES[code].format(verb=interface.verb, detail=detail)
            return wire.answer({"info": info, "result": code, **interface.beside_failure(code)})

    def schema(self) -> dict[str, Any]:
        params = self._interface.table.params
        properties = {name: {"type": "string"} for name in (*CREDENTIALS, *(param.name for param in params))}
        if "topN" in properties:
            properties["topN"] = {"type": "integer"}
        required = [*CREDENTIALS, *(param.name for param in params if param.required)]
        sent = {"type": "object", "properties": properties, "required": required}
        return {"requestBody": {"content": {"application/json": {"schema": sent}}}}

    async def _body(self, request: Request) -> Fields:
        body = await self._bodies.read(request)
        content_type = request.headers.get("content-type", "")
        match wire.sniff(body, content_type):
            case Kind.OBJECT:
                return self._shape.fields(body)
            case Kind.ARRAY:
                raise Unreadable("an array where an object is expected")
            case Kind.FORM:
                return wire.parse_form(body)
            case Kind.MULTIPART:
                return wire.parse_multipart(body, content_type)
        return Fields({})

    def _code(self, error: Exception) -> tuple[int, str]:
        match error:
            case Refusal(code=code, name=name):
                return int(code), name
            case Unreadable():
                return codes.WRONG, "body"
            case BodyTooLarge():
                return codes.BAD_PICTURE, ""
            case FaceError():
                return codes.code_of(error, bool(self._interface.verb)), ""
        log.error("unexpected failure", exc_info=error)
        return codes.FAILED, ""
