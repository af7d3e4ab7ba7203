"""The CloudWalk dialect: 19 interfaces on 18 paths, forms in, `result` and `info` out, always status 200."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import BaseRoute

from face_server.dialects.cloudwalk.endpoint import Endpoint
from face_server.dialects.cloudwalk.interfaces import Tools
from face_server.dialects.cloudwalk.library import Faces, Groups, Recognition
from face_server.dialects.wire import Bodies
from face_server.faces.service import FaceService
from face_server.settings import Settings


def router(service: FaceService, settings: Settings) -> list[BaseRoute]:
    api = APIRouter(tags=["CloudWalk"])
    parts = (Tools(service, settings), Groups(service), Faces(service, settings), Recognition(service))
    bodies = Bodies(settings.max_body_mb << 20, settings.queue_mb << 20)
    for interface in (one for part in parts for one in part.all()):
        endpoint = Endpoint(interface, bodies, service.access, settings.cloudwalk_texts)
        for method in ("POST", "GET"):  # a route of two methods would give both the same operation id
            api.add_api_route(
                interface.path,
                endpoint.respond,
                methods=[method],
                name=interface.path,
                summary=interface.path.removeprefix("/face/"),
                openapi_extra=endpoint.schema() if method == "POST" else None,
            )
    return list(api.routes)
