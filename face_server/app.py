"""The only place where parts are wired: settings -> engine, vision, store, service, dialects -> one ASGI app."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware import Middleware

from face_server import __version__, figures
from face_server.admin.api import Admin, Deployment
from face_server.admin.server import Sources
from face_server.admin.stories import Stories
from face_server.dialects import baidu, baidu_cloud, cloudwalk, enn, facebox, sid
from face_server.engine.lanes import Lanes
from face_server.engine.session import choose_device
from face_server.engine.width import cores, usual_width
from face_server.faces.access import Access
from face_server.faces.following import Follower, followed
from face_server.faces.limits import AppLimits
from face_server.faces.service import FaceService
from face_server.housekeeping import Memory, kept_in_order
from face_server.index.gallery import Hit
from face_server.index.registry import Registry
from face_server.index.room import half_of_the_memory
from face_server.index.shelves import shelf_of
from face_server.licence import seat as licence
from face_server.ops import console, docs, guide
from face_server.ops.context import Ending, RequestScope
from face_server.ops.direct import Direct, Handler, handlers
from face_server.ops.health import Probes
from face_server.ops.logging import RequestLog
from face_server.ops.metrics import Metrics
from face_server.ops.proxies import Proxies
from face_server.ops.serving import is_public
from face_server.settings import Settings
from face_server.store.blobs import Blobs
from face_server.store.choice import tokens_at
from face_server.store.keyring import refuse_early
from face_server.store.occupied import first_to_serve, occupied
from face_server.store.rows import Quota
from face_server.store.sealed_tokens import SealedTokens
from face_server.store.sealing import Sealer
from face_server.store.store import Store
from face_server.vision.local import LocalVision
from face_server.vision.opened import Opened
from face_server.vision.packs import find_pack

if TYPE_CHECKING:  # most servers have no Redis, and its client takes a while to load
    from face_server.bus.remote import RemoteVision

MB = 2**20
LANES_BESIDE_WORKERS = 2  # for searches, and for cutting pictures

DIALECTS = (baidu, baidu_cloud, cloudwalk, enn, facebox, sid)

Hits = list[list[Hit]]

log = logging.getLogger(__name__)


class Parts:
    """Everything a running server consists of; made on start, closed in the opposite order on stop."""

    vision: LocalVision | RemoteVision
    registry: Registry

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.stories = Stories()
        self.device = "workers" if settings.redis else choose_device(settings.device)
        self.max_batch, usual = usual_width(self.device, settings.max_batch)
        usual = min(LANES_BESIDE_WORKERS, cores()) if settings.redis else usual
        self.lanes = Lanes(settings.lanes or usual, queue_bytes=settings.queue_mb * MB, meter=self.metrics)
        self.models: Opened | None = None  # None: the workers have them
        self.remote: RemoteVision | None = None
        sealer = Sealer.of(settings.key_file)
        if isinstance(settings.database, Path):
            refuse_early(settings.database, sealer)
        self.pack = find_pack(settings.pack, settings.models_dir or settings.data_dir / "models")
        self.store = Store(
            settings.database,
            Quota(settings.groups_per_app, settings.faces_per_app, settings.faces_per_group),
            settings.database_connections,
            sealer,
            present=True,
        )
        self.tokens = tokens_at(settings.data_dir, settings.redis, settings.token_minutes, settings.token_cache_mb)
        self.sealer = sealer
        self.blobs = Blobs(settings.data_dir / "pictures", self.store if self.sealer.active else None)
        self.access = Access(self.store.access, enforced=settings.auth == "apps")
        self.limits = AppLimits(self.store.limits)
        self.open = False

    @asynccontextmanager
    async def working(self) -> AsyncIterator[FaceService]:
        """Library and models, without what one process alone may do: for commands, also beside a running server."""
        async with AsyncExitStack() as stack:
            stack.enter_context(occupied(self.settings.data_dir))
            self.lanes.start()
            stack.callback(self.lanes.close)
            stack.push_async_callback(self.store.close)
            look = self._remote_vision if self.settings.redis else self._local_vision
            _, self.vision = await asyncio.gather(self.store.open(), look(stack))
            await self.access.open()
            stack.push_async_callback(self.access.close)
            await self.limits.read()
            followers: list[Follower] = [self.access, self.limits] if self.access.enforced else [self.limits]
            await stack.enter_async_context(followed(self.store.access.version, followers))
            self.registry = self._registry()
            self.store.follow(self.registry.heard)
            stack.push_async_callback(self.registry.close)
            yield FaceService(
                self.vision,
                self.registry,
                self.store,
                SealedTokens(self.tokens, self.sealer) if self.sealer.active else self.tokens,
                self.blobs,
                self.lanes,
                self.settings,
                self.access,
                self.limits,
            )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaceService]:
        # What still runs for an app that is being deleted must not make it again.
        self.store.creates_apps = not self.access.enforced
        async with self.working() as service, AsyncExitStack() as stack:
            memory = Memory(self.settings.audit_days, self.settings.job_days)
            if not stack.enter_context(first_to_serve(self.settings.data_dir)):
                log.info("another server is at work in this data folder too: both see what either writes")
            await asyncio.to_thread(self.tokens.open)
            stack.callback(self.tokens.close)
            await stack.enter_async_context(kept_in_order(self.store, self.registry, self.blobs, memory))
            beside = figures.around(self)
            await stack.enter_async_context(beside.watched())
            figures.tell(self, beside)
            self.open = True
            yield service
            self.open = False

    def _registry(self) -> Registry:
        async def scan(work: Callable[[], Hits]) -> Hits:
            return await self.lanes.submit(work, urgent=True)

        info, memory = self.vision.info, self.settings.gallery_mb * MB or half_of_the_memory()
        shelf = shelf_of(self.settings, self.device, info.embedding_id, info.dimensions, self.sealer)
        return Registry(self.store.index_rows, scan, info.dimensions, shelf, memory)

    async def _local_vision(self, stack: AsyncExitStack) -> LocalVision:
        settings = self.settings
        seat = licence.seat_of(settings.licence_url, settings.licence_public_key, settings.licence_grace_minutes)
        if seat is not None:
            await asyncio.to_thread(seat.start)
            stack.push_async_callback(asyncio.to_thread, seat.stop)
        self.models = await asyncio.to_thread(
            Opened,
            self.pack,
            self.device,
            max_batch=self.max_batch,
            max_pixels=settings.max_picture_pixels,
            meter=self.metrics,
            permit=seat.permit if seat else None,
        )
        return LocalVision(self.models.analyzer, self.lanes, self.models.info)

    async def _remote_vision(self, stack: AsyncExitStack) -> RemoteVision:
        from face_server.bus import link, wire
        from face_server.bus.remote import RemoteVision
        from face_server.vision import offline, opened

        url, digest = self.settings.redis, wire.digest(self.pack)
        info = await link.learn(url, digest)
        if info is None:  # before the first worker: the models are asked once and let go
            info = await asyncio.to_thread(lambda: opened.info(self.pack, offline.analyzer(self.pack)))
        self.remote = vision = RemoteVision(
            url, digest, info, queue_bytes=self.settings.queue_mb * MB, meter=self.metrics
        )
        stack.push_async_callback(vision.close)
        await vision.start()
        return vision

    def tell(self, listener: socket.socket) -> None:
        """What an operator wants to see at the start."""
        host, port = listener.getsockname()[:2]
        log.info("ready", extra={"address": f"http://{host}:{port}", "pack": self.pack.name, "device": self.device})
        if self.settings.auth == "open" and is_public(host):
            log.warning("anybody who reaches this address may use it: authorization is open", extra={"address": host})

    def deployment(self, service: FaceService) -> Deployment:
        """What the admin API tells and changes."""
        return Deployment(
            service,
            self.store,
            self.blobs,
            self.vision.analyze,
            self.settings,
            Sources(self.metrics.registry, self.stories, self.store),
            self.pack,
            self.device,
            [dialect.__name__.rsplit(".", 1)[-1] for dialect in DIALECTS],
            public=is_public(self.settings.host),
        )

    @property
    def ready(self) -> bool:
        return self.open and self.store.reachable and self.lanes.ready and self.models_ready

    @property
    def models_ready(self) -> bool:
        """Here, or in a worker."""
        return self.models.ready if self.models else self.open and self.vision.ready

    async def admit(self) -> None:
        """Raise now what a picture would be refused with later."""
        await (self.remote or self.lanes).admit()

    def drain(self) -> None:
        """Refuse what waits."""
        self.lanes.close()
        if self.remote:
            self.remote.drain()


def create_app(settings: Settings) -> FastAPI:
    parts = Parts(settings)
    short_ways: dict[tuple[str, str], Handler] = {}
    requests = RequestLog()

    def ended(ending: Ending) -> None:
        parts.metrics.ended(ending)
        parts.stories.ended(ending.request, ending.path, ending.status, ending.seconds)
        requests.ended(ending)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with parts.running() as service, AsyncExitStack() as stack:
            routes = [route for dialect in DIALECTS for route in dialect.router(service, settings)]
            app.router.routes.extend(routes)
            short_ways.update(handlers(routes))
            admin = await stack.enter_async_context(Admin(parts.deployment(service)).working())
            app.router.routes.extend(admin)
            yield

    checks = {
        "store": lambda: parts.open and parts.store.reachable,
        "lanes": lambda: parts.lanes.ready,
        "models": lambda: parts.models_ready,
    }
    app = FastAPI(
        title="face-server",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
        middleware=[
            Middleware(Probes, checks=checks, page=parts.metrics.page),
            Middleware(
                RequestScope,
                deadline_seconds=settings.deadline_ms / 1000,
                ended=ended,
                admit=parts.admit,
                proxies=Proxies(settings.trusted_proxies),
            ),
            Middleware(Direct, handlers=short_ways),
        ],
    )
    app.router.routes.extend([*docs.routes, *guide.routes, *console.routes])
    app.state.parts = parts
    return app
