"""From a request to an answer: read the body, check the app, read the values, run the interface, wrap the answer."""

from __future__ import annotations

import logging
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from face_server.dialects import wire
from face_server.dialects.cloudwalk import codes
from face_server.dialects.cloudwalk.interfaces import Answer, Interface
from face_server.dialects.params import Refusal, Values
from face_server.dialects.wire import Bodies, BodyTooLarge, Fields, Kind, Shape, Unreadable
from face_server.errors import FaceError
from face_server.faces.access import Access
from face_server.model import DEFAULT_APP

DIALECT = "cloudwalk"
MEDIA_TYPE = "application/json;charset=UTF-8"
CREDENTIALS = ("app_id", "app_secret")
NUMBERS = frozenset({"result", "faceId"})  # that the manual prints as texts in some places

log = logging.getLogger(__name__)


async def app_of(access: Access, app_id: str, app_secret: str) -> str:
    """Whose groups a caller works with. While authorization is open, clients that send an app_id and clients that do
    not have to see the same groups."""
    if not access.enforced:
        return DEFAULT_APP
    if not await access.app_secret(app_id, app_secret):
        raise Refusal(codes.NO_PERMISSION)
    return app_id


class Endpoint:
    def __init__(self, interface: Interface, bodies: Bodies, access: Access, texts: bool) -> None:
        """`texts`: numbers that name something are sent as texts."""
        self._interface, self._bodies, self._access, self._texts = interface, bodies, access, texts
        self._shape = Shape((*interface.table.names, *CREDENTIALS))

    async def respond(self, request: Request) -> Response:
        path = self._interface.path
        wire.begin(DIALECT, path)
        try:
            query = wire.parse_query(request.scope["query_string"])
            body = await self._body(request)
            app = await app_of(self._access, *(_credential(name, request, query, body) for name in CREDENTIALS))
            values: Values = self._interface.table.read(body, query)
            return envelope(path, 0, await self._interface.run(app, values), self._texts)
        except Exception as error:
            return envelope(path, self._code(error), {}, self._texts)

    async def _body(self, request: Request) -> Fields:
        if request.method == "GET":
            return Fields({})
        body = await self._bodies.read(request)
        content_type = request.headers.get("content-type", "")
        match wire.sniff(body, content_type):
            case Kind.EMPTY:
                return Fields({})
            case Kind.OBJECT:
                return self._shape.fields(body)
            case Kind.ARRAY:
                raise Unreadable("an array where an object is expected")
            case Kind.FORM:
                return wire.parse_form(body)
            case Kind.MULTIPART:
                return wire.parse_multipart(body, content_type)

    def _code(self, error: Exception) -> int:
        match error:
            case Refusal():
                return int(error.code)
            case Unreadable():
                return codes.WRONG
            case BodyTooLarge():
                return codes.TOO_LARGE if self._interface.pictures else codes.WRONG
            case FaceError():
                return codes.code_of(error, self._interface.codes)
        log.error("unexpected failure", exc_info=error)
        return codes.SYSTEM_ERROR

    def schema(self) -> dict[str, Any]:
        params = self._interface.table.params
        properties = {param.name: {} if param.default is None else {"default": param.default} for param in params}
        required = [param.name for param in params if param.required]
        form = {"type": "object", "properties": properties, "required": required}
        return {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": form}}}}


def _credential(name: str, request: Request, query: Fields, body: Fields) -> str:
    """The manual calls them headers and lists them as parameters, so clients send them in either way."""
    for value in (body.get(name), query.get(name)):
        if isinstance(value, str):
            return value
    return request.headers.get(name, "")


def envelope(interface: str, code: int, data: Answer, texts: bool) -> Response:
    wire.note(DIALECT, interface, code)
    content = {"result": code, "info": codes.MESSAGES[code] if code else codes.SUCCESS, **data}
    response = wire.answer(_as_texts(content) if texts else content)
    response.headers["content-type"] = MEDIA_TYPE
    return response


def _as_texts(content: Any) -> Any:
    match content:
        case dict():
            return {name: str(value) if name in NUMBERS else _as_texts(value) for name, value in content.items()}
        case list():
            return [_as_texts(value) for value in content]
    return content
