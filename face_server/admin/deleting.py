"""Deletions as jobs. What is gone already when the job begins is as good as deleted by it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from face_server.admin.jobs import Progress, Result, Work
from face_server.errors import FaceMissing, GroupDeleting, GroupMissing, UserMissing
from face_server.faces.service import FaceService

_GONE = (GroupMissing, GroupDeleting, UserMissing, FaceMissing)


class Deleting:
    def __init__(self, service: FaceService) -> None:
        self._service = service

    def all(self) -> dict[str, Work]:
        return {"delete_group": self.group, "delete_user": self.user, "delete_face": self.face}

    async def group(self, what: Mapping[str, str], progress: Progress) -> Result:
        return await _once(self._service.library.remove_group(what["app"], what["group"]), progress)

    async def user(self, what: Mapping[str, str], progress: Progress) -> Result:
        return await _once(self._service.library.remove_user(what["app"], what["group"], what["user"]), progress)

    async def face(self, what: Mapping[str, str], progress: Progress) -> Result:
        return await _once(self._service.people.remove(what["app"], what["group"], int(what["face_id"])), progress)


async def _once(deletion: Awaitable[None], progress: Progress) -> Result:
    progress.total = 1
    try:
        await deletion
    except _GONE:
        return Result()
    progress.done = 1
    return Result()
