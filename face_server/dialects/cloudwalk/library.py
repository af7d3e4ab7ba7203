"""The interfaces of groups and of the faces in them: eight that manage, three that search."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from face_server.dialects.cloudwalk import checks, tables
from face_server.dialects.cloudwalk.codes import EMPTY_GROUP, Codes, embedding, storing
from face_server.dialects.cloudwalk.interfaces import Answer, Interface, best_first, every, largest, place, score
from face_server.dialects.params import Refusal, Values
from face_server.errors import GroupDeleting, OtherModel, Stage
from face_server.faces.asks import Ask, Query
from face_server.faces.service import FaceService
from face_server.model import Match, Probe
from face_server.settings import Settings

TAG = "tag"  # in the meta of a group

_SEARCHING: Codes = {**embedding(8516), **storing(8516), Stage.INDEX: 8516, OtherModel: 12356}


class Groups:
    def __init__(self, service: FaceService) -> None:
        self._library = service.library

    def all(self) -> list[Interface]:
        base = "/face/clustering/group"
        creating = {**storing(12352), GroupDeleting: 12352}
        return [
            Interface(f"{base}/create", tables.GROUP_CREATE, self.create, creating),
            Interface(f"{base}/delete", tables.GROUP_DELETE, self.delete, storing(12354)),
            Interface(f"{base}/query", tables.GROUP_QUERY, self.query, storing(12359)),
        ]

    async def create(self, app: str, sent: Values) -> Answer:
        await self._library.add_group(app, sent["groupId"], {TAG: sent["tag"]} if sent["tag"] else None)
        return {}

    async def delete(self, app: str, sent: Values) -> Answer:
        await self._library.remove_group(app, sent["groupId"])
        return {}

    async def query(self, app: str, sent: Values) -> Answer:
        if sent["type"] == tables.BY_GROUP:
            total, groups = 1, [await self._library.group(app, sent["groupId"])]
        else:
            size = sent["pageSize"]
            total, groups = await self._library.page_of_groups(app, (sent["pageNumber"] - 1) * size, size)
        counts = await self._library.count_faces(groups) if sent["faceCount"] else {}
        return {
            "total": total,
            "rows": [_group(group.name, group.meta.get(TAG, ""), counts.get(group.id)) for group in groups],
        }


class Faces:
    def __init__(self, service: FaceService, settings: Settings) -> None:
        self._people, self._limits = service.people, service.limits
        self._checks = settings.cloudwalk_checks

    def all(self) -> list[Interface]:
        base = "/face/clustering/face"
        return [
            Interface(f"{base}/create", tables.FACE_CREATE, self.create, {**storing(12289), **_template(12289)}),
            Interface(f"{base}/delete", tables.FACE_DELETE, self.delete, storing(12291)),
            Interface(f"{base}/edit", tables.FACE_EDIT, self.edit, {**storing(12290), **_template(12290)}),
            Interface(f"{base}/query", tables.FACE_QUERY, self.query, storing(12293)),
        ]

    async def create(self, app: str, sent: Values) -> Answer:
        twice = self._checks != "strict"
        face_id = await self._people.add(app, self._ask(app, sent["probe"]), sent["groupId"], sent["tag"] or "", twice)
        return {"faceId": face_id}

    async def delete(self, app: str, sent: Values) -> Answer:
        await self._people.remove(app, sent["groupId"], sent["faceId"])
        return {}

    async def edit(self, app: str, sent: Values) -> Answer:
        ask = self._ask(app, sent["probe"]) if sent["probe"] is not None else None
        await self._people.change(app, ask, sent["groupId"], sent["faceId"], sent["tag"])
        return {}

    async def query(self, app: str, sent: Values) -> Answer:
        person = await self._people.get(app, sent["groupId"], sent["faceId"])
        return {"total": 1, "rows": [{"faceId": person.face_id, "tag": person.info}]}

    def _ask(self, app: str, probe: Probe) -> Ask:
        """Of a picture that is to be registered, with what the operator demands of it."""
        ask, limits = largest(probe), self._limits.of(app)
        match self._checks:
            case "quality":
                return replace(ask, want=checks.QUALITY_WANTS, judge=partial(checks.check_quality, limits))
            case "strict":
                return replace(ask, want=checks.STRICT_WANTS, judge=partial(checks.check_strictly, limits), max_faces=2)
        return ask


class Recognition:
    def __init__(self, service: FaceService) -> None:
        self._service = service

    def all(self) -> list[Interface]:
        base = "/face/recog/group"
        comparing = {**embedding(8517), **storing(8517)}
        return [
            Interface(f"{base}/identify", tables.IDENTIFY, self.identify, _SEARCHING),
            Interface(f"{base}/identify/ext1", tables.IDENTIFY_ALL, self.identify_all, _SEARCHING),
            Interface(f"{base}/compare", tables.COMPARE, self.compare, comparing),
        ]

    async def identify(self, app: str, sent: Values) -> Answer:
        query = Query([sent["groupId"]], most=sent["topN"])
        found = await self._service.search(app, largest(sent["probe"]), query)
        if not found.matches:
            raise Refusal(EMPTY_GROUP)
        return {"faces": [_match(match) for match in found.matches]}

    async def identify_all(self, app: str, sent: Values) -> Answer:
        found = await self._service.search_many(app, every(sent["probe"]), Query([sent["groupId"]]))
        if not any(one.matches for one in found):
            raise Refusal(EMPTY_GROUP)
        faces = [{**place(one.face), **_match(match)} for one in found for match in one.matches]
        return {"groupId": sent["groupId"], "faces": sorted(faces, key=best_first)}

    async def compare(self, app: str, sent: Values) -> Answer:
        registered = await self._service.people.template(app, sent["groupId"], sent["faceId"])
        found = await self._service.compare(app, largest(sent["probe"]), Ask(registered))
        return {"score": score(found.score)}


def _template(stored: int) -> Codes:
    """No template can be made: 8513. One can, but the library holds those of another model: a matter of storing."""
    return {Stage.EMBED: 8513, OtherModel: stored}


def _group(name: str, tag: str, count: int | None) -> Answer:
    row = {"groupId": name, "info": tag}
    return row if count is None else {**row, "count": count}


def _match(match: Match) -> Answer:
    return {"faceId": match.face_id, "score": score(match.score), "tag": match.info}
