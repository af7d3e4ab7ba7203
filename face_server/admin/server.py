"""How the server does: the figures of /metrics as JSON, the last failures, and the story of one request."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Annotated, Protocol

from fastapi import Path
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool

from face_server.admin.failures import Refusal
from face_server.admin.paging import LIMIT, Cursor, Limit, Page, number_after, page
from face_server.admin.stories import Stories
from face_server.admin.stories import Story as Told
from face_server.store.store import Store


class Count(BaseModel):
    dialect: str
    interface: str
    code: str
    count: int


class Gone(BaseModel):
    dialect: str
    interface: str
    count: int


class Times(BaseModel):
    """Milliseconds. Percentiles are read from the buckets of the histogram."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Latency(Times):
    dialect: str
    interface: str


class StageTimes(Times):
    stage: str


class Refusals(BaseModel):
    reason: str
    count: int


class Size(BaseModel):
    most: float | None  # rows; null: more than any other
    count: int


class Batches(BaseModel):
    model: str
    executions: int
    rows: int
    mean: float | None
    sizes: list[Size]


class LaneFigures(BaseModel):
    count: int
    alive: int
    queue: int
    restarts: int


class GalleryFigures(BaseModel):
    app: str
    group: str
    faces: int
    bytes: int


class Memory(BaseModel):
    resident_bytes: int | None


class Disk(BaseModel):
    total_bytes: int
    free_bytes: int
    database_bytes: int


class Server(BaseModel):
    uptime: float
    ready: bool
    lanes: LaneFigures
    requests: list[Count]
    gone: list[Gone]
    latency: list[Latency]
    stages: list[StageTimes]
    queue_wait: Times
    refused: list[Refusals]
    batches: list[Batches]
    galleries: list[GalleryFigures]
    memory: Memory
    disk: Disk


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


class Lanes(Protocol):
    """What is asked of the engine."""

    count: int
    restarts: int

    @property
    def alive(self) -> int: ...

    @property
    def length(self) -> int: ...


class Loaded(Protocol):
    """A gallery in memory."""

    group_id: int

    def __len__(self) -> int: ...

    @property
    def memory(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the figures come from."""

    metrics: CollectorRegistry
    stories: Stories
    lanes: Lanes
    galleries: Callable[[], Sequence[Loaded]]
    store: Store
    data_dir: File
    ready: Callable[[], bool]


class Figures:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._begun = time.monotonic()

    async def server(self) -> Server:
        """How busy the server is and has been since its start."""
        sources = self._sources
        samples = _samples(sources.metrics)
        lanes = sources.lanes
        resident = [sample.value for sample in samples["process_resident_memory_bytes"]]
        return Server(
            uptime=round(time.monotonic() - self._begun, 1),
            ready=sources.ready(),
            lanes=LaneFigures(count=lanes.count, alive=lanes.alive, queue=lanes.length, restarts=lanes.restarts),
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
            galleries=await self._galleries(),
            memory=Memory(resident_bytes=int(resident[0]) if resident else None),
            disk=await run_in_threadpool(self._disk),
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

    async def _galleries(self) -> list[GalleryFigures]:
        loaded = self._sources.galleries()
        names = await self._sources.store.pages.group_names([gallery.group_id for gallery in loaded])
        return [
            GalleryFigures(app=app, group=group, faces=len(gallery), bytes=gallery.memory)
            for gallery in loaded
            if (named := names.get(gallery.group_id)) is not None
            for app, group in [named]
        ]

    def _disk(self) -> Disk:
        folder = self._sources.data_dir
        usage = shutil.disk_usage(folder)
        files = sum(path.stat().st_size for path in folder.glob("faces.db*"))
        return Disk(total_bytes=usage.total, free_bytes=usage.free, database_bytes=files)


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
