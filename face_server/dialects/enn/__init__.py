"""The ENN dialect: seven interfaces, multipart in, `code` and `message` with the values beside them out."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import BaseRoute

from face_server.dialects.enn.endpoint import Endpoint
from face_server.dialects.enn.interfaces import Interfaces
from face_server.dialects.wire import Bodies
from face_server.faces.service import FaceService
from face_server.settings import Settings


def router(service: FaceService, settings: Settings) -> list[BaseRoute]:
    api = APIRouter(tags=["ENN"])
    bodies = Bodies(settings.max_body_mb << 20, settings.queue_mb << 20)
    for interface in Interfaces(service, settings).all():
        endpoint = Endpoint(interface, bodies, service.access, frozenset(settings.enn_text_codes))
        api.add_api_route(
            f"/cv/face/{interface.name}",
            endpoint.respond,
            methods=["POST"],
            name=interface.name,
            summary=interface.name,
            openapi_extra=endpoint.schema(),
        )
    return list(api.routes)
