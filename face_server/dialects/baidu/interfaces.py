"""What each interface does: read values -> FaceService -> the object in `result`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from zoneinfo import ZoneInfo

from face_server.dialects.baidu import render, tables
from face_server.dialects.baidu.guard import CALLER
from face_server.dialects.baidu.tables import ALL, FIELD_WANTS, Usual
from face_server.dialects.params import Table, Values
from face_server.dialects.wire import double
from face_server.errors import NoMatch
from face_server.faces.asks import Ask, Mode, Place, Query
from face_server.faces.service import FaceService
from face_server.model import DEFAULT_APP, Want
from face_server.settings import Settings

Result = dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Interface:
    path: str
    table: Table
    run: Callable[[Values], Awaitable[Result]]
    get: bool = False  # answers GET too
    flat: bool = False  # the result's keys stand at the top level as well


@dataclass(frozen=True, slots=True)
class ArrayInterface:
    """The body is an array with one object per picture."""

    path: str
    element: Table
    run: Callable[[str, list[Values]], Awaitable[Result]]
    least: int
    most: int
    single: bool  # one bare object, or a form, is an array of one
    total: int | None = None  # bytes of all image texts together


class Interfaces:
    def __init__(self, service: FaceService, settings: Settings) -> None:
        self._service = service
        self._library = service.library
        self._zone = ZoneInfo(settings.time_zone)
        self._offered = ~(Want.NONE if settings.race else Want.RACE) & ~(Want.NONE if settings.beauty else Want.BEAUTY)
        self._tables = tables.tables(settings)

    def all(self) -> list[Interface | ArrayInterface]:
        known = self._tables
        return [
            Interface("v3/face/identify", known.identify, self.identify),
            Interface("v3/face/detect", known.detect, self.detect),
            ArrayInterface("v3/face/match", known.match, self.match, 2, 2, False),
            ArrayInterface("v3/face/liveness", known.liveness, self.liveness, 1, 8, True, tables.IMAGE_BYTES),
            Interface("v3/face/add", known.add, self.add),
            Interface("v3/face/update", known.update, self.update),
            Interface("v3/face/midentify", known.midentify, self.midentify),
            Interface("v3/face/list", tables.FACE_LIST, self.face_list, get=True),
            Interface("v3/face/delete", tables.FACE_DELETE, self.face_delete),
            Interface("v3/user/copy", tables.USER_COPY, self.user_copy),
            Interface("v3/user/get", tables.USER_GET, self.user_get, get=True),
            Interface("v3/user/list", tables.USER_LIST, self.user_list, get=True),
            Interface("v3/user/delete", tables.USER_DELETE, self.user_delete),
            Interface("v3/group/add", tables.APP_GROUP, self.group_add),
            Interface("v3/group/delete", tables.APP_GROUP, self.group_delete),
            Interface("v3/group/list", tables.GROUP_LIST, self.group_list, get=True),
            Interface("v3/app/list", tables.APP_LIST, self.app_list, get=True),
            Interface("facehub/statapp", tables.STATISTICS_APP, self.app_statistics, flat=True),
            Interface("facehub/statgroup", tables.STATISTICS_GROUP, self.group_statistics, flat=True),
        ]

    # Pictures

    async def detect(self, sent: Values) -> Result:
        want = self._want(sent["face_field"]) | Want.POSE
        ask = Ask(sent["probe"], want, sent["gates"], sent["max_face_num"], dewater=_mesh(sent))
        faces = await self._service.detect(sent["appid"], ask)
        shown = await asyncio.gather(*(render.face(face, sent["face_field"]) for face in faces))
        return {"face_num": len(shown), "face_list": shown}

    async def liveness(self, app: str, sent: list[Values]) -> Result:
        asks = [Ask(one["probe"], self._want(one["face_field"]) | Want.POSE) for one in sent]
        faces = await self._service.liveness(app, asks)
        shown = [
            {**await render.face(face, one["face_field"]), "liveness": render.liveness(face)}
            for face, one in zip(faces, sent, strict=True)
        ]
        best = max(face["liveness"]["livemapscore"] for face in shown)
        rates = self._service.limits.of(app).false_rejects
        return {"face_liveness": best, "thresholds": rates, "face_list": shown}

    async def match(self, app: str, sent: list[Values]) -> Result:
        first, second = (Ask(one["probe"], gates=one["gates"], dewater=_mesh(one)) for one in sent)
        found = await self._service.compare(app, first, second)
        tokens = [{"face_token": face.token} for face in (found.first, found.others[0])]
        return {"score": double(found.score), "face_list": tokens}

    async def identify(self, sent: Values) -> Result:
        query = Query(sent["group_id_list"], sent["user_id"], self._threshold(sent), sent["max_user_num"])
        found = await self._service.search(sent["appid"], Ask(sent["probe"], gates=sent["gates"]), query)
        if not found.matches:
            raise NoMatch
        return {"face_token": found.face.token, "user_list": [render.user(match) for match in found.matches]}

    async def midentify(self, sent: Values) -> Result:
        query = Query(sent["group_id_list"], None, self._threshold(sent), sent["max_user_num"])
        ask = Ask(sent["probe"], gates=sent["gates"], max_faces=sent["max_face_num"])
        found = await self._service.search_many(sent["appid"], ask, query)
        if not any(one.matches for one in found):
            raise NoMatch
        shown = [
            {
                "face_token": one.face.token,
                "location": render.location(one.face),
                "user_list": [render.user(match) for match in one.matches],
            }
            for one in found
        ]
        return {"face_num": len(shown), "face_list": shown}

    def _threshold(self, sent: Values) -> float:
        named: float = sent["match_threshold"]
        usual = self._service.limits.of(sent["appid"]).search if isinstance(named, Usual) else None
        return named if usual is None else usual

    async def add(self, sent: Values) -> Result:
        return await self._enroll(sent, Mode.REPLACE if sent["action_type"] == "REPLACE" else Mode.APPEND)

    async def update(self, sent: Values) -> Result:
        return await self._enroll(sent, Mode.UPDATE_OR_CREATE if sent["action_type"] == "REPLACE" else Mode.UPDATE)

    async def _enroll(self, sent: Values, mode: Mode) -> Result:
        place = Place(sent["group_id"], sent["user_id"], sent["user_info"], mode)
        face = await self._service.enroll(sent["appid"], Ask(sent["probe"], gates=sent["gates"]), place)
        return {"face_token": face.token, "location": render.location(face)}

    # The library

    async def face_list(self, sent: Values) -> Result:
        faces = await self._library.faces(sent["appid"], sent["group_id"], sent["user_id"])
        return {"face_list": [{"face_token": face.token, "ctime": self._time(face.created)} for face in faces]}

    async def face_delete(self, sent: Values) -> Result:
        await self._library.remove_face(sent["appid"], sent["group_id"], sent["user_id"], sent["face_token"])
        return None

    async def user_copy(self, sent: Values) -> Result:
        await self._library.copy_user(sent["appid"], sent["user_id"], sent["src_group_id"], sent["dst_group_id"])
        return None

    async def user_get(self, sent: Values) -> Result:
        users = await self._library.user(sent["appid"], _one_group(sent), sent["user_id"])
        return {"user_list": [{"user_info": user.info, "group_id": user.group} for user in users]}

    async def user_list(self, sent: Values) -> Result:
        users = await self._library.users(sent["appid"], sent["group_id"], sent["start"], sent["length"])
        return {"user_id_list": users}

    async def user_delete(self, sent: Values) -> Result:
        await self._library.remove_user(sent["appid"], _one_group(sent), sent["user_id"])
        return None

    async def group_add(self, sent: Values) -> Result:
        await self._library.add_group(sent["appid"], sent["group_id"])
        return None

    async def group_delete(self, sent: Values) -> Result:
        await self._library.remove_group(sent["appid"], sent["group_id"])
        return None

    async def group_list(self, sent: Values) -> Result:
        return {"group_id_list": await self._library.groups(sent["appid"], sent["start"], sent["length"])}

    async def app_list(self, sent: Values) -> Result:
        if sent[CALLER] is not None:
            return {"app_id_list": [sent[CALLER]]}
        apps = await self._library.apps()
        return {"app_id_list": apps if DEFAULT_APP in apps else [DEFAULT_APP, *apps]}

    async def app_statistics(self, sent: Values) -> Result:
        counts = await self._library.group_counts(sent["op_app_id_list"])
        return {app: {"group_num": count} for app, count in counts.items()}

    async def group_statistics(self, sent: Values) -> Result:
        found = await self._library.statistics(sent["op_app_id"], sent["group_id_list"])
        return {
            group.name: {
                "user_num": group.count.users,
                "face_num": group.count.faces,
                "ctime": self._time(group.count.created),
                "utime": self._time(group.count.updated),
            }
            for group in found
        }

    def _want(self, fields: frozenset[str]) -> Want:
        return reduce(or_, (FIELD_WANTS.get(field, Want.NONE) for field in fields), Want.NONE) & self._offered

    def _time(self, seconds: float) -> str:
        return datetime.fromtimestamp(seconds, self._zone).strftime("%Y-%m-%d %H:%M:%S")


def _mesh(sent: Values) -> bool:
    return bool(sent["face_type"] == "WATERMARK")


def _one_group(sent: Values) -> str | None:
    """None stands for all groups."""
    group: str = sent["group_id"]
    return None if group == ALL else group
