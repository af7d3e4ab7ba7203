"""What the parts of FaceService work with, and the steps they have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from face_server.errors import OtherModel
from face_server.faces.keeping import Keeping
from face_server.faces.limits import AppLimits
from face_server.faces.looking import Looking
from face_server.index.registry import Registry
from face_server.settings import Settings
from face_server.store.blobs import Blobs
from face_server.store.rows import GroupRef, Removed
from face_server.store.store import Store
from face_server.vision.protocol import VisionInfo


@dataclass(frozen=True, slots=True)
class Tools:
    looking: Looking
    keeping: Keeping
    store: Store
    registry: Registry
    blobs: Blobs
    limits: AppLimits
    info: VisionInfo
    settings: Settings

    async def removed(self, removed: Removed) -> None:
        """From the index as well, and the pictures that no row names any more."""
        await self.registry.applied(removed.write)
        await self.blobs.remove(removed.pictures)

    def refuse_other_model(self, groups: Iterable[GroupRef]) -> None:
        """Templates of two models have nothing to say to each other. An app without a face has no model yet."""
        for group in groups:
            if group.embedding_id not in ("", self.info.embedding_id):
                raise OtherModel(f"the app's templates are of model {group.embedding_id}")
