"""The short way to an interface: its exact path in a dictionary, in front of the router.

A router tries its routes one after the other, and FastAPI prepares parameters that the vendors' interfaces read for
themselves: together more than the rest of what surrounds a request.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]


class Direct:
    def __init__(self, app: ASGIApp, handlers: dict[tuple[str, str], Handler]) -> None:
        self._app = app
        self._handlers = handlers  # by method and path; filled when the server starts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = self._handlers.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if handler is None:
            await self._app(scope, receive, send)
        else:
            response = await handler(Request(scope, receive, send))
            await response(scope, receive, send)


def handlers(routes: Iterable[BaseRoute]) -> dict[tuple[str, str], Handler]:
    """Of every route that takes a request and gives a response and nothing else. A kind of its own does more."""
    found: dict[tuple[str, str], Handler] = {}
    for route in routes:
        if type(route) is APIRoute and "{" not in route.path and _plain(route):
            for method in route.methods or ():
                found.setdefault((method, route.path), route.endpoint)
    return found


def _plain(route: APIRoute) -> bool:
    signature = inspect.signature(route.endpoint, eval_str=True)
    (first, *more) = [parameter.annotation for parameter in signature.parameters.values()] or [None]
    return not route.dependencies and first is Request and not more and signature.return_annotation is Response
