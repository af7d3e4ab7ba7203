"""Where galleries lie, as the settings have it: in this process with files beside it, or in Milvus."""

from __future__ import annotations

import logging

from face_server.index.choice import choose
from face_server.index.protocol import Shelf
from face_server.index.snapshots import Snapshots
from face_server.settings import Settings
from face_server.store.sealed_galleries import GallerySeals
from face_server.store.sealing import Sealer

log = logging.getLogger(__name__)


def shelf_of(settings: Settings, device: str, embedding_id: str, dimensions: int, sealer: Sealer) -> Shelf:
    if settings.index == "milvus":
        return _in_milvus(settings, embedding_id, dimensions)
    chosen = choose(settings.gallery_engine, device, dimensions, settings.gallery_card_mb)
    log.info("galleries", extra={"engine": chosen.engine, "reason": chosen.why})
    folder = settings.data_dir / "galleries"
    return Snapshots(folder, embedding_id, dimensions, chosen.shortlists, GallerySeals(sealer))


def _in_milvus(settings: Settings, embedding_id: str, dimensions: int) -> Shelf:
    if settings.key_file:
        raise ValueError("FACE_INDEX=milvus keeps templates unsealed, which FACE_KEY_FILE forbids")
    from face_server.index.milvus import open_shelf  # an extra

    return open_shelf(
        settings.milvus_url,
        settings.milvus_token.get_secret_value(),
        embedding_id,
        dimensions,
        settings.milvus_index,
        settings.milvus_partitions,
    )
