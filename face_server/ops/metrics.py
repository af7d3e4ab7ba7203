"""Figures for Prometheus, in a registry of their own. Serves the engine as its meter."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from face_server.ops.context import Ending
from face_server.ops.gauges import Figure, Now

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
TOGETHER = 100  # observations


class Observed(Collector):
    """Observations on their way into their histograms, many at a time: a network that has run leaves nothing else in
    the caches of its core, and the code that counts takes longer to come back than to count."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Histogram, float]] = deque()

    def note(self, histogram: Histogram, value: float) -> None:
        """From any thread."""
        self._waiting.append((histogram, value))
        if len(self._waiting) >= TOGETHER:
            self._count()

    def collect(self) -> Iterable[Metric]:
        """A registry asks in the order in which it came to know: who is in front of the histograms counts in time."""
        self._count()
        return ()

    def _count(self) -> None:
        with suppress(IndexError):
            while True:
                histogram, value = self._waiting.popleft()
                histogram.observe(value)


class Figures:
    """What a process has that runs models, whoever it runs them for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        observed = Observed()
        self.registry.register(observed)
        self._note = observed.note
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._rows = self._histogram("face_model_batch_size", "Rows of one execution", ("model",), _ROWS)
        self._waits = self._histogram("face_model_queue_seconds", "Wait of an execution's oldest row", ("model",))
        self._runs = self._histogram("face_model_execution_seconds", "Time of one execution", ("model",))
        self._restarts = self._counter("face_lane_restarts", "Dead lanes that were replaced", ("lane",))
        self._queue = self._histogram("face_queue_wait_seconds", "Work that ran: its wait for a lane")
        self._refused = self._counter("face_work_refused", "Work that never ran", ("reason",))
        # Looked up several times in every request, and there are few of each.
        self._execution = cache(self._figures)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is read when somebody asks."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def now(self, look: Callable[[], Iterable[Figure]]) -> None:
        """Several at once, and not always the same ones."""
        self.registry.register(Now(look))

    def page(self) -> bytes:
        return generate_latest(self.registry)

    # The engine's meter

    def queued(self, seconds: float) -> None:
        self._note(self._queue, seconds)

    def refused(self, why: str) -> None:
        self._refused.labels(why).inc()

    def executed(self, model: str, rows: int, waited: float, ran: float) -> None:
        for figure, value in zip(self._execution(model), (rows, waited, ran), strict=True):
            self._note(figure, value)

    def _figures(self, model: str) -> tuple[Histogram, ...]:
        return tuple(figure.labels(model) for figure in (self._rows, self._waits, self._runs))

    def restarted(self, lane: str) -> None:
        self._restarts.labels(lane).inc()


class Metrics(Figures):
    """Of a server."""

    def __init__(self) -> None:
        super().__init__()
        kind = ("dialect", "interface")
        self._requests = self._counter("face_requests", "Requests that were answered", (*kind, "code"))
        self._gone = self._counter("face_requests_gone", "Requests whose client went before the answer", kind)
        self._latency = self._histogram("face_request_seconds", "From the first byte to the end of the answer", kind)
        self._stages = self._histogram("face_stage_seconds", "Steps of the work on one request", ("stage",))
        # Looked up several times in every request, and there are few of each.
        self._answered, self._took = cache(self._requests.labels), cache(self._latency.labels)
        self._stage = cache(self._stages.labels)

    # The end of a request

    def ended(self, ending: Ending) -> None:
        request = ending.request
        if not request.dialect:
            return
        if request.cancelled:
            self._gone.labels(request.dialect, request.interface).inc()
        else:
            self._answered(request.dialect, request.interface, request.code).inc()
            self._note(self._took(request.dialect, request.interface), ending.seconds)
        for name, milliseconds in request.stages.items():
            self._note(self._stage(name), milliseconds / 1000)
