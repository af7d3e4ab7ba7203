"""Structured logs: one line for each request and each event, JSON or text, never a picture or a template."""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import structlog

from face_server.ops.context import Ending

TOGETHER_SECONDS = 0.1  # how long the line of a request may wait for others
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
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a broken body is answered, not noted
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


def _as_json(event: Event) -> bytes:
    return orjson.dumps(event, default=str)


def _as_text(event: Event) -> bytes:
    stamp, level, name = event.pop("timestamp"), event.pop("level"), event.pop("event")
    facts = " ".join(f"{key}={value}" for key, value in event.items())
    return f"{stamp} [{level:<9}] {name:<30} {facts}".encode(errors="backslashreplace")


class Lines:
    """Lines on their way to standard error, together ten times a second: one call of the system for each would be a
    tenth of what surrounds a request."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        self._waiting.append(line)
        if len(self._waiting) > 1:
            return
        try:
            asyncio.get_running_loop().call_later(TOGETHER_SECONDS, self.flush)
        except RuntimeError:  # nothing runs that could come back to it
            self.flush()

    def flush(self) -> None:
        lines, self._waiting = self._waiting, []
        with suppress(OSError, ValueError):  # nobody reads any more
            sys.stderr.buffer.write(b"".join(lines))
            sys.stderr.buffer.flush()


class RequestLog:
    """One line at the end of each request. Made past the logging of the libraries, which takes longer than the rest
    of what surrounds a request."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._form = _as_json if _form == "json" else _as_text
        self._least = logging.getLogger("face_server").level

    def ended(self, ending: Ending) -> None:
        request = ending.request
        level = logging.ERROR if ending.status >= 500 else logging.INFO if request.dialect else logging.DEBUG
        if level < self._least:
            return
        facts: dict[str, Any] = {
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": logging.getLevelName(level).lower(),
            "event": "request",
            "log_id": request.log_id,
            "ms": round(ending.seconds * 1000, 1),
        }
        if request.dialect:
            facts |= {"dialect": request.dialect, "interface": request.interface, "code": request.code}
        else:
            facts |= {"path": ending.path[:LONGEST], "status": ending.status}
        if request.stages:
            facts["stages"] = {name: round(spent, 1) for name, spent in request.stages.items()}
        if request.cancelled:
            facts["gone"] = True
        self._lines.write(self._form(facts) + b"\n")
