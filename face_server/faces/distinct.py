"""Libraries in which no face is registered twice: a picture that shows a face too much like a stored one is refused.

A person may still have many faces. Another photo of somebody is not the same face; the same photo, copied or coded
once more, is.
"""

from __future__ import annotations

import asyncio
import math
from weakref import WeakValueDictionary

import numpy as np

from face_server.errors import FaceExists, FaceMissing, GroupMissing
from face_server.faces.asks import Ask, Place
from face_server.faces.keeping import embedding
from face_server.faces.tools import Tools
from face_server.model import Face, Want
from face_server.store.rows import FaceRow


class Distinct:
    """`alike`: the cosine of two templates from which on they are of the same face."""

    def __init__(self, tools: Tools) -> None:
        self._looking, self._keeping = tools.looking, tools.keeping
        self._store, self._registry, self._blobs = tools.store, tools.registry, tools.blobs
        self._embedding_id, self._faces_per_user = tools.info.embedding_id, tools.settings.faces_per_user
        # Between the look for the same face and the write no other write of the app may come.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def add(self, app: str, ask: Ask, place: Place, alike: float) -> int:
        """The number of the new face."""
        sight = await self._looking.look(app, ask, ask.want | Want.EMBEDDING)
        face = sight.faces[0]
        async with self._turn(app):
            await self._refuse_same(app, place.group, face, alike)
            async with self._keeping.kept(app, face, sight) as new:
                done = await self._store.enroll(
                    app,
                    place.group,
                    place.user,
                    new,
                    self._embedding_id,
                    place.info,
                    place.mode,
                    self._faces_per_user,
                )
            await self._registry.applied(done.write)
        await self._blobs.remove(done.dropped_pictures)
        self._looking.remember_registered(app, sight, face)
        return done.face_id

    async def change(self, app: str, ask: Ask, group: str, face_id: int, alike: float) -> None:
        """Another picture of a face; its number and its user stay. A picture that is refused changes nothing."""
        await self._row(app, group, face_id)
        sight = await self._looking.look(app, ask, ask.want | Want.EMBEDDING)
        face = sight.faces[0]
        async with self._turn(app):
            await self._refuse_same(app, group, face, alike, await self._row(app, group, face_id))
            async with self._keeping.kept(app, face, sight) as new:
                done = await self._store.change_face(app, group, face_id, new, self._embedding_id, None)
            await self._registry.applied(done.write)
        await self._blobs.remove(done.pictures)
        self._looking.remember_registered(app, sight, face)

    def _turn(self, app: str) -> asyncio.Lock:
        return self._turns.setdefault(app, asyncio.Lock())

    async def _row(self, app: str, group: str, face_id: int) -> FaceRow:
        row = await self._store.face_by_id(app, face_id)
        if row is None or row.group != group:
            raise FaceMissing(str(face_id))
        return row

    async def _refuse_same(self, app: str, group: str, face: Face, alike: float, but: FaceRow | None = None) -> None:
        """`but`: a stored face that may well be the same."""
        try:
            groups = await self._store.groups(app, [group])
        except GroupMissing:
            return
        vector = embedding(face)
        # Of each user the best face is found. Where that is the one left out, the user's others count as well.
        (hits,) = await self._registry.search(groups, vector[np.newaxis], 1 if but is None else 2)
        found = [(hit.cosine, hit.face_id) for hit in hits]
        if but is not None:
            others = await self._store.list_faces(app, group, but.user)
            known = (row for row in others if row.embedding_id == self._embedding_id)
            found += [(float(vector @ np.frombuffer(row.template, np.float16)), row.id) for row in known]
        same = max(one for one in [*found, (-math.inf, 0)] if but is None or one[1] != but.id)
        if same[0] >= alike:
            raise FaceExists(same[1])
