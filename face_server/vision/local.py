"""Vision in this process: each picture is one piece of work for a lane."""

from __future__ import annotations

from face_server.engine.lanes import Lanes
from face_server.model import Analysis, Cleaned, Task
from face_server.vision.analyzer import Analyzer
from face_server.vision.protocol import Then, VisionInfo


class LocalVision:
    def __init__(self, analyzer: Analyzer, lanes: Lanes, info: VisionInfo) -> None:
        self.info = info
        self._analyzer = analyzer
        self._lanes = lanes

    @property
    def ready(self) -> bool:
        return self._lanes.ready

    async def analyze(self, picture: bytes, task: Task, then: Then | None = None) -> Analysis:
        def work() -> Analysis:
            seen = self._analyzer.analyze(picture, task)
            if then is not None:
                then(seen)
            return seen

        return await self._lanes.submit(work, size=len(picture))

    async def clean(self, picture: bytes) -> Cleaned:
        return await self._lanes.submit(lambda: self._analyzer.clean(picture), size=len(picture))
