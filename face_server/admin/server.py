"""How the server does: the figures of /metrics as JSON, the last failures, and the story of one request."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Path
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample
from pydantic import BaseModel, ConfigDict

from face_server.admin.failures import Refusal
from face_server.admin.figures import (
    Batches,
    Count,
    Database,
    Disk,
    Galleries,
    GalleryFigures,
    Gone,
    Gpu,
    LaneFigures,
    Latency,
    Licence,
    Memory,
    Refusals,
    Server,
    Size,
    StageTimes,
    Times,
    Workers,
)
from face_server.admin.paging import LIMIT, Cursor, Limit, Page, number_after, page
from face_server.admin.stories import Stories
from face_server.admin.stories import Story as Told
from face_server.store.store import Store


class Story(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    log_id: int
    time: float
    dialect: str
    interface: str
    path: str
    code: str
    status: int
    milliseconds: float
    gone: bool
    failed: bool
    stages: dict[str, float]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from."""

    metrics: CollectorRegistry
    stories: Stories
    store: Store


class Figures:
    """Reads what /metrics has and nothing else: so both always say the same."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    async def server(self) -> Server:
        """How busy the server is and has been since its start."""
        samples = _samples(self._sources.metrics)
        begun = _number(samples, "process_start_time_seconds")
        return Server(
            uptime=None if begun is None else round(max(0.0, time.time() - begun), 1),
            ready=bool(_count(samples, "face_ready")),
            lanes=_lanes(samples),
            requests=[Count(**s.labels, count=int(s.value)) for s in samples["face_requests_total"]],
            gone=[Gone(**s.labels, count=int(s.value)) for s in samples["face_requests_gone_total"]],
            latency=[
                Latency(dialect=labels["dialect"], interface=labels["interface"], **times.model_dump())
                for labels, times in _times(samples, "face_request_seconds")
            ],
            stages=[
                StageTimes(stage=labels["stage"], **times.model_dump())
                for labels, times in _times(samples, "face_stage_seconds")
            ],
            queue_wait=next((times for _, times in _times(samples, "face_queue_wait_seconds")), _NO_TIMES),
            refused=[Refusals(**s.labels, count=int(s.value)) for s in samples["face_work_refused_total"]],
            batches=_batches(samples),
            galleries=await self._galleries(samples),
            all_galleries=_all_galleries(samples),
            memory=Memory(resident_bytes=_whole(samples, "process_resident_memory_bytes")),
            disk=_disk(samples),
            database=Database(kind=self._sources.store.kind, up=bool(_count(samples, "face_database_up"))),
            gpus=_gpus(samples),
            workers=_workers(samples),
            licence=_licence(samples),
        )

    async def errors(self, cursor: Cursor = None, limit: Limit = LIMIT) -> Page[Story]:
        """The last requests that failed, newest first."""
        rows = self._sources.stories.errors(number_after(cursor), limit + 1)
        found, after = page(rows, limit, lambda story: story.log_id)
        return Page(items=[_story(one) for one in found], next=after)

    async def story(self, log_id: Annotated[int, Path(ge=0)]) -> Story:
        """What became of the request with this log_id, while it is remembered."""
        found = self._sources.stories.get(log_id)
        if found is None:
            raise Refusal(404, "log_missing", "This log_id is not among the last requests.", "log_id")
        return _story(found)

    async def _galleries(self, samples: Samples) -> list[GalleryFigures]:
        sizes = {int(s.labels["gallery"]): int(s.value) for s in samples["face_largest_gallery_bytes"]}
        faces = {int(s.labels["gallery"]): int(s.value) for s in samples["face_largest_gallery_faces"]}
        names = await self._sources.store.pages.group_names(list(sizes))
        return [
            GalleryFigures(id=group, app=names[group][0], group=names[group][1], faces=faces[group], bytes=size)
            for group, size in sizes.items()
            if group in names
        ]


_NO_TIMES = Times(count=0, mean=None, p50=None, p95=None, p99=None)

Samples = defaultdict[str, list[Sample]]


def _story(told: Told) -> Story:
    return Story.model_validate(told)


def _samples(registry: CollectorRegistry) -> Samples:
    found: Samples = defaultdict(list)
    for metric in registry.collect():
        for sample in metric.samples:
            found[sample.name].append(sample)
    return found


def _number(samples: Samples, name: str) -> float | None:
    return samples[name][0].value if samples[name] else None


def _whole(samples: Samples, name: str) -> int | None:
    found = _number(samples, name)
    return None if found is None else int(found)


def _count(samples: Samples, name: str) -> int:
    """Of what is always there, and with several labels the sum."""
    return int(sum(sample.value for sample in samples[name]))


def _lanes(samples: Samples) -> LaneFigures:
    return LaneFigures(
        count=_count(samples, "face_lanes"),
        alive=_count(samples, "face_lanes_alive"),
        queue=_count(samples, "face_queue_length"),
        restarts=_count(samples, "face_lane_restarts_total"),
    )


def _all_galleries(samples: Samples) -> Galleries:
    return Galleries(
        count=_count(samples, "face_galleries"),
        faces=_count(samples, "face_gallery_faces"),
        bytes=_count(samples, "face_gallery_bytes"),
        evictions=_count(samples, "face_gallery_evictions"),
    )


def _disk(samples: Samples) -> Disk:
    return Disk(
        total_bytes=_whole(samples, "face_disk_bytes"),
        free_bytes=_whole(samples, "face_disk_free_bytes"),
        database_bytes=_whole(samples, "face_database_bytes"),
    )


def _gpus(samples: Samples) -> list[Gpu]:
    used = {s.labels["device"]: int(s.value) for s in samples["face_gpu_memory_used_bytes"]}
    busy = {s.labels["device"]: s.value for s in samples["face_gpu_busy_ratio"]}
    return [
        Gpu(**s.labels, memory_bytes=int(s.value), used_bytes=used[device], busy=busy.get(device))
        for s in samples["face_gpu_memory_bytes"]
        for device in [s.labels["device"]]
    ]


def _workers(samples: Samples) -> Workers | None:
    if not samples["face_workers"]:
        return None
    return Workers(
        redis=bool(_count(samples, "face_redis_up")),
        count=_count(samples, "face_workers"),
        lanes=_count(samples, "face_worker_lanes"),
        waiting=_count(samples, "face_bus_waiting"),
        away=_count(samples, "face_bus_away"),
    )


def _licence(samples: Samples) -> Licence | None:
    up = _number(samples, "face_licence_up")
    if up is None:
        return None
    seats, taken = (_whole(samples, f"face_licence_{name}") for name in ("seats", "seats_taken"))
    return Licence(up=bool(up), seats=seats, taken=taken)


def _times(samples: Samples, name: str) -> Iterable[tuple[dict[str, str], Times]]:
    for total in samples[f"{name}_count"]:
        count = int(total.value)
        if not count:
            continue
        (seconds,) = [s.value for s in samples[f"{name}_sum"] if s.labels == total.labels]
        steps = _steps(samples, name, total.labels)
        p50, p95, p99 = (round(_percentile(steps, share) * 1000, 2) for share in (0.5, 0.95, 0.99))
        mean = round(seconds / count * 1000, 2)
        yield total.labels, Times(count=count, mean=mean, p50=p50, p95=p95, p99=p99)


def _steps(samples: Samples, name: str, labels: dict[str, str]) -> list[tuple[float, int]]:
    """Upper ends of the buckets, and how many lie below each."""
    steps = []
    for sample in samples[f"{name}_bucket"]:
        end = sample.labels["le"]
        if {key: value for key, value in sample.labels.items() if key != "le"} == labels:
            steps.append((float(end), int(sample.value)))
    return sorted(steps)


def _percentile(steps: Sequence[tuple[float, int]], share: float) -> float:
    """Linear inside the bucket; of the last one, which has no end, its beginning."""
    wanted = share * steps[-1][1]
    low, below = 0.0, 0
    for end, count in steps:
        if count >= wanted:
            if end == float("inf"):
                return low
            return low + (end - low) * (wanted - below) / max(1, count - below)
        low, below = end, count
    return low


def _batches(samples: Samples) -> list[Batches]:
    name, found = "face_model_batch_size", []
    for total in samples[f"{name}_count"]:
        (rows,) = [s.value for s in samples[f"{name}_sum"] if s.labels == total.labels]
        sizes, below = [], 0
        for end, count in _steps(samples, name, total.labels):
            if count > below:
                sizes.append(Size(most=None if end == float("inf") else end, count=count - below))
            below = count
        executions = int(total.value)
        mean = round(rows / executions, 2) if executions else None
        model = total.labels["model"]
        found.append(Batches(model=model, executions=executions, rows=int(rows), mean=mean, sizes=sizes))
    return found
