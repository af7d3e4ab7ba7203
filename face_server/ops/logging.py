"""Structured logs: one line for each request and each event, JSON or text, never a picture or a template."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import orjson
import structlog

from face_server.ops.context import Ending

LONGEST = 500  # characters of a line: what is longer is data, not an event

Event = MutableMapping[str, Any]
Form = Literal["json", "text"]
Processor = structlog.typing.Processor

_form: Form = "text"


def set_up(level: str, form: Form) -> None:
    """All logs of the process, those of libraries included, go to standard error in one form."""
    global _form
    _form = form
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Processor] = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level, stamp]
    # Exceptions become text before the last guard sees them; structlog's own console would print their variables.
    last: list[Processor] = [structlog.processors.format_exc_info, without_data]
    if form == "json":
        last.append(structlog.processors.JSONRenderer())
    else:
        last.append(structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()))
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)  # of libraries
    own = logging.getLogger("face_server")
    own.setLevel(level.upper())
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(own.level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def without_data(_: object, __: str, event: Event) -> Mapping[str, Any]:
    """The last guard: bytes and arrays are left out, long lines are cut."""
    for key, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "dtype"):
            event[key] = f"<{type(value).__name__}>"
        elif isinstance(value, str) and len(value) > LONGEST:
            event[key] = "\n".join(_cut(line) for line in value.splitlines())
    return event


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}... ({len(line)} characters)"


def _as_json(_: object, __: str, event: Event) -> bytes:
    return orjson.dumps(event, default=str)


def _as_text(_: object, __: str, event: Event) -> bytes:
    stamp, level, name = event.pop("timestamp"), event.pop("level"), event.pop("event")
    facts = " ".join(f"{key}={value}" for key, value in event.items())
    return f"{stamp} [{level:<9}] {name:<30} {facts}".encode(errors="backslashreplace")


class RequestLog:
    """One line at the end of each request. Written past the logging of the libraries, which takes longer than the rest
    of what surrounds a request."""

    def __init__(self) -> None:
        self._log = structlog.wrap_logger(
            structlog.BytesLogger(sys.stderr.buffer),
            processors=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _as_json if _form == "json" else _as_text,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.getLogger("face_server").level),
            cache_logger_on_first_use=True,
        )

    def ended(self, ending: Ending) -> None:
        request = ending.request
        facts: dict[str, Any] = {"log_id": request.log_id, "ms": round(ending.seconds * 1000, 1)}
        if request.dialect:
            facts |= {"dialect": request.dialect, "interface": request.interface, "code": request.code}
        else:
            facts |= {"path": ending.path[:LONGEST], "status": ending.status}
        if request.stages:
            facts["stages"] = {name: round(spent, 1) for name, spent in request.stages.items()}
        if request.cancelled:
            facts["gone"] = True
        if ending.status >= 500:
            self._log.error("request", **facts)
        elif request.dialect:
            self._log.info("request", **facts)
        else:
            self._log.debug("request", **facts)
