"""The short way to an interface answers what the router would; what it does not know goes the long way."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from face_server.ops.direct import Direct, handlers


async def plain(request: Request) -> Response:
    return PlainTextResponse(f"{request.method} {len(await request.body())}")


async def with_query(request: Request, q: str = "") -> Response:
    return PlainTextResponse(q)


async def with_model(request: Request) -> dict[str, Any]:
    return {}


class WithMiddleware(APIRoute):
    """A kind of its own: what it does around the endpoint must not be left out."""


@pytest.fixture
def router() -> APIRouter:
    router = APIRouter()
    router.add_api_route("/plain", plain, methods=["POST"])
    router.add_api_route("/plain/{name}", plain, methods=["POST"])
    router.add_api_route("/query", with_query)
    router.add_api_route("/model", with_model)
    router.routes.append(WithMiddleware("/middleware", plain, methods=["POST"]))
    return router


def test_only_routes_that_read_everything_themselves_have_a_short_way(router: APIRouter) -> None:
    assert handlers(router.routes) == {("POST", "/plain"): plain}


def test_short_way_and_long_way(router: APIRouter) -> None:
    inner = FastAPI()
    inner.router.routes.extend(router.routes)
    client = TestClient(Direct(inner, handlers(router.routes)))
    assert client.post("/plain", content=b"four").text == "POST 4"
    assert client.get("/plain").status_code == 405
    assert client.post("/plain/x").text == "POST 0"
    assert client.get("/query?q=a").text == "a"
    assert client.get("/nothing").status_code == 404


def test_the_first_route_of_a_path_is_taken(router: APIRouter) -> None:
    async def later(request: Request) -> Response:
        return PlainTextResponse("later")

    router.add_api_route("/plain", later, methods=["POST"])
    assert handlers(router.routes)["POST", "/plain"] is plain
