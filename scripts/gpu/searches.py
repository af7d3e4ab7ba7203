"""How fast each engine searches galleries of a million faces and more, and whether it finds what NumPy finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from face_server.engine import driver as nvidia
from face_server.index import appended, choice
from face_server.index.card import CardForLarge, Device
from face_server.index.codes import CodesForLarge
from face_server.index.gallery import LocalGallery
from face_server.index.shortlist import Place, Shortlists

PART = 65_536
NEAREST = 10
ASKED = 64
ENGINES = ("graph", "Faiss", "two stages")
Row = dict[str, Any]
Halves = NDArray[np.float16]
Floats = NDArray[np.float32]


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def faces_of(count: int, dimensions: int) -> Halves:
    """Templates of strangers, as they are stored."""
    rng = np.random.default_rng(11)
    rows = np.empty((count, dimensions), np.float16)
    for start in range(0, count, PART):
        part = rows[start : start + PART]
        part[:] = unit(rng.standard_normal(part.shape, dtype=np.float32))
    return rows


def queries_of(rows: Halves) -> Floats:
    """Other pictures of some of them: at a cosine of about 0.55."""
    rng = np.random.default_rng(12)
    chosen = rows[rng.integers(len(rows), size=ASKED)].astype(np.float32)
    return unit(chosen + 1.5 * unit(rng.standard_normal(chosen.shape, dtype=np.float32)))


def exact(rows: Halves, queries: Floats, k: int = NEAREST) -> NDArray[np.int64]:
    """The nearest rows by NumPy in full precision."""
    best = np.full((len(queries), k), -2.0, np.float32)
    where = np.full((len(queries), k), -1, np.int64)
    for start in range(0, len(rows), PART):
        scores = queries @ rows[start : start + PART].astype(np.float32).T
        near = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
        both = np.concatenate([best, np.take_along_axis(scores, near, axis=1)], axis=1)
        rows_of = np.concatenate([where, near + start], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :k]
        best, where = np.take_along_axis(both, order, axis=1), np.take_along_axis(rows_of, order, axis=1)
    return where


def engines(device: str, dimensions: int, megabytes: int) -> Iterator[tuple[str, Shortlists | str]]:
    """By name; a text says why one cannot be measured here."""
    yield f"graph, {device}", CardForLarge(Device(device, dimensions, megabytes), 1)
    number = int(device.partition(":")[2] or 0)
    reason = choice.unfit(faiss, nvidia.driver(), number) if device != "cpu" else "no card"
    if reason:
        yield "Faiss, card", reason
    else:
        place: Place = appended.Place(appended.on_card(number, dimensions), dimensions, megabytes)
        yield "Faiss, card", CardForLarge(place, 1)
    yield "two stages, CPU", CodesForLarge(1)


def rate(work: Callable[[Floats], object], queries: Floats, batch: int, seconds: float) -> tuple[float, float]:
    """Searches a second, and milliseconds of one call, of one thread."""
    work(queries[:batch])
    times: list[float] = []
    while sum(times) < seconds:
        start = len(times) * batch % len(queries)
        asked = np.take(queries, range(start, start + batch), axis=0, mode="wrap")
        begun = time.perf_counter()
        work(asked)
        times.append(time.perf_counter() - begun)
    middle = float(np.median(times))
    return batch / middle, middle * 1000


def measure(
    count: int, dimensions: int, device: str, batches: Sequence[int], seconds: float, only: Sequence[str] = ENGINES
) -> Iterator[Row]:
    rows = faces_of(count, dimensions)
    queries = queries_of(rows)
    about = {"faces": count, "dimensions": dimensions}
    begun = time.perf_counter()
    right = exact(rows, queries)
    spent = time.perf_counter() - begun
    yield about | {"engine": "exact, NumPy", "batch": ASKED, "qps": ASKED / spent, "ms": spent * 1000, "same": 1.0}
    ids = np.arange(count)
    for name, shortlists in engines(device, dimensions, megabytes=2 * count * dimensions * 2 // 2**20 + 64):
        if name.partition(",")[0] not in only:
            continue
        if isinstance(shortlists, str):
            yield about | {"engine": name, "missing": shortlists}
            continue
        gallery = LocalGallery(1, 0, rows, ids.copy(), ids.copy(), shortlists)
        begun = time.perf_counter()
        gallery.tidy(lambda: False)
        made = time.perf_counter() - begun
        found = [[hit.face_id for hit in hits] for hits in gallery.search(queries, NEAREST)]
        same = float(np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(found, right.tolist(), strict=True)]))
        first = float(np.mean([a[0] == b[0] for a, b in zip(found, right.tolist(), strict=True)]))
        for batch in batches:
            qps, ms = rate(lambda asked, of=gallery: of.search(asked, 1), queries, batch, seconds)  # type: ignore[misc]
            yield about | {
                "engine": name,
                "batch": batch,
                "qps": qps,
                "ms": ms,
                "same": same,
                "first": first,
                "made_s": made,
            }
        del gallery
