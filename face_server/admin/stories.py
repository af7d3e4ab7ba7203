"""What became of the last requests: times, stages and codes. Never a picture, never a name of a person."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from face_server.request import RequestContext

KEPT = 5000
KEPT_ERRORS = 500
_WELL = frozenset({"", "0", "200", "成功"})  # what the vendors call a success
LONGEST_PATH = 200


@dataclass(frozen=True, slots=True)
class Story:
    log_id: int
    time: float
    dialect: str
    interface: str
    path: str
    code: str
    status: int
    milliseconds: float
    gone: bool
    stages: Mapping[str, float]

    @property
    def failed(self) -> bool:
        return not self.gone and (self.status >= 400 or self.code not in _WELL)


class Stories:
    """A ring in memory. Requests of pages and of probes are not worth a place in it."""

    def __init__(self, kept: int = KEPT, kept_errors: int = KEPT_ERRORS) -> None:
        self._kept = kept
        self._stories: OrderedDict[int, Story] = OrderedDict()
        self._errors: deque[Story] = deque(maxlen=kept_errors)

    def ended(self, request: RequestContext, path: str, status: int, seconds: float) -> None:
        if not request.dialect and status < 500:
            return
        stages = {name: round(spent, 2) for name, spent in request.stages.items()}
        story = Story(
            request.log_id,
            time.time(),
            request.dialect,
            request.interface,
            path[:LONGEST_PATH],
            request.code,
            status,
            round(seconds * 1000, 2),
            request.cancelled,
            stages,
        )
        self._stories[request.log_id] = story
        if len(self._stories) > self._kept:
            self._stories.popitem(last=False)
        if story.failed:
            self._errors.append(story)

    def get(self, log_id: int) -> Story | None:
        # An error outlives the many that went well after it.
        return self._stories.get(log_id) or next((story for story in self._errors if story.log_id == log_id), None)

    def errors(self, before: int | None, length: int) -> list[Story]:
        """Newest first."""
        found = (story for story in reversed(self._errors) if before is None or story.log_id < before)
        return [story for story, _ in zip(found, range(length), strict=False)]
