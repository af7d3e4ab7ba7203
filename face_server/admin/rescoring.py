"""What another score would have done: faces that are enrolled, looked for among the others of their group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from face_server.admin.tidying import Group, read
from face_server.faces.gates import Limits
from face_server.faces.scoring import Scorer
from face_server.faces.service import FaceService
from face_server.store.rows import GroupRef
from face_server.store.store import Store
from face_server.store.work import Cells

MISSED, MISTAKEN = "missed", "mistaken"
USUAL = 80.0  # what the vendors advise, and most have where an app has no score of its own
SAMPLE = 2000  # faces of a group, evenly spread: to look for each of a large group would take hours
AT_ONCE = 100  # of them; between two parts the job can be cancelled

Floats = NDArray[np.float32]


async def rescored(
    service: FaceService, store: Store, groups: Sequence[GroupRef], limits: Sequence[Limits]
) -> list[Cells]:
    """For each score that was set, and each of the limits: how many faces would not have found their own person by
    another face of it, and how many would have found somebody else."""
    scores = {"search": [one.search for one in limits], "compare": [one.compare for one in limits]}
    asked = {name: found for name, found in scores.items() if any(score is not None for score in found)}
    info = service.info
    if not asked or not groups or not info.calibration:
        return []
    scorer = Scorer(info.calibration)
    parts = [await _nearest(await store.index_rows.gallery(group, read, info.embedding_id)) for group in groups]
    own, other = (np.concatenate([np.empty(0, np.float32), *some]) for some in zip(*parts, strict=True))
    rows: list[Cells] = []
    for name, found in asked.items():
        least = [scorer.cosine(USUAL if score is None else score) for score in found]
        missed = [int((np.isfinite(own) & (own < cosine)).sum()) for cosine in least]
        mistaken = [int((np.isfinite(other) & (other >= cosine)).sum()) for cosine in least]
        for what, seen, (now, *then) in ((MISSED, own, missed), (MISTAKEN, other, mistaken)):
            judged = int(np.isfinite(seen).sum())
            rows.append([name, what, now, judged, len(seen) - judged, *then])
    return rows


async def _nearest(group: Group) -> tuple[Floats, Floats]:
    """Of faces of the group the cosine to the nearest other one of the same user, and to the nearest of any other."""
    count = len(group.faces)
    chosen = np.arange(0, count, max(1, count // SAMPLE))
    own, other = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for start in range(0, len(chosen), AT_ONCE):
        mine, theirs = await asyncio.to_thread(_compared, group, chosen[start : start + AT_ONCE])
        own.append(mine)
        other.append(theirs)
    return np.concatenate(own), np.concatenate(other)


def _compared(group: Group, chosen: NDArray[np.intp]) -> tuple[Floats, Floats]:
    cosines = group.vectors[chosen] @ group.vectors.T
    cosines[np.arange(len(chosen)), chosen] = -np.inf
    same = group.users[None] == group.users[chosen, None]
    return np.where(same, cosines, -np.inf).max(axis=1), np.where(same, -np.inf, cosines).max(axis=1)
