"""Figures that are read when somebody asks, and not counted on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

LARGEST = 20  # galleries with figures of their own: ten thousand of them would be twenty thousand series


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    text: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class Now(Collector):
    """What a function finds at the moment. What it does not find is absent, and never zero."""

    def __init__(self, look: Callable[[], Iterable[Figure]]) -> None:
        self._look = look

    def collect(self) -> Iterable[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for one in self._look():
            if one.name not in families:
                families[one.name] = GaugeMetricFamily(one.name, one.text, labels=list(one.labels))
            families[one.name].add_metric(list(one.labels.values()), one.value)
        return families.values()


class Loaded(Protocol):
    """A gallery in memory."""

    group_id: int

    def __len__(self) -> int: ...

    @property
    def memory(self) -> int: ...


def galleries(loaded: Sequence[Loaded]) -> Iterable[Figure]:
    """All together, and each of the largest: by the number of its group, because whoever reaches the port may read
    this, and names of groups can be names of people."""
    sizes = [(gallery.memory, len(gallery), gallery.group_id) for gallery in loaded]
    yield Figure("face_galleries", "Galleries in memory", len(sizes))
    yield Figure("face_gallery_bytes", "Memory of these galleries", sum(size for size, _, _ in sizes))
    yield Figure("face_gallery_faces", "Faces in these galleries", sum(faces for _, faces, _ in sizes))
    for size, faces, group in nlargest(LARGEST, sizes):
        which = {"gallery": str(group)}
        yield Figure("face_largest_gallery_bytes", "Memory of each of the largest galleries", size, which)
        yield Figure("face_largest_gallery_faces", "Faces in each of the largest galleries", faces, which)
