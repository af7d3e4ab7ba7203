"""Another model for an app: from then on its faces are searched one by one, as each gets a template of that model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from face_server.errors import OtherModel
from face_server.store.rows import Change, FaceRow, Write
from face_server.store.schema import ACTIVE, faces, groups
from face_server.store.sealed_rows import seal_face
from face_server.store.writing import WriteTo, Writing


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a face that is there gets; all else of it stays."""

    face: FaceRow  # as it was when its picture was looked at
    template: bytes
    spot: bytes


class Renewing:
    def __init__(self, write: WriteTo) -> None:
        self._write = write

    async def change_model(self, app: str, embedding_id: str) -> Write:
        """To go back to the earlier model is the same: faces that still have its template are searched at once."""
        write, _ = await self._write(app, lambda writing: writing.change_model(embedding_id))
        return write

    async def renew(self, app: str, embedding_id: str, renewed: Sequence[Renewed]) -> tuple[Write, int]:
        """How many got their template: faces that were changed or deleted meanwhile are left alone."""

        def work(writing: Writing) -> int:
            if writing.model != embedding_id:
                raise OtherModel(f"the app's templates are of model {writing.model} now")
            return sum(_renew(writing, one) for one in renewed)

        return await self._write(app, work)


def _renew(writing: Writing, new: Renewed) -> bool:
    old = new.face
    same = sa.and_(faces.c.id == old.id, faces.c.app_id == writing.app_id, faces.c.picture == old.picture)
    query = sa.select(faces.c.group_id, faces.c.user_id, faces.c.token).join(groups, groups.c.id == faces.c.group_id)
    query = query.where(same, faces.c.embedding_id == old.embedding_id, groups.c.state == ACTIVE)
    row = writing.run(query).first()
    if row is None:
        return False
    sealed = seal_face(writing.seal, row.group_id, row.user_id, row.token, new.template, new.spot)
    writing.run(sa.update(faces).where(faces.c.id == old.id).values(embedding_id=writing.model, **sealed))
    writing.note([Change(writing.seq, "add", row.group_id, old.id, row.user_id, new.template)])
    return True
