"""What searches large galleries, and why that."""

from __future__ import annotations

from collections.abc import Iterator

from face_server.checks.finding import Finding, note, ok, wrong
from face_server.engine import session
from face_server.index.choice import choose
from face_server.settings import Settings

DIMENSIONS = 512  # of the known search that is tried; the engines do not depend on it
ENGINES = {"graph": "ONNX graphs", "faiss": "Faiss", "cpu": "two stages of Faiss on the CPU"}


def findings(settings: Settings) -> Iterator[Finding]:
    what = "search"
    if settings.index == "milvus":
        yield ok(what, "galleries are in Milvus: FACE_INDEX says so")
        return
    try:
        device = "workers" if settings.redis else session.choose_device(settings.device)
        chosen = choose(settings.gallery_engine, device, DIMENSIONS, settings.gallery_card_mb)
    except ValueError as error:
        yield wrong(what, str(error), "FACE_GALLERY_ENGINE=auto takes what can be used")
        return
    said = f"large galleries: {ENGINES[chosen.engine]}, {chosen.why}"
    if chosen.engine == "cpu" and device.startswith("cuda") and settings.gallery_engine == "auto":
        yield note(what, said, "mend what is wrong above, then this")
    else:
        yield ok(what, said)
