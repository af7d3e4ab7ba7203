"""The authorization service: seats for workers, as many as the licence has cards."""

from __future__ import annotations

import time
from collections.abc import Callable
from json import JSONDecodeError

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from face_server.licence.document import Licence, LicenceRefused

LEASE_SECONDS = 30.0
LONGEST_NAME = 200
LARGEST_BODY = 4096


class Seats:
    """A seat is had for a short time and renewed. A worker that dies loses it by not renewing."""

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._count, self._clock = count, clock
        self._until: dict[str, float] = {}

    def lease(self, worker: str) -> bool:
        now = self._clock()
        self._until = {name: until for name, until in self._until.items() if until > now}
        if worker not in self._until and len(self._until) >= self._count:
            return False
        self._until[worker] = now + LEASE_SECONDS
        return True

    def release(self, worker: str) -> None:
        self._until.pop(worker, None)

    @property
    def taken(self) -> int:
        now = self._clock()
        return sum(until > now for until in self._until.values())


def create_service(licence: Licence, signed: str, own: str) -> Starlette:
    licence.check_machine(own)
    licence.check_day()
    seats = Seats(licence.gpus)

    async def worker_of(request: Request) -> str | None:
        if int(request.headers.get("content-length", LARGEST_BODY + 1)) > LARGEST_BODY:
            return None
        try:
            worker = (await request.json())["worker"]
        except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
            return None
        return worker if isinstance(worker, str) and 0 < len(worker) <= LONGEST_NAME else None

    async def lease(request: Request) -> JSONResponse:
        worker = await worker_of(request)
        if worker is None:
            return JSONResponse({"refused": "a JSON object with the name of a worker is expected"}, 400)
        try:
            licence.check_day()
        except LicenceRefused as error:
            return JSONResponse({"refused": str(error)}, 403)
        if not seats.lease(worker):
            return JSONResponse({"refused": f"all {licence.gpus} seats are taken"}, 403)
        return JSONResponse({"seconds": LEASE_SECONDS, "licence": signed})

    async def release(request: Request) -> JSONResponse:
        worker = await worker_of(request)
        seats.release(worker or "")
        return JSONResponse({})

    async def state(_: Request) -> JSONResponse:
        return JSONResponse({"seats": licence.gpus, "taken": seats.taken, "ends": licence.ends or None})

    return Starlette(
        routes=[
            Route("/v1/seat", lease, methods=["POST"]),
            Route("/v1/seat", release, methods=["DELETE"]),
            Route("/healthz", state),
        ]
    )
