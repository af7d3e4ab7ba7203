"""The whole server under load, and how busy the card is meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from face_server.vision.offline import analyzer
from face_server.vision.packs import find_pack
from scripts.gpu.card import Watch
from scripts.load import dialects, gallery, photos
from scripts.load.server import serving
from scripts.qps import sweep

FACES = 10_000
TARGET = dialects.Target(gallery.APP, gallery.GROUP)
Row = dict[str, Any]


def measure(name: str, pack: str, device: str, clients: Sequence[int], seconds: float) -> Iterator[Row]:
    """`pack`: a name or a folder."""
    found = find_pack(pack, Path("data/models"))
    dimensions = analyzer(found, ("detect", "embed")).dimensions
    pictures = photos.of_size("640x480")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        gallery.fill(data / "faces.db", FACES, dimensions, found.embedding_id)
        with serving(data, pack=pack, device=device, deadline_ms=60_000) as server:
            for interface in ("detect", "identify"):
                for count in clients:
                    with Watch(device) as watch:
                        load = [(count, None)]
                        (row,) = sweep(
                            server.url,
                            "baidu",
                            interface,
                            TARGET,
                            pictures,
                            load,
                            seconds,
                            1.0,
                            timeout=60,
                            processes=1,
                        )
                    yield {
                        "pack": name,
                        "interface": interface,
                        "clients": count,
                        "qps": row.qps,
                        "p50": row.p50,
                        "p99": row.p99,
                        "errors": sum(row.errors.values()),
                        **watch.said,
                    }
