"""The seven interfaces. An app_id is an app with one group; a user_id is a user of it, with as many faces as come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from face_server.dialects import wire
from face_server.dialects.enn import codes
from face_server.dialects.enn.codes import Codes
from face_server.dialects.enn.judging import Judge, Judging
from face_server.dialects.enn.sent import Sent
from face_server.dialects.params import Refusal
from face_server.errors import FaceExists, FaceMissing, GroupMissing, UserMissing
from face_server.faces.asks import EVERY_FACE, Ask, Place, Query
from face_server.faces.rules import PictureRules
from face_server.faces.service import FaceService
from face_server.model import Analysis, Box, Face, Picture, Want
from face_server.settings import Settings

GROUP = "default"  # the one group of every app_id
NO_ONE = ""  # whose pictures belong to no app: nothing of them is kept
RULES = PictureRules(largest_file=4 << 20)

Answer = dict[str, Any]
Run = Callable[[Sent], Awaitable[Answer]]


class Telling(Refusal):
    """A refusal with values that take the place of the blank ones."""

    def __init__(self, code: int, **told: object) -> None:
        super().__init__(code)
        self.told: Answer = told


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    answer: Run
    required: Sequence[str]
    optional: Sequence[str]
    checks: Sequence[str]  # the fields that say what is wrong with the picture
    blank: Answer  # the other fields, as a failure has them
    codes: Codes = field(default_factory=dict)  # its own codes for what can fail in it

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


class Interfaces:
    def __init__(self, service: FaceService, settings: Settings) -> None:
        self._service, self._settings = service, settings
        self._judging = Judging(settings)

    def all(self) -> list[Interface]:
        stored, checked = ("check_result", "register_result"), ("check_result",)
        no_id, unlike = {"face_id": -1}, {"result": -1, "score": -1}
        nobody, nothing = {"user_id": "-1", "score": -1}, {"face_num": 0, "face_information": []}
        finding = {UserMissing: codes.USER_UNKNOWN, GroupMissing: codes.USER_UNKNOWN}
        changing = {FaceMissing: codes.NO_FACE_ID, GroupMissing: codes.NO_FACE_ID}
        comparing = {UserMissing: codes.NOT_REGISTERED, GroupMissing: codes.NOT_REGISTERED}
        person, face, turned = ("app_id", "user_id"), ("app_id", "face_id"), ("face_direction",)
        return [
            Interface("face_register", self.register, (*person, "image"), turned, stored, no_id),
            Interface("face_update", self.update, face, ("image", *turned), stored, no_id, changing),
            Interface("face_delete", self.delete, face, (), (), no_id),
            Interface("face_search", self.search, person, (), (), {"result": []}, finding),
            Interface("face_check", self.check, ("image",), ("max_num",), checked, nothing),
            Interface("face_recognise", self.recognise, ("app_id", "image"), (), checked, nobody),
            Interface("face_compare", self.compare, ("image",), ("image_1", *person), checked, unlike, comparing),
        ]

    # Registering

    async def register(self, sent: Sent) -> Answer:
        values = sent.values(("app_id", "user_id", "image"), ("face_direction",))
        app = values["app_id"]
        if self._settings.enn_provisioned:
            await self._must_know(app)
        ask, place = self._to_store(values["image"], values["face_direction"]), Place(GROUP, values["user_id"])
        try:
            face_id = await self._service.distinct.add(app, ask, place, self._settings.enn_same_face)
        except FaceExists as error:
            raise Telling(codes.SAME_FACE, face_id=error.face_id) from None
        return {"face_id": face_id}

    async def update(self, sent: Sent) -> Answer:
        """Without a picture the face is deleted."""
        if not sent.has("image"):
            return await self.delete(sent)
        values = sent.values(("app_id", "face_id"), ("image", "face_direction"))
        app, face_id = values["app_id"], values["face_id"]
        await self._must_know(app)
        if face_id is None:
            raise Refusal(codes.NO_FACE_ID)
        ask = self._to_store(values["image"], values["face_direction"])
        try:
            await self._service.distinct.change(app, ask, GROUP, face_id, self._settings.enn_same_face)
        except FaceExists as error:
            raise Telling(codes.SAME_FACE, face_id=error.face_id) from None
        return {"face_id": face_id}

    async def delete(self, sent: Sent) -> Answer:
        values = sent.values(("app_id", "face_id"))
        await self._must_know(values["app_id"])
        if values["face_id"] is None:
            raise Refusal(codes.NOT_DELETED)
        try:
            await self._service.people.remove(values["app_id"], GROUP, values["face_id"])
        except (FaceMissing, GroupMissing):
            raise Refusal(codes.NOT_DELETED) from None
        return {"face_id": values["face_id"]}

    async def search(self, sent: Sent) -> Answer:
        """The numbers of a person's faces; no picture is searched for."""
        values = sent.values(("app_id", "user_id"))
        await self._must_know(values["app_id"])
        faces = await self._service.library.faces(values["app_id"], GROUP, values["user_id"])
        return {"result": [face.id for face in faces]}

    # Looking

    async def check(self, sent: Sent) -> Answer:
        values = sent.values(("image",), ("max_num",))
        looked: list[Analysis] = []
        await self._service.detect(NO_ONE, _ask(values["image"], Want.QUALITY, looked.append, EVERY_FACE))
        best = sorted(looked[0].faces, key=lambda face: -face.probability)
        code = self._judging.quality(best[0])
        listed = [self._information(face, looked[0]) for face in best[: values["max_num"] or 1]]
        told: Answer = {"face_num": len(best), "face_information": listed}
        if code != codes.SUCCESS:
            raise Telling(code, **told)
        return told

    async def recognise(self, sent: Sent) -> Answer:
        """Of several faces the largest: at a gate people stand behind."""
        values = sent.values(("app_id", "image"))
        app = values["app_id"]
        await self._must_know(app)
        ask = _ask(values["image"], Want.QUALITY, self._judging.best)
        own = self._service.limits.of(app).search
        query = Query([GROUP], threshold=_hundred(self._settings.enn_recognise_score) if own is None else own)
        try:
            matches = (await self._service.search(app, ask, query)).matches
        except GroupMissing:
            await self._service.detect(NO_ONE, ask)  # what is wrong with the picture comes first
            matches = ()
        if not matches:
            raise Refusal(codes.NOBODY)
        return {"user_id": matches[0].user, "score": _score(matches[0].score)}

    async def compare(self, sent: Sent) -> Answer:
        if sent.has("image_1"):
            values = sent.values(("image", "image_1"))
            first, second = (self._to_compare(values[name]) for name in ("image", "image_1"))
            score = (await self._service.compare(NO_ONE, first, second)).score
        else:
            score = await self._compare_with_user(sent)
        return {"result": score >= self._least(sent), "score": _score(score)}

    def _least(self, sent: Sent) -> float:
        """Of a comparison. Two pictures need no app; where one is named all the same, its own score holds."""
        own = self._service.limits.of(_app_if_named(sent)).compare
        return _hundred(self._settings.enn_compare_score) if own is None else own

    async def _compare_with_user(self, sent: Sent) -> float:
        if not sent.has("app_id") and not sent.has("user_id"):
            raise Refusal(codes.NOT_ENOUGH)
        values = sent.values(("app_id", "user_id", "image"))
        await self._must_know(values["app_id"])
        query = Query([GROUP], user=values["user_id"])
        matches = (await self._service.search(values["app_id"], self._to_compare(values["image"]), query)).matches
        if not matches:
            raise Refusal(codes.NOT_REGISTERED)
        return matches[0].score

    # Steps

    async def _must_know(self, app: str) -> None:
        if not await self._service.library.knows(app):
            raise Refusal(codes.APP_UNKNOWN)

    def _to_store(self, image: bytes, direction: str | None) -> Ask:
        want = Want.QUALITY if direction is None else Want.QUALITY | Want.POSE
        return _ask(image, want, self._judging.only(codes.SEVERAL, direction), most=2)

    def _to_compare(self, image: bytes) -> Ask:
        return _ask(image, Want.QUALITY, self._judging.only(codes.NOT_SINGLE), most=2)

    def _information(self, face: Face, seen: Analysis) -> Answer:
        return {
            "check_result": codes.check_result(self._judging.quality(face)),
            "face_location": _location(face.box, seen),
            "face_probability": wire.double(face.probability),
            "landmark": [{"x": wire.double(x), "y": wire.double(y)} for x, y in face.points.tolist()],
        }


def _app_if_named(sent: Sent) -> str:
    """For interfaces that do without: there an app_id that is wrong is none."""
    try:
        return str(sent.values(("app_id",))["app_id"])
    except Refusal:
        return NO_ONE


def _ask(image: bytes, want: Want, judge: Judge, most: int = 1) -> Ask:
    return Ask(Picture(image), want, max_faces=most, rules=RULES, judge=judge, remembered=False)


def _location(box: Box, seen: Analysis) -> str:
    """The corners in whole pixels, inside the picture."""
    left, top = max(0, round(box.left)), max(0, round(box.top))
    right = min(seen.width, round(box.left + box.width))
    bottom = min(seen.height, round(box.top + box.height))
    return f"({left},{top}),({right},{bottom})"


def _hundred(score: float) -> float:
    """0..1 -> 0..100, the scale of the core."""
    return round(100 * score, 4)


def _score(hundred: float) -> float:
    return wire.double(hundred / 100)
