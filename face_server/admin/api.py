"""Every path of the admin API with the role it needs, in one table."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from face_server.admin.about import Telling
from face_server.admin.account import Account
from face_server.admin.deleting import Deleting
from face_server.admin.gate import SMALL, Gate, Rule
from face_server.admin.history import History
from face_server.admin.jobs import UNDO_SECONDS, Jobs
from face_server.admin.keys import Keys
from face_server.admin.library import Library
from face_server.admin.limits import Limits
from face_server.admin.look import Analyze, Looking
from face_server.admin.packs import PackJobs, PackShelf
from face_server.admin.reextracting import KIND as REEXTRACT
from face_server.admin.reextracting import Reextracting
from face_server.admin.replaying import Replaying
from face_server.admin.roles import Role
from face_server.admin.server import Figures, Sources
from face_server.admin.session import Sessions
from face_server.admin.shown import SettingsShown
from face_server.admin.tidying import Tidying
from face_server.admin.uploads import Uploads
from face_server.faces.apps import Apps
from face_server.faces.service import FaceService
from face_server.packs import Pack, packs_of
from face_server.settings import Settings
from face_server.store.blobs import Blobs
from face_server.store.store import Store

log = logging.getLogger(__name__)

PREFIX = "/admin/v1"
MB = 1 << 20
_PICTURE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Problem(BaseModel):
    code: str
    message: str
    parameter: str | None


class Failure(BaseModel):
    error: Problem
    log_id: int | None


_FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"model": Failure, "description": "Nobody is signed in."},
    403: {"model": Failure, "description": "The role or the CSRF token does not allow it."},
    "4XX": {"model": Failure, "description": "The request cannot be answered."},
    "5XX": {"model": Failure, "description": "The server cannot answer."},
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the admin API is about."""

    service: FaceService
    store: Store
    blobs: Blobs
    analyze: Analyze
    settings: Settings
    sources: Sources
    pack: Pack
    device: str
    dialects: list[str]
    public: bool  # listens beyond the loopback address


