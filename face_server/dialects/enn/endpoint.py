"""From a request to an answer: read the body, read the values, run the interface, put code and message beside them."""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from face_server.dialects import wire
from face_server.dialects.enn import codes
from face_server.dialects.enn.interfaces import Answer, Interface, Telling
from face_server.dialects.enn.sent import NAMES, PICTURES, Sent, app_of
from face_server.dialects.params import Refusal
from face_server.dialects.wire import Bodies, BodyTooLarge, Fields, Kind, Shape, Unreadable
from face_server.errors import FaceError
from face_server.faces.access import Access

DIALECT = "enn"
EVERY_APP = "*"
TOKEN = "X-GW-Authorization"

log = logging.getLogger(__name__)


class Endpoint:
    def __init__(self, interface: Interface, bodies: Bodies, access: Access, text_codes: frozenset[str]) -> None:
        self._interface, self._bodies, self._access, self._text_codes = interface, bodies, access, text_codes
        self._shape = Shape(NAMES)

    async def respond(self, request: Request) -> Response:
        app = ""
        wire.begin(DIALECT, self._interface.name)
        try:
            owner = await self._owner(request)
            fields = await self._fields(request)
            app = app_of(fields)
            if owner is not None and app not in ("", owner):
                raise Refusal(codes.UNAUTHORIZED)
            told = await self._interface.answer(Sent(fields, self._interface.names))
            return self._envelope(app, codes.SUCCESS, told)
        except Exception as error:
            return self._envelope(app, self._code(error), error.told if isinstance(error, Telling) else {})

    async def _owner(self, request: Request) -> str | None:
        """The app of the gateway's token; None while authorization is open."""
        if not self._access.enforced:
            return None
        owner = await self._access.by_token(request.headers.get(TOKEN, ""))
        if owner is None:
            raise Refusal(codes.UNAUTHORIZED)
        return owner

    async def _fields(self, request: Request) -> Fields:
        body = await self._bodies.read(request)
        content_type = request.headers.get("content-type", "")
        match wire.sniff(body, content_type):
            case Kind.OBJECT:
                return self._shape.fields(body)
            case Kind.FORM:
                return wire.parse_form(body)
            case Kind.MULTIPART:
                return wire.parse_multipart(body, content_type)
        raise Unreadable("nothing, or an array where an object is expected")

    def _code(self, error: Exception) -> int:
        match error:
            case Refusal():
                return int(error.code)
            case Unreadable():
                return codes.NOT_ENOUGH
            case BodyTooLarge():
                return codes.BAD_IMAGE if "image" in self._interface.names else codes.NOT_ENOUGH
            case FaceError():
                return codes.code_of(error, self._interface.codes)
        log.error("unexpected failure", exc_info=error)
        return codes.FAILED

    def _envelope(self, app: str, code: int, told: Answer) -> Response:
        wire.note(DIALECT, self._interface.name, code)
        if code in codes.GATEWAY:
            return wire.answer({"code": code, "message": codes.GATEWAY[code]}, status=code)
        as_text = bool(self._text_codes & {app, EVERY_APP})
        head = {"code": str(code) if as_text else code, "message": codes.MESSAGES[code]}
        checks = dict.fromkeys(self._interface.checks, codes.check_result(code))
        return wire.answer({**head, **checks, **self._interface.blank, **told})

    def schema(self) -> dict[str, Any]:
        properties = {name: _described(name) for name in self._interface.names}
        form = {"type": "object", "properties": properties, "required": list(self._interface.required)}
        return {"requestBody": {"content": {"multipart/form-data": {"schema": form}}}}


def _described(name: str) -> dict[str, Any]:
    if name == "max_num":
        return {"type": "integer", "default": 1}
    return {"type": "string", "format": "binary"} if name in PICTURES else {"type": "string"}
