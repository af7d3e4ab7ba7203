"""The figures of a server, as the console and `face-server top` read them."""

from __future__ import annotations

from pydantic import BaseModel


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
    id: int  # what /metrics calls it
    app: str
    group: str
    faces: int
    bytes: int


class Galleries(BaseModel):
    """All that are in memory."""

    count: int
    faces: int
    bytes: int
    evictions: int


class Memory(BaseModel):
    resident_bytes: int | None


class Disk(BaseModel):
    """null: not known, say because the disk or the database does not answer."""

    total_bytes: int | None
    free_bytes: int | None
    database_bytes: int | None


class Database(BaseModel):
    kind: str
    up: bool


class Gpu(BaseModel):
    device: str
    name: str
    memory_bytes: int
    used_bytes: int
    busy: float | None  # share of the time; null: the driver does not tell


class Workers(BaseModel):
    """Where pictures are looked at by workers."""

    redis: bool
    count: int
    lanes: int
    waiting: int
    away: int


class Licence(BaseModel):
    """Of the authorization service. null: it does not answer."""

    up: bool
    seats: int | None
    taken: int | None


class Server(BaseModel):
    uptime: float | None
    ready: bool
    lanes: LaneFigures
    requests: list[Count]
    gone: list[Gone]
    latency: list[Latency]
    stages: list[StageTimes]
    queue_wait: Times
    refused: list[Refusals]
    batches: list[Batches]
    galleries: list[GalleryFigures]  # the largest
    all_galleries: Galleries
    memory: Memory
    disk: Disk
    database: Database
    gpus: list[Gpu]
    workers: Workers | None
    licence: Licence | None
