"""The SID dialect: eight interfaces, JSON or a form in, `result` and `info` out, always status 200."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import BaseRoute

from face_server.dialects.sid.endpoint import Endpoint
from face_server.dialects.sid.interfaces import Interfaces
from face_server.dialects.wire import Bodies
from face_server.faces.service import FaceService
from face_server.settings import Settings


def router(service: FaceService, settings: Settings) -> list[BaseRoute]:
    api = APIRouter(tags=["SID"])
    bodies = Bodies(settings.max_body_mb << 20, settings.queue_mb << 20)
    for interface in Interfaces(service, settings).all():
        endpoint = Endpoint(interface, bodies, service.access)
        api.add_api_route(
            interface.path,
            endpoint.respond,
            methods=["POST"],
            name=interface.path,
            summary=interface.path.removeprefix("/"),
            openapi_extra=endpoint.schema(),
        )
    return list(api.routes)
