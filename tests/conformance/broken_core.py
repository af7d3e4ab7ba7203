"""A core that fails in whatever it is asked to do: for what no request can bring about at will."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy as np
from fastapi import FastAPI

from face_server.dialects.features import Features
from face_server.faces.gates import CONTRACT, Limits
from face_server.faces.service import FaceService
from face_server.model import Want
from face_server.settings import Settings
from face_server.vision.protocol import VisionInfo

DIMENSIONS = 4


class Door:
    """Takes the place of Access: lets everybody in, or nobody."""

    def __init__(self, enforced: bool) -> None:
        self.enforced = enforced
        self.signing_key = bytes(32)

    async def by_pair(self, key: str, secret: str) -> str | None:
        return None if self.enforced else key

    async def app_secret(self, app: str, secret: str) -> bool:
        return not self.enforced

    async def by_token(self, token: str) -> str | None:
        return None if self.enforced else token

    async def known(self, app: str) -> bool:
        return not self.enforced


class ContractLimits:
    """Takes the place of AppLimits: no app has limits of its own."""

    def of(self, _: str) -> Limits:
        return CONTRACT


class BrokenCore:
    """Takes the place of FaceService and of its parts."""

    def __init__(self, enforced: bool = False) -> None:
        self.access = Door(enforced)
        self.limits = ContractLimits()
        self.info = VisionInfo("broken", Want.NONE, "model", DIMENSIONS, ())
        self.error: Exception = AssertionError("nothing was asked for")

    def __getattr__(self, name: str) -> Any:
        if name in ("library", "people", "distinct", "album"):
            return self
        return self._fail

    async def _fail(self, *_: object, **__: object) -> None:
        raise self.error

    def feature(self) -> str:
        """One that this core would take."""
        return Features(self.info.embedding_id, DIMENSIONS).write(np.eye(1, DIMENSIONS, dtype=np.float32)[0])


def app(core: BrokenCore, dialects: list[ModuleType], settings: Settings) -> FastAPI:
    served = FastAPI()
    for dialect in dialects:
        router = cast("Callable[..., Any]", dialect.__dict__["router"])
        served.router.routes.extend(router(cast(FaceService, core), settings))
    return served
