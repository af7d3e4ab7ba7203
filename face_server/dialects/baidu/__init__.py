"""The Baidu dialect: the private deployment's interfaces, version 3, with four spellings of every path."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import BaseRoute

from face_server.dialects.baidu import h5
from face_server.dialects.baidu.endpoint import ArrayEndpoint, Endpoint
from face_server.dialects.baidu.guard import Guard
from face_server.dialects.baidu.interfaces import ArrayInterface, Interface, Interfaces
from face_server.dialects.wire import Bodies
from face_server.faces.service import FaceService
from face_server.settings import Settings

PREFIXES = ("/face-api", "", "/api/face-api", "/api")


def router(service: FaceService, settings: Settings) -> list[BaseRoute]:
    api = APIRouter(tags=["Baidu"])
    # Paths are tried in turn, so the first spelling of every interface goes before the second of any.
    known = Interfaces(service, settings).all()
    bodies = Bodies(settings.max_body_mb << 20, settings.queue_mb << 20)
    guard = Guard(service.access)
    for prefix in PREFIXES:
        for interface in known:
            if interface.path.startswith("v3/") or prefix.endswith("face-api"):
                _add(api, prefix, interface, bodies, guard)
    return [*api.routes, *h5.routes(service, settings, bodies, guard)]


def _add(api: APIRouter, prefix: str, interface: Interface | ArrayInterface, bodies: Bodies, guard: Guard) -> None:
    endpoint: ArrayEndpoint | Endpoint
    if isinstance(interface, ArrayInterface):
        endpoint = ArrayEndpoint(interface, bodies, guard)
        methods = ["POST"]
    else:
        endpoint = Endpoint(interface, bodies, guard)
        methods = ["POST", "GET"] if interface.get else ["POST"]
    for method in methods:  # a route of two methods would give both the same operation id
        api.add_api_route(
            f"{prefix}/{interface.path}",
            endpoint.respond,
            methods=[method],
            name=interface.path,
            summary=interface.path.removeprefix("v3/"),
            include_in_schema=prefix == PREFIXES[0],
            openapi_extra=endpoint.schema(),
        )
