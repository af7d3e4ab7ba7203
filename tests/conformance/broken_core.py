"""A core that fails in whatever it is asked to do: for what no request can bring about at will."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

from starlette.applications import Starlette

from face_server.dialects.features import Features
from face_server.faces.service import FaceService
from face_server.settings import Settings
from face_server.vision.protocol import VisionInfo

DIMENSIONS = 4


class BrokenCore:
    """Takes the place of FaceService and of its parts."""

    def __init__(self) -> None:
        self.info = VisionInfo("broken", frozenset(), "model", DIMENSIONS, ())
        self.error: Exception = AssertionError("nothing was asked for")

    def __getattr__(self, name: str) -> Any:
        if name in ("library", "people", "distinct", "access"):
            return self
        return self._fail

    async def _fail(self, *_: object, **__: object) -> None:
        raise self.error

    def feature(self) -> str:
        """One that this core would take."""
        import numpy as np

        return Features(self.info.embedding_id, DIMENSIONS).write(np.eye(1, DIMENSIONS, dtype=np.float32)[0])


def app(core: BrokenCore, dialects: list[ModuleType], settings: Settings) -> Starlette:
    routers = cast("list[Callable[..., Any]]", [dialect.__dict__["router"] for dialect in dialects])
    return Starlette(routes=[route for router in routers for route in router(cast(FaceService, core), settings)])
