"""The interfaces of groups, and of faces in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from face_server.dialects.facebox import codes, render, tables, tokens
from face_server.dialects.facebox.endpoint import FIRST_GROUP, Answer, Call, Interface
from face_server.dialects.facebox.tables import Usual
from face_server.dialects.params import Refusal
from face_server.errors import FaceError, GroupDeleting
from face_server.faces.album import Parting
from face_server.faces.gates import Limits
from face_server.faces.service import FaceService

MOST = 64
# In the meta of a group, so that they do not meet what other dialects keep there.
TITLE, TYPE, SCORE = "facebox_name", "facebox_type", "facebox_score"
_PARTINGS = {1: Parting.KEEP, 2: Parting.END, 3: Parting.EMPTY, 4: Parting.ERASE}


def threshold(meta: Mapping[str, Any], limits: Limits) -> float:
    """The group's own score, else the app's, else the document's."""
    usual = tables.SCORE if limits.search is None else limits.search
    return float(meta.get(SCORE, usual))


class Groups:
    def __init__(self, service: FaceService) -> None:
        self._album, self._limits = service.album, service.limits

    def all(self) -> list[Interface]:
        groups, one = "/api/faceGroups", "/api/faceGroups/{groupId}"
        bind, unbind = f"{groups}/binding/{{faceToken}}", f"{groups}/unbind/{{faceToken}}"
        return [
            Interface("group_list", "GET", groups, tables.NOTHING, self.listed),
            Interface("group_create", "POST", groups, tables.GROUP_CREATE, self.create),
            Interface("group_update", "PUT", groups, tables.GROUP_UPDATE, self.update),
            Interface("group_bind", "POST", bind, tables.BINDING, self.bind),
            Interface("group_unbind", "DELETE", unbind, tables.BINDING, self.unbind),
            Interface("group_delete", "DELETE", one, tables.GROUP_DELETE, self.delete),
            Interface("group_faces", "GET", one, tables.PAGES, self.faces),
        ]

    async def listed(self, call: Call) -> Answer:
        found = sorted(await self._album.groups(call.app), key=lambda one: one[0].name != FIRST_GROUP)
        limits = self._limits.of(call.app)
        return {
            "faceGroupList": [
                {
                    "groupId": group.name,
                    "groupType": group.meta.get(TYPE, ""),
                    "groupScore": round(threshold(group.meta, limits)),
                    "groupName": group.meta.get(TITLE, ""),
                    "groupFaces": faces,
                }
                for group, faces in found
            ]
        }

    async def create(self, call: Call) -> Answer:
        try:
            await self._album.add_group(call.app, call.sent["groupId"], _meta(call.sent), TITLE, MOST)
        except GroupDeleting:
            raise Refusal(codes.GROUP_EXISTS) from None
        return {}

    async def update(self, call: Call) -> Answer:
        await self._album.change_group(call.app, call.sent["groupId"], _meta(call.sent), TITLE)
        return {}

    async def delete(self, call: Call) -> Answer:
        await self._album.delete_group(call.app, call.id, _PARTINGS[call.sent["deleteAllFace"]])
        return {}

    async def faces(self, call: Call) -> Answer:
        start, length = call.sent["pageOffset"], call.sent["pageSize"]
        total, faces = await self._album.faces_of(call.app, call.id, start, length)
        return {"totalFaces": total, "face": [render.face_entry(face) for face in faces]}

    async def bind(self, call: Call) -> Answer:
        names = call.sent["faceGroupList"]
        return _told(names, await self._album.bind(call.app, tokens.read(call.id), names))

    async def unbind(self, call: Call) -> Answer:
        names = call.sent["faceGroupList"]
        return _told(names, await self._album.unbind(call.app, tokens.read(call.id), names))


def _meta(sent: Mapping[str, Any]) -> dict[str, Any]:
    score = sent["groupScore"]
    given = {TITLE: sent["groupName"], TYPE: sent["groupType"], SCORE: None if isinstance(score, Usual) else score}
    return {name: value for name, value in given.items() if value is not None}


def _told(names: Sequence[str], refused: Sequence[tuple[str, FaceError]]) -> Answer:
    return {
        "totalCnt": len(names),
        "successCnt": len(names) - len(refused),
        "failCnt": len(refused),
        "failInfo": [{"groupId": name, "errorMsg": codes.why_not(error)} for name, error in refused],
    }