class Admin:
    def __init__(self, deployment: Deployment, undo_seconds: float = UNDO_SECONDS) -> None:
        service, store, settings = deployment.service, deployment.store, deployment.settings
        self._settings, self._public, self._operators = settings, deployment.public, store.operators
        sessions = Sessions(store.operators, deployment.public)
        self._gate = Gate(sessions, store.audit, settings.queue_mb * MB)
        self._account, self._history = Account(sessions, store.audit), History(store.audit)
        found, uploads = packs_of(settings), Uploads(settings.data_dir / "uploads")
        searches = Tidying(service, store).all() | Replaying(service, store).all() | PackJobs(found, uploads).all()
        searches |= Reextracting(service).all()
        self._jobs = Jobs(store.jobs, Deleting(service).all(), searches, undo_seconds, lasting=[REEXTRACT])
        self._packs, self._uploads = PackShelf(found, uploads, self._jobs, store.jobs, settings), uploads
        self._library = Library(service, store, deployment.blobs, self._jobs)
        self._looking = Looking(service, deployment.analyze, settings)
        self._about = Telling(service, settings, deployment.pack, deployment.device, deployment.dialects, undo_seconds)
        self._figures = Figures(deployment.sources)
        self._keys = Keys(Apps(store, deployment.blobs, settings.data_dir, settings.redis), store.access)
        self._shown, self._limits = SettingsShown(settings), Limits(service.limits)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[list[BaseRoute]]:
        if self._public and not await self._operators.any():
            log.warning("the console is closed until somebody has a password: run `face-server admin password`")
        await asyncio.to_thread(self._uploads.forget_old)
        await self._jobs.open()
        try:
            yield self.routes()
        finally:
            await self._jobs.close()

    def routes(self) -> list[BaseRoute]:
        api = APIRouter(prefix=PREFIX, tags=["Admin"], responses=_FAILURES)
        self._session_routes(api)
        self._looking_routes(api)
        self._library_routes(api)
        self._work_routes(api)
        self._pack_routes(api)
        return list(api.routes)

    def _session_routes(self, api: APIRouter) -> None:
        self._add(api, "GET", "/session", self._account.get, Rule("session"))
        self._add(api, "POST", "/session", self._account.sign_in, Rule("sign_in", role=None))
        self._add(api, "DELETE", "/session", self._account.sign_out, Rule("sign_out", changes=True), 204)

    def _looking_routes(self, api: APIRouter) -> None:
        picture = self._settings.max_body_mb * MB
        self._add(api, "GET", "/about", self._about.about, Rule("about"))
        look = Rule("look", largest=picture, heavy=True)
        self._add(api, "POST", "/look", self._looking.look, look, picture=True)
        # Two pictures as text, a third longer than they are.
        self._add(api, "POST", "/compare", self._looking.compare, Rule("compare", largest=3 * picture, heavy=True))
        search = Rule("search", largest=picture, heavy=True)
        self._add(api, "POST", "/search", self._looking.search, search, picture=True)

    def _library_routes(self, api: APIRouter) -> None:
        library = self._library
        self._add(api, "GET", "/apps", library.apps, Rule("apps"))
        self._add(api, "GET", "/groups", library.groups, Rule("groups"))
        self._add(api, "POST", "/groups", library.add_group, _change("add_group"), 201)
        self._add(api, "DELETE", "/groups", library.delete_group, _change("delete_group"), 202)
        self._add(api, "GET", "/users", library.users, Rule("users"))
        self._add(api, "GET", "/user", library.user, Rule("user"))
        self._add(api, "PATCH", "/users", library.set_info, _change("set_info"))
        self._add(api, "POST", "/users/copy", library.copy, _change("copy_user"))
        self._add(api, "DELETE", "/users", library.delete_user, _change("delete_user"), 202)
        self._add(api, "GET", "/faces", library.faces, Rule("faces"))
        adding = Rule("add_face", Role.OPERATOR, changes=True, largest=self._settings.max_body_mb * MB, heavy=True)
        self._add(api, "POST", "/faces", library.add_face, adding, 201, picture=True)
        self._add(api, "GET", "/faces/{face_id}/picture", library.picture, Rule("picture"))
        self._add(api, "DELETE", "/faces/{face_id}", library.delete_face, _change("delete_face"), 202)

    def _work_routes(self, api: APIRouter) -> None:
        jobs, figures, keys = self._jobs, self._figures, self._keys
        self._add(api, "GET", "/jobs", jobs.listed, Rule("jobs"))
        self._add(api, "POST", "/jobs", jobs.add, _change("add_job"), 202)
        self._add(api, "GET", "/jobs/{job_id}", jobs.get, Rule("job"))
        self._add(api, "GET", "/jobs/{job_id}/result", jobs.result, Rule("job_result"))
        self._add(api, "POST", "/jobs/{job_id}/cancel", jobs.cancel, _change("cancel_job"))
        self._add(api, "GET", "/server", figures.server, Rule("server"))
        self._add(api, "GET", "/server/errors", figures.errors, Rule("errors"))
        self._add(api, "GET", "/server/stories/{log_id}", figures.story, Rule("story"))
        self._add(api, "GET", "/settings", self._shown.listed, Rule("settings"))
        self._add(api, "GET", "/gates", self._limits.get, Rule("gates"))
        self._add(api, "PUT", "/gates", self._limits.put, _change("set_gates", Role.ADMIN))
        self._add(api, "DELETE", "/gates", self._limits.reset, _change("reset_gates", Role.ADMIN))
        self._add(api, "GET", "/keys", keys.listed, Rule("keys", Role.ADMIN))
        self._add(api, "POST", "/keys", keys.create, _change("create_key", Role.ADMIN), 201)
        self._add(api, "POST", "/keys/rotate", keys.rotate, _change("rotate_key", Role.ADMIN))
        self._add(api, "DELETE", "/keys", keys.delete, _change("delete_key", Role.ADMIN), 204)
        self._add(api, "GET", "/audit", self._history.listed, Rule("audit", Role.OPERATOR))

    def _pack_routes(self, api: APIRouter) -> None:
        shelf = self._packs
        self._add(api, "GET", "/packs", shelf.listed, Rule("packs"))
        self._add(api, "GET", "/packs/card", shelf.card, Rule("pack_card"))
        self._add(api, "POST", "/packs/install", shelf.install, _change("install_pack", Role.ADMIN), 202)
        self._add(api, "POST", "/packs/verify", shelf.verify, _change("verify_pack", Role.ADMIN), 202)
        self._add(api, "POST", "/packs/calibrate", shelf.calibrate, _change("calibrate_pack", Role.ADMIN), 202)
        upload = Rule("upload", Role.ADMIN, changes=True, streams=True)
        self._add(api, "POST", "/uploads", self._uploads.add, upload, 201, picture=True)

    def _add(
        self,
        api: APIRouter,
        method: str,
        path: str,
        endpoint: Callable[..., Any],
        rule: Rule,
        status: int = 200,
        picture: bool = False,
    ) -> None:
        api.add_api_route(
            path,
            endpoint,
            methods=[method],
            status_code=status,
            name=rule.action,
            summary=rule.action.replace("_", " "),
            operation_id=f"admin_{rule.action}",
            response_class=Response if status == 204 or rule.action == "picture" else JSONResponse,
            openapi_extra=_PICTURE if picture else None,
            route_class_override=self._gate.route(rule),
        )


def _change(action: str, role: Role = Role.OPERATOR) -> Rule:
    return Rule(action, role, changes=True, largest=SMALL)
