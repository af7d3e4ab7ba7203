"""All checks, in the order in which one depends on the other. One that fails in an unforeseen way says so and hides
none of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from face_server.checks import card, host, models, search, stores
from face_server.checks.finding import Finding, ok, wrong
from face_server.settings import Settings


def findings(settings: Settings) -> Iterator[Finding]:
    yield from _asked("limits", lambda: [host.limits()])
    yield from _asked("memory", lambda: [host.memory()])
    yield from _asked("clock", lambda: [host.clock(settings.time_zone)])
    yield from _asked("data folder", lambda: host.disk(settings.data_dir))
    yield from _asked("database", lambda: stores.database(settings.database))
    yield from _asked("Redis", lambda: stores.redis(settings.redis, sealed=settings.key_file is not None))
    if settings.redis:
        yield ok("driver", "workers look at pictures: run face-server doctor where they run, without FACE_REDIS_URL")
        device = "cpu"
    else:
        device = settings.device
        yield from _asked("driver", lambda: card.findings(device))
    folder = settings.models_dir or settings.data_dir / "models"
    yield from _asked("models", lambda: models.findings(settings.pack, folder, device))
    yield from _asked("search", lambda: search.findings(settings))


def _asked(what: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:
        yield wrong(what, f"could not be checked: {type(error).__name__}: {error}", "this is a mistake of the doctor")
