"""After a change of the pack: new templates for the faces of an app or a group, as a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple

from face_server.admin.jobs import Progress, Result, Work
from face_server.faces.reindexing import Left
from face_server.faces.service import FaceService
from face_server.store.work import Cells

KIND = "reextract"
COLUMNS = ("app", "group", "user", "face_id", "token", "reason")
MOST_ROWS = 100_000  # of a result


class Reextracting:
    def __init__(self, service: FaceService) -> None:
        self._service = service

    def all(self) -> dict[str, Work]:
        return {KIND: self.reextract}

    async def reextract(self, what: Mapping[str, str], progress: Progress) -> Result:
        rows: list[Cells] = []

        def left(one: Left) -> None:
            if len(rows) < MOST_ROWS:
                rows.append((*astuple(one)[:-1], one.reason.value))

        await self._service.reindexing.run([what["app"]], what.get("group"), progress, left)
        return Result(COLUMNS, rows)
