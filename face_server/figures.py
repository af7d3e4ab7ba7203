"""The figures of a server that are read when somebody asks for them, and what is looked up for them beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from face_server.licence import seat as licence
from face_server.ops import surroundings
from face_server.ops.card import Card
from face_server.ops.gauges import galleries
from face_server.ops.surroundings import Surroundings

if TYPE_CHECKING:
    from face_server.app import Parts


def around(parts: Parts) -> Surroundings:
    settings = parts.settings
    looks = [surroundings.disk(settings.data_dir), surroundings.database(parts.store.size)]
    if parts.device.startswith("cuda"):
        looks.append(surroundings.card(Card(parts.device).figures))
    if settings.licence_url:
        looks.append(surroundings.licence(lambda: licence.seats(settings.licence_url)))
    return Surroundings(looks)


def tell(parts: Parts, beside: Surroundings) -> None:
    gauge, now = parts.metrics.gauge, parts.metrics.now
    gauge("face_ready", "A face request could be answered now", lambda: parts.ready)
    gauge("face_database_up", "The database answers", lambda: parts.store.reachable)
    gauge("face_queue_length", "Work that waits for a lane", lambda: parts.lanes.length)
    gauge("face_lanes", "Lanes there should be", lambda: parts.lanes.count)
    gauge("face_lanes_alive", "Lanes that work", lambda: parts.lanes.alive)
    if vision := parts.remote:
        gauge("face_redis_up", "Redis answers", lambda: vision.up)
        gauge("face_bus_waiting", "Pictures that wait here for their turn", lambda: vision.length)
        gauge("face_bus_away", "Pictures of this server that workers have or will get", lambda: vision.away)
        gauge("face_workers", "Workers that live", lambda: vision.workers)
        gauge("face_worker_lanes", "Lanes of these workers", lambda: vision.lanes)
    gauge("face_gallery_evictions", "Galleries that had to make room", lambda: parts.registry.evictions)
    now(lambda: galleries(parts.registry.galleries))
    now(lambda: beside.figures)
