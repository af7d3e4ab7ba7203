"""The Baidu public cloud: the paths of the vendor's own SDKs over the interfaces of the private deployment.

Two things differ: where a path stands, and that an access token names the app.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from face_server.dialects.baidu import codes, h5
from face_server.dialects.baidu.endpoint import ArrayEndpoint, Endpoint, envelope, failure
from face_server.dialects.baidu.interfaces import ArrayInterface, Interfaces
from face_server.dialects.baidu.sessions import Sessions
from face_server.dialects.baidu_cloud.guard import TokenGuard
from face_server.dialects.baidu_cloud.oauth import SCHEMA as TOKEN_SCHEMA
from face_server.dialects.baidu_cloud.oauth import TokenEndpoint
from face_server.dialects.baidu_cloud.paths import CALLS, NOT_GRANTED, UNKNOWN
from face_server.dialects.baidu_cloud.tokens import Tokens
from face_server.dialects.params import Refusal
from face_server.dialects.wire import Bodies
from face_server.faces.service import FaceService
from face_server.settings import Settings

ROOT = "/rest/2.0/face/"
ACCESS_TOKEN = {"name": "access_token", "in": "query", "required": True, "schema": {"type": "string"}}

Respond = Callable[[Request], Awaitable[Response]]


def router(service: FaceService, settings: Settings) -> list[BaseRoute]:
    api = APIRouter(tags=["Baidu cloud"])
    bodies = Bodies(settings.max_body_mb << 20, settings.queue_mb << 20)
    tokens = Tokens(service.access)
    guard = TokenGuard(tokens)

    issue = TokenEndpoint(service.access, tokens, bodies).respond
    for method, schema in TOKEN_SCHEMA.items():
        api.add_api_route("/oauth/2.0/token", issue, methods=[method], summary="token", openapi_extra=schema)

    known = {interface.path: interface for interface in Interfaces(service, settings).all()}
    for path, same_as in CALLS.items():
        interface = known[same_as]
        endpoint: ArrayEndpoint | Endpoint
        if isinstance(interface, ArrayInterface):
            endpoint = ArrayEndpoint(interface, bodies, guard)
        else:
            endpoint = Endpoint(interface, bodies, guard)
        _add(api, path, endpoint.respond, _schema(endpoint))

    sessions = Sessions(service.access.signing_key)
    _add(api, "v1/faceliveness/sessioncode", h5.SessionCode(sessions, bodies, guard).respond)
    verify = h5.VideoLiveness(service, sessions, bodies, guard).respond
    _add(api, "v1/faceliveness/verify", verify, h5.VIDEO_SCHEMA)

    for path in NOT_GRANTED:
        _add(api, path, _refusing(path, codes.OTHER_APP, guard))
    for path in UNKNOWN:  # last: what no route before it has
        api.add_api_route(path, _refusing("", codes.UNKNOWN_PATH), methods=["GET", "POST"], include_in_schema=False)
    return list(api.routes)


def _add(api: APIRouter, path: str, respond: Respond, schema: dict[str, Any] | None = None) -> None:
    extra = {**(schema or {}), "parameters": [ACCESS_TOKEN]}
    api.add_api_route(ROOT + path, respond, methods=["POST"], summary=path, openapi_extra=extra)


def _schema(endpoint: Endpoint | ArrayEndpoint) -> dict[str, Any]:
    """The schema of the private deployment, without the appid that the token stands for."""
    schema = endpoint.schema()
    body = schema["requestBody"]["content"]["application/json"]["schema"]
    if "appid" in body.get("properties", ()):
        del body["properties"]["appid"]
        body["required"].remove("appid")
    return schema


def _refusing(path: str, code: int, guard: TokenGuard | None = None) -> Respond:
    async def respond(request: Request) -> Response:
        arrived = int(time.time())
        try:
            if guard:
                await guard.caller(request)
            raise Refusal(code)
        except Exception as error:
            return envelope(path, arrived, *failure(error))

    return respond
