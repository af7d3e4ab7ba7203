"""What the core knows of vision: in one process or over a bus, it looks the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from face_server.model import Analysis, Cleaned, Task, Want


@dataclass(frozen=True, slots=True)
class VisionInfo:
    pack: str
    capabilities: Want  # what the pack can compute
    embedding_id: str  # digest of the embedder's file and preprocessing; templates of another id never mix
    dimensions: int
    calibration: tuple[tuple[float, float], ...]  # knots (cosine, score 0..100) of the embedder, rising in both


Then = Callable[[Analysis], None]


class Vision(Protocol):
    @property
    def info(self) -> VisionInfo: ...

    @property
    def ready(self) -> bool: ...

    async def analyze(self, picture: bytes, task: Task, then: Then | None = None) -> Analysis:
        """Decode, detect and compute what the task wants. `then` may be called with the analysis, in the thread that
        made it: what is ready when the answer comes need not queue again. It must not raise.

        Raises BadPicture, PictureTooLarge, Busy(stage), Cancelled. No face at all is an answer (an empty tuple), not an
        error. The deadline and the cancellation of `request.current` are honoured before, inside and between stages.
        """
        ...

    async def clean(self, picture: bytes) -> Cleaned:
        """The whole picture without the mesh of a watermarked identity photo.

        Raises what `analyze` raises, and ModelMissing.
        """
        ...
