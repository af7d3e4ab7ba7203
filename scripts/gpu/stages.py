"""What each step of a picture's way does in a second, by itself: decoding, and every network of a pack by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from face_server.engine.session import SessionModel, half_precision, open_session, sample
from face_server.vision.images import decode
from face_server.vision.packs import Pack
from scripts.load import photos

Row = dict[str, Any]
SLOWEST = 4.0  # seconds: a batch that takes longer is the last one
PIXELS = 24_000_000


def rate(work: Callable[[], object], seconds: float) -> tuple[float, float]:
    """Calls a second by the median call, and the seconds of the first one."""
    begun = time.perf_counter()
    work()
    first = time.perf_counter() - begun
    times: list[float] = []
    while sum(times) < seconds:
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return 1 / float(np.median(times)), first


def decoding(seconds: float) -> Iterator[Row]:
    """On one core; there is no decoder on the card."""
    for size in photos.SIZES:
        pictures = iter(photos.of_size(size) * 10_000)
        a_second, _ = rate(lambda left=pictures: decode(next(left), PIXELS), seconds)  # type: ignore[misc]
        yield {"stage": "decode", "what": f"JPEG {size}", "batch": 1, "qps": a_second}


def names(pack: Pack) -> dict[Path, str]:
    """Of each network: the roles that it has."""
    roles: dict[Path, str] = {}
    for name, role in pack.roles.items():
        for file in role.files:
            roles[file] = f"{roles[file]}, {name}" if file in roles else name
    return roles


def networks(pack: Pack, device: str, batches: Sequence[int], seconds: float) -> Iterator[Row]:
    """One thread on a CPU, as a lane is; on a card in single and in half precision."""
    for file, stage in names(pack).items():
        data = file.read_bytes()
        yield from _network(data, stage, "32 bit", device, batches, seconds)
        if device != "cpu":
            yield from _network(half_precision(data), stage, "16 bit", device, batches, seconds)


def _network(data: bytes, stage: str, what: str, device: str, batches: Sequence[int], seconds: float) -> Iterator[Row]:
    session = open_session(data, device)
    model, one = SessionModel(session, device), sample(session)
    for batch in batches:
        asked = {name: np.repeat(array, batch, axis=0) for name, array in one.items()}
        a_second, first = rate(lambda of=asked: model.run(of), seconds)  # type: ignore[misc]
        yield {"stage": stage, "what": what, "batch": batch, "qps": batch * a_second}
        if max(1 / a_second, first / 2) > SLOWEST / 4:
            return
