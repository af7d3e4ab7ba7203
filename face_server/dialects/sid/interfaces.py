"""What the eight interfaces do."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from face_server.dialects import wire
from face_server.dialects.features import BadFeature, Features, WrongLength
from face_server.dialects.params import Refusal, Table, Values
from face_server.dialects.sid import codes, tables
from face_server.dialects.sid.quality import WANTS, quality_scores, unknown_scores
from face_server.dialects.texts import NotBase64, Text, decode_base64
from face_server.errors import FaceMissing, GroupMissing, ModelMissing, PictureGone, TokenUnknown, UserMissing
from face_server.faces.asks import Ask, Mode, Place, Query
from face_server.faces.service import FaceService
from face_server.model import Face, Level, Picture, Probe, Token, Want
from face_server.settings import Settings

Answer = dict[str, Any]
DEFAULT_GROUP = "default"
SCORES = "sid_quality"  # in the meta of a face
PASSED, ATTACK, NOT_JUDGED = 1, 2, 0  # extInfo; no installed model tells paper from screen


@dataclass(frozen=True, slots=True)
class Interface:
    path: str
    table: Table
    run: Callable[[str, Values], Awaitable[Answer]]
    verb: str = ""  # of the text for a user who is not there
    judges: bool = False  # every answer, a failure as well, has extInfo

    def beside_failure(self, code: int) -> Answer:
        if not self.judges:
            return {}
        return {"extInfo": ATTACK if code == codes.NOT_LIVE else NOT_JUDGED}


class Interfaces:
    def __init__(self, service: FaceService, settings: Settings) -> None:
        self._service, self._library = service, service.library
        self._strict = settings.sid_strict_liveness
        self._features = Features(service.info.embedding_id, service.info.dimensions)

    def all(self) -> list[Interface]:
        return [
            Interface("/staticdb/search/compare", tables.COMPARE, self.compare),
            Interface("/staticdb/search/multiple", tables.MULTIPLE, self.multiple),
            Interface("/liveness/action", tables.LIVENESS, self.liveness, judges=True),
            Interface("/staticdb/search/feature", tables.FEATURE, self.feature),
            Interface("/face/get", tables.PERSON, self.get, "查询"),
            Interface("/face/remove", tables.PERSON, self.remove, "删除"),
            Interface("/face/updatefeature", tables.PHOTO, self.update, "更新"),
            Interface("/face/add", tables.PHOTO, self.add, "添加"),
        ]

    async def compare(self, app: str, sent: Values) -> Answer:
        one, other = (self._probe(sent[f"img{side}"], sent[f"feature{side}"]) for side in "AB")
        found = await self._service.compare(app, _ask(one), _ask(other))
        return {"score": wire.double(found.score / 100)}

    async def multiple(self, app: str, sent: Values) -> Answer:
        groups = await self._groups(app, sent["groupId"])
        ask = _ask(self._probe(sent["img"], sent["feature"]))
        if not groups:
            await self._service.detect(app, _ask(ask.probe, Want.EMBEDDING))
            return {"faces": []}
        found = await self._service.search(app, ask, Query(groups, most=sent["topN"]))
        matches = found.matches
        return {
            "faces": [
                {"groupId": one.group, "score": wire.double(one.score / 100), "userId": one.user} for one in matches
            ]
        }

    async def liveness(self, app: str, sent: Values) -> Answer:
        started = time.perf_counter()
        (face,) = await self._service.liveness(app, [_ask(_picture(sent["param"]))])
        if face.liveness is None:
            raise ModelMissing("liveness")
        least = self._service.limits.of(app).liveness[Level.NORMAL]
        verdict = PASSED if face.liveness >= least else ATTACK
        if verdict != PASSED and self._strict:
            raise Refusal(codes.NOT_LIVE)
        took = round((time.perf_counter() - started) * 1000)
        return {"info": f"动作活体检测耗时:{took} 攻击类型:{verdict}", "extInfo": verdict}

    async def feature(self, app: str, sent: Values) -> Answer:
        picture = _picture(sent["img"])
        (face,) = await self._service.detect(app, _ask(picture, WANTS | Want.EMBEDDING))
        if face.embedding is None:
            raise ModelMissing("embed")
        scores = quality_scores(face, picture.data)
        return {"feature": self._features.write(face.embedding), "qualityScores": scores}

    async def get(self, app: str, sent: Values) -> Answer:
        user = sent["userId"]
        group = sent["groupId"] or (await self._homes(app, user))[0]
        faces = await self._library.faces(app, group, user)
        if not faces:
            raise FaceMissing(user)
        return {
            "groupId": group,
            "qualityScore": await self._scores(app, faces[-1].token, faces[-1].meta),
            "userId": user,
        }

    async def remove(self, app: str, sent: Values) -> Answer:
        await self._library.remove_user(app, await self._home(app, sent), sent["userId"])
        return {}

    async def update(self, app: str, sent: Values) -> Answer:
        group = await self._home(app, sent)
        await self._library.user(app, group, sent["userId"])
        await self._store(app, sent, group, Mode.UPDATE)
        return {}

    async def add(self, app: str, sent: Values) -> Answer:
        await self._store(app, sent, sent["groupId"] or DEFAULT_GROUP, Mode.APPEND)
        return {"userId": sent["userId"]}

    async def _store(self, app: str, sent: Values, group: str, mode: Mode) -> None:
        picture = _picture(sent["img"])

        def describe(face: Face) -> Mapping[str, Any]:
            return {SCORES: quality_scores(face, picture.data)}

        place = Place(group, sent["userId"], mode=mode, describe=describe, shared=True)
        await self._service.enroll(app, _ask(picture, WANTS), place)

    async def _scores(self, app: str, token: str, meta: Mapping[str, Any]) -> str:
        """Of a photo that came through another dialect they are computed now, if it was kept."""
        if SCORES in meta:
            return str(meta[SCORES])
        try:
            (face,) = await self._service.detect(app, _ask(Token(token), WANTS))
        except (PictureGone, TokenUnknown):
            return unknown_scores()
        return quality_scores(face, None)

    async def _groups(self, app: str, text: str | None) -> list[str]:
        if not text:
            _, groups = await self._library.page_of_groups(app, 0, 2**31 - 1)
            return [group.name for group in groups]
        try:
            return [(await self._library.group(app, text)).name]
        except GroupMissing:
            names = list(dict.fromkeys(name for name in text.split(",") if name))
            return [(await self._library.group(app, name)).name for name in names or [text]]

    async def _homes(self, app: str, user: str) -> list[str]:
        """The group where a user without a named group is looked for; else all that have it, the oldest first."""
        names = [row.group for row in await self._library.user(app, None, user)]
        if not names:
            raise UserMissing(user)
        if DEFAULT_GROUP in names:
            return [DEFAULT_GROUP]
        groups = [await self._library.group(app, name) for name in names]
        return [group.name for group in sorted(groups, key=lambda group: group.id)]

    async def _home(self, app: str, sent: Values) -> str:
        if sent["groupId"]:
            return str(sent["groupId"])
        homes = await self._homes(app, sent["userId"])
        if len(homes) > 1:
            raise Refusal(codes.WRONG, "groupId")
        return homes[0]

    def _probe(self, picture: str | Text | None, feature: str | Text) -> Probe:
        if picture is not None:
            return _picture(picture)
        try:
            return self._features.read(feature)
        except (BadFeature, WrongLength):
            raise Refusal(codes.BAD_FEATURE) from None


def _ask(probe: Probe, want: Want = Want.NONE) -> Ask:
    return Ask(probe, want, remembered=False)


def _picture(text: str | Text) -> Picture:
    try:
        return Picture(decode_base64(text))
    except NotBase64:
        raise Refusal(codes.BAD_PICTURE) from None
