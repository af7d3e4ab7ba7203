"""Faces that go by their number, for vendors without users: each is a person of its own, called by that number.

For all other vendors such a person is a user like any: its name is the number, its info what the vendor calls a tag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from face_server.errors import FaceMissing, OtherModel
from face_server.faces import gates
from face_server.faces.asks import Ask
from face_server.faces.looking import Sight
from face_server.faces.tools import Tools
from face_server.model import Feature, Want
from face_server.store.rows import FaceRow, GroupRef


@dataclass(frozen=True, slots=True)
class Person:
    face_id: int
    info: str


class People:
    def __init__(self, tools: Tools) -> None:
        self._tools, self._looking, self._keeping, self._store = tools, tools.looking, tools.keeping, tools.store
        self._embedding_id = tools.info.embedding_id

    async def add(self, app: str, ask: Ask, group: str, info: str, twice: bool = True) -> int:
        """The number of the new face. The same picture twice is two persons, unless that is refused."""
        self._tools.refuse_other_model([await self._group(app, group)])
        sight = await self._look(app, ask)
        async with self._keeping.kept(app, sight.faces[0], sight) as new:
            done = await self._store.add_person(app, group, new, self._embedding_id, info, twice)
        await self._tools.registry.applied(done.write)
        self._looking.remember_registered(app, sight, sight.faces[0])
        return done.face_id

    async def change(self, app: str, ask: Ask | None, group: str, face_id: int, info: str | None) -> None:
        """Another picture, another info, or both. A picture that is refused changes nothing."""
        await self._row(app, group, face_id)
        if ask is None:
            done = await self._store.change_face(app, group, face_id, None, self._embedding_id, info)
        else:
            self._tools.refuse_other_model([await self._group(app, group)])
            sight = await self._look(app, ask)
            async with self._keeping.kept(app, sight.faces[0], sight) as new:
                done = await self._store.change_face(app, group, face_id, new, self._embedding_id, info)
            self._looking.remember_registered(app, sight, sight.faces[0])
        await self._tools.removed(done)

    async def remove(self, app: str, group: str, face_id: int) -> None:
        await self._tools.removed(await self._store.delete_face_by_id(app, face_id, group))

    async def get(self, app: str, group: str, face_id: int) -> Person:
        row = await self._row(app, group, face_id)
        (user,) = await self._store.get_user(app, group, row.user)
        return Person(row.id, user.info)

    async def template(self, app: str, group: str, face_id: int) -> Feature:
        """What a picture can be compared with."""
        self._tools.refuse_other_model([await self._group(app, group)])
        row = await self._row(app, group, face_id)
        if row.embedding_id != self._embedding_id:
            raise OtherModel(f"the face's template is of model {row.embedding_id}")
        vector = np.frombuffer(row.template, np.float16).astype(np.float32)
        return Feature(vector / np.linalg.norm(vector))

    async def _look(self, app: str, ask: Ask) -> Sight:
        sight = await self._looking.look(app, ask, ask.want | Want.EMBEDDING | gates.wanted(ask.gates))
        gates.check(sight.faces[0], ask.gates, self._tools.limits.of(app))
        return sight

    async def _group(self, app: str, group: str) -> GroupRef:
        (found,) = await self._store.groups(app, [group])
        return found

    async def _row(self, app: str, group: str, face_id: int) -> FaceRow:
        await self._group(app, group)
        row = await self._store.face_by_id(app, face_id)
        if row is None or row.group != group:
            raise FaceMissing(str(face_id))
        return row
