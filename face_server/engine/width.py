"""How much a process does at once, unless somebody says otherwise."""

from __future__ import annotations

import os

GPU_BATCH = 32


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usual_width(device: str, max_batch: int) -> tuple[int, int]:
    """The largest batch, and the number of lanes."""
    max_batch = max_batch or (1 if device == "cpu" else GPU_BATCH)
    # In front of a GPU most lanes wait for a batch, so it takes more of them than cores to fill one.
    return max_batch, cores() if device == "cpu" else max(2 * cores(), max_batch)
