"""H5 liveness: a short video from a browser, with field names and an envelope of its own; and its sessions."""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from face_server.dialects import wire
from face_server.dialects.baidu import codes
from face_server.dialects.baidu.endpoint import DIALECT, failure, read_fields
from face_server.dialects.baidu.guard import Guard
from face_server.dialects.baidu.sessions import Sessions
from face_server.dialects.params import Refusal
from face_server.dialects.texts import FormText, JsonText, LongText, NotBase64, Upload, decode_base64
from face_server.dialects.wire import Bodies, BodyTooLarge, Fields, Kind, Shape, Unreadable, double
from face_server.faces.asks import VideoVerdict
from face_server.faces.service import FaceService
from face_server.settings import Settings

PATHS = ("/face-api/face/liveness", "/api/face-api/face/liveness")
SESSION_PATHS = (
    "/face-api/v3/face/sessioncode",  # the document has no interface for it; the public cloud has
    "/v3/face/sessioncode",
    "/api/face-api/v3/face/sessioncode",
    "/api/v3/face/sessioncode",
)
SUCCESS = "success"
BAD_VIDEO = 222203
Respond = Callable[[Request], Awaitable[Response]]
SHAPE = Shape(("video_base64", "session_id", "video"))


_VIDEO = {
    "video": {"type": "string", "format": "binary"},
    "video_base64": {"type": "string"},
    "session_id": {"type": "string"},
}
VIDEO_SCHEMA: dict[str, Any] = {
    "requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": _VIDEO}}}}
}
SESSION_SCHEMA: dict[str, Any] = {"parameters": [{"name": "appid", "in": "query", "schema": {"type": "string"}}]}


class BrowserRoute(APIRoute):
    """An interface that pages of other sites may call."""

    def __init__(self, path: str, respond: Respond, origins: list[str], **shown: Any) -> None:
        super().__init__(path, respond, methods=["POST"], **shown)
        self.app = CORSMiddleware(self.app, allow_origins=origins, allow_methods=["POST"], allow_headers=["*"])


def routes(service: FaceService, settings: Settings, bodies: Bodies, guard: Guard) -> list[BaseRoute]:
    sessions = Sessions(service.access.signing_key)
    liveness = VideoLiveness(service, sessions, bodies, guard).respond
    create = SessionCode(sessions, bodies, guard).respond
    interfaces = ((PATHS, liveness, VIDEO_SCHEMA), (SESSION_PATHS, create, SESSION_SCHEMA))
    return [
        route
        for paths, respond, schema in interfaces
        for path in paths
        for route in _routes(path, respond, schema, settings.cors_origins, path == paths[0])
    ]


def _routes(path: str, respond: Respond, schema: dict[str, Any], origins: list[str], show: bool) -> list[BaseRoute]:
    shown: dict[str, Any] = {
        "summary": path.removeprefix("/face-api/"),
        "tags": ["Baidu"],
        "include_in_schema": show,
        "openapi_extra": schema,
    }
    if not origins:
        return [APIRoute(path, respond, methods=["POST"], **shown)]
    route = BrowserRoute(path, respond, origins, **shown)
    # A browser asks before it sends; that question is in nobody's documentation.
    return [route, Route(path, route.app, methods=["OPTIONS"])]


class VideoLiveness:
    def __init__(self, service: FaceService, sessions: Sessions, bodies: Bodies, guard: Guard) -> None:
        self._service, self._sessions, self._bodies, self._guard = service, sessions, bodies, guard

    async def respond(self, request: Request) -> Response:
        arrived = int(time.time())
        try:
            app = _app(request, await self._guard.caller(request))
            video, session = await self._read(request)
            verdict = await self._service.video(video)
            return envelope(arrived, 0, SUCCESS, self._result(app, verdict, session))
        except Exception as error:
            return envelope(arrived, *failure(error))

    async def _read(self, request: Request) -> tuple[bytes, str]:
        try:
            kind, found = await read_fields(request, self._bodies, SHAPE)
        except BodyTooLarge:
            raise Refusal(BAD_VIDEO) from None
        if kind is Kind.ARRAY or not found:
            raise Refusal(codes.MISSING, "video")
        session = found[0].get("session_id")
        return _video(found[0]), session if isinstance(session, str) else ""

    def _result(self, app: str, verdict: VideoVerdict, session: str) -> dict[str, Any]:
        return {
            "score": double(verdict.score),
            "thresholds": self._service.limits.of(app).false_rejects,
            # Nothing here listens to the sound: what was spoken stays empty.
            "code": {"create": self._sessions.code(session), "identify": ""},
            "pic_list": [
                {"face_id": str(int(face.token[:15], 16)), "pic": base64.b64encode(jpeg).decode()}
                for face, jpeg in verdict.faces
            ],
        }


def _app(request: Request, caller: str | None) -> str:
    """While authorization is open the app need not be named: then the limits are the contract's."""
    named = wire.parse_query(request.scope["query_string"]).get("appid") if caller is None else caller
    return named if isinstance(named, str) else ""


def _video(fields: Fields) -> bytes:
    """The file when there is one, else the text."""
    file = fields.get("video")
    if isinstance(file, Upload) and file.data:
        return file.data
    value = fields.get("video_base64") or file
    if isinstance(value, str | JsonText | FormText | LongText):
        if value == "":
            raise Refusal(codes.MISSING, "video")
        try:
            return decode_base64(value)
        except NotBase64:
            raise Refusal(BAD_VIDEO) from None
    raise Refusal(codes.MISSING, "video")


class SessionCode:
    def __init__(self, sessions: Sessions, bodies: Bodies, guard: Guard) -> None:
        self._sessions, self._bodies, self._guard = sessions, bodies, guard

    async def respond(self, request: Request) -> Response:
        arrived = int(time.time())
        try:
            await self._guard.caller(request)
            await self._bodies.read(request)  # says nothing we need: an appid at most
            session, code = self._sessions.create()
            return envelope(arrived, 0, SUCCESS, {"session_id": session, "code": code})
        except BodyTooLarge:
            return envelope(arrived, *failure(Unreadable()))
        except Exception as error:
            return envelope(arrived, *failure(error))


def envelope(arrived: int, code: int, message: str, result: dict[str, Any] | None = None) -> Response:
    """The document's names, and copies under the names of all other interfaces."""
    wire.note(DIALECT, "face/liveness (video)", code)
    return wire.answer(
        {
            "err_no": code,
            "err_msg": message,
            "result": result,
            "timestamp": arrived,
            "cached": 0,
            "serverlogid": str(wire.log_id()),
            "error_code": code,
            "error_msg": message,
        }
    )
