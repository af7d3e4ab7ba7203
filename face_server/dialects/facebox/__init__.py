"""The face box dialect: sixteen interfaces, JSON in, `code`, `msg` and `data` out, status 400 on errors."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import BaseRoute

from face_server.dialects.facebox.endpoint import Endpoint
from face_server.dialects.facebox.groups import Groups
from face_server.dialects.facebox.library import Faces
from face_server.dialects.facebox.looking import Recognition
from face_server.dialects.wire import Bodies
from face_server.faces.service import FaceService
from face_server.settings import Settings


def router(service: FaceService, settings: Settings) -> list[BaseRoute]:
    api = APIRouter(tags=["Face box"])
    bodies = Bodies(settings.max_body_mb << 20, settings.queue_mb << 20)
    parts = (Faces(service, settings), Groups(service), Recognition(service))
    for interface in (one for part in parts for one in part.all()):
        endpoint = Endpoint(interface, bodies, service)
        # An id may have an escaped slash in it: no such id is there, but that is the vendor's answer to give.
        api.add_api_route(
            interface.path.replace("}", ":path}"),
            endpoint.respond,
            methods=[interface.method],
            name=f"{interface.method} {interface.path}",
            summary=interface.name,
            openapi_extra=endpoint.schema(),
        )
    return list(api.routes)
