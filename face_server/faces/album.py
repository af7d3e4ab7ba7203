"""Pictures with names, each with one face, and faces that are in several groups: for vendors who keep these apart.

The face of a picture belongs to no group at first. Bound to one it is there a face like any other, of a user of its
own; so a face that came into a group on another way can be looked at, bound and ended here as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from face_server.engine.lanes import Lanes
from face_server.errors import FaceError, FaceExists, FaceMissing, ModelMissing, OtherModel, PictureMissing
from face_server.faces.asks import Ask
from face_server.faces.keeping import embedding
from face_server.faces.looking import spot_of
from face_server.faces.scoring import Scorer
from face_server.faces.tools import Tools
from face_server.index.gallery import Hit
from face_server.model import Box, Face, FloatArray, Picture, Want
from face_server.store import spots
from face_server.store.bindings import Bound, Parting, Refused
from face_server.store.pictures import NewPicture, PictureRow
from face_server.store.rows import GroupRef
from face_server.store.spots import Record
from face_server.vision import portrait

__all__ = ["Album", "Bound", "NewEntry", "Parting", "PictureRow"]

BEYOND = 0.2  # of its sides, what a face's own picture has more to every side


@dataclass(frozen=True, slots=True)
class NewEntry:
    name: str  # of the picture
    token: str  # of the face
    person: str  # how the user is called who has the face in a group
    info: str  # what is written about that user
    meta: Mapping[str, Any]


class Album:
    def __init__(self, tools: Tools, lanes: Lanes, scorer: Scorer | None) -> None:
        self._tools, self._looking, self._registry, self._blobs = tools, tools.looking, tools.registry, tools.blobs
        self._store, self._pictures, self._bindings = tools.store, tools.store.pictures, tools.store.bindings
        self._lanes, self._scorer, self._embedding_id = lanes, scorer, tools.info.embedding_id
        self._keeps = tools.settings.store_pictures != "none"
        self._most_pixels = tools.settings.max_picture_pixels

    async def begin(self, app: str, group: str) -> None:
        """The first group of an app, which is there from the start and can be deleted like any other."""
        write = await self._pictures.begin(app, group)
        if write is not None:
            await self._registry.applied(write)

    # Pictures

    async def add(self, app: str, ask: Ask, entry: NewEntry) -> tuple[int, Face]:
        """The number of the picture, and its largest face."""
        there = await self._pictures.named(app, entry.name)
        if there is not None and there.token:
            raise FaceExists(there.id)
        sight = await self._looking.look(app, ask, ask.want | Want.EMBEDDING)
        face, data = sight.faces[0], sight.picture
        if data is None:
            raise TypeError("only a picture has an original")
        async with self._kept(app, data, await self._cut(data, face.box)) as (original, cut):
            new = NewPicture(
                name=entry.name,
                original=original,
                cut=cut,
                token=entry.token,
                person=entry.person,
                info=entry.info,
                spot=spots.pack(Record(spot_of(face))),
                template=_stored(embedding(face)),
                embedding_id=self._embedding_id,
                meta=entry.meta,
            )
            number, removed = await self._pictures.add(app, new)
        await self._tools.removed(removed)
        return number, face

    @asynccontextmanager
    async def _kept(self, app: str, *pictures: bytes) -> AsyncIterator[list[str]]:
        """Keys of pictures that are durable now; when the row that names them is refused, they go again."""
        keys = [await self._blobs.save(data, app) if self._keeps else "" for data in pictures]
        try:
            yield keys
        except FaceError as error:
            await self._blobs.remove_refused(keys, error)
            raise

    async def page(self, app: str, start: int, length: int) -> tuple[int, list[PictureRow]]:
        return await self._pictures.page(app, start, length)

    async def picture(self, app: str, name: str) -> tuple[PictureRow, bytes]:
        """As it was registered; no bytes where the operator keeps no pictures."""
        row = await self._pictures.named(app, name)
        if row is None:
            raise PictureMissing(name)
        return row, await self._load(row.original)

    async def remove(self, app: str, name: str) -> None:
        await self._tools.removed(await self._pictures.remove(app, name))

    async def clear(self, app: str) -> None:
        """All pictures and faces; the groups stay."""
        more = True
        while more:
            more, removed = await self._pictures.clear_part(app)
            await self._tools.removed(removed)

    # Faces

    async def face(self, app: str, token: str) -> Bound:
        found = await self._bindings.bound(app, token)
        if found is None:
            raise FaceMissing(token)
        return found

    async def portrait(self, face: Bound) -> bytes:
        """The face's own picture. One that was registered elsewhere is cut out of what was kept of it."""
        if face.picture is not None:
            return await self._load(face.picture.cut)
        data = await self._load(face.stored)
        return await self._cut(data, spots.unpack(face.spot).spot_in_stored.box) if data else b""

    def box(self, face: Bound) -> Box:
        """In the picture as it was sent."""
        return spots.unpack(face.spot if face.picture is None else face.picture.spot).spot.box

    async def end(self, app: str, token: str) -> None:
        await self._tools.removed(await self._pictures.end_face(app, token))

    async def _cut(self, data: bytes, box: Box) -> bytes:
        # The end of a request whose inference is done: not to be refused now.
        cut = await self._lanes.submit(lambda: portrait.cut_all(data, [box], BEYOND, self._most_pixels), urgent=True)
        return cut[0]

    async def _load(self, key: str) -> bytes:
        return (await self._blobs.load(key) if key else None) or b""

    # Groups

    async def groups(self, app: str) -> list[tuple[GroupRef, int]]:
        """All of them in order of creation, with the number of their faces."""
        found = await self._store.list_groups(app)
        counts = await self._store.count_faces(found)
        return [(group, counts[group.id]) for group in found]

    async def add_group(self, app: str, group: str, meta: Mapping[str, Any], title: str, most: int) -> None:
        await self._registry.applied(await self._bindings.add_group(app, group, meta, title, most))

    async def change_group(self, app: str, group: str, changes: Mapping[str, Any], title: str) -> None:
        await self._registry.applied(await self._bindings.change_group(app, group, changes, title))

    async def delete_group(self, app: str, group: str, parting: Parting) -> None:
        await self._tools.removed(await self._bindings.delete_group(app, group, parting))

    async def faces_of(self, app: str, group: str, start: int, length: int) -> tuple[int, list[Bound]]:
        (found,) = await self._store.groups(app, [group])
        return await self._bindings.page(app, found.id, start, length)

    async def bind(self, app: str, token: str, groups: Sequence[str]) -> Refused:
        """The groups to which the face could not be bound."""
        face = await self.face(app, token)
        template = await self._template(app, face.picture) if face.picture is not None else None
        write, refused = await self._bindings.bind(app, token, groups, self._embedding_id, template)
        await self._registry.applied(write)
        return refused

    async def unbind(self, app: str, token: str, groups: Sequence[str]) -> Refused:
        removed, refused = await self._bindings.unbind(app, token, groups)
        await self._tools.removed(removed)
        return refused

    async def _template(self, app: str, row: PictureRow) -> bytes | None:
        """A new one, when another model made the one that is stored."""
        if row.embedding_id == self._embedding_id:
            return None
        data = await self._load(row.original)
        if not data:
            raise OtherModel(f"the face of picture {row.id} is of model {row.embedding_id}")
        sight = await self._looking.look(app, Ask(Picture(data), remembered=False), Want.EMBEDDING)
        return _stored(embedding(sight.faces[0]))

    # Searching

    async def search(
        self, app: str, ask: Ask, groups: Sequence[str], threshold: Callable[[GroupRef], float], most: int
    ) -> tuple[Face, list[tuple[Bound, float]]]:
        """The faces above the threshold of a group they are bound to, the best first, each once."""
        found = await self._store.groups(app, list(dict.fromkeys(groups)))
        self._tools.refuse_other_model(found)
        sight = await self._looking.look(app, ask, ask.want | Want.EMBEDDING)
        face = sight.faces[0]
        best = await self._best(app, embedding(face), found, threshold, most)
        known = await self._bindings.bound_all(app, list(best)) if best else {}
        return face, [(known[token], score) for token, score in best.items() if token in known]

    async def _best(
        self,
        app: str,
        vector: FloatArray,
        groups: Sequence[GroupRef],
        threshold: Callable[[GroupRef], float],
        most: int,
    ) -> dict[str, float]:
        """Tokens and scores. Groups of one threshold are searched together: of these the nearest are the best."""
        together: dict[float, list[GroupRef]] = {}
        for group in groups:
            together.setdefault(threshold(group), []).append(group)
        searches = [
            # A face may be found in each of its groups, which must not crowd out the others.
            self._registry.search(some, vector[np.newaxis], most * len(some))
            for some in together.values()
        ]
        scored = [
            (score, hit.face_id)
            for limit, ((hits),) in zip(together, await asyncio.gather(*searches), strict=True)
            for hit, score in self._scored(hits)
            if score > limit
        ]
        scored.sort(key=lambda one: (-one[0], one[1]))
        tokens = await self._bindings.tokens(app, [face_id for _, face_id in scored])
        best: dict[str, float] = {}
        for score, face_id in scored:
            if face_id in tokens and len(best) < most:
                best.setdefault(tokens[face_id], score)
        return best

    def _scored(self, hits: Sequence[Hit]) -> list[tuple[Hit, float]]:
        if self._scorer is None:
            raise ModelMissing("embed")
        return list(zip(hits, self._scorer.scores(hit.cosine for hit in hits), strict=True))


def _stored(vector: FloatArray) -> bytes:
    return vector.astype(np.float16).tobytes()
