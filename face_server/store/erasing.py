"""Erasing a user, a group or an app, and what it takes to see afterwards that nothing is left. Nobody else is at work.

What is collected before are pieces of everything that shows who was there: templates, places of faces, tokens,
pictures, names. A piece that somebody who stays has as well proves nothing and is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from face_server.store.blobs import Blobs
from face_server.store.history import CLIENT, columns, told_in
from face_server.store.pictures import parts
from face_server.store.scanning import Scanner, in_table, piece_of, pieces_of_text
from face_server.store.schema import apps, audit, faces, groups, job_rows, jobs, metadata, pictures, users
from face_server.store.sealed_rows import open_face
from face_server.store.store import Store
from face_server.store.writing import Writing

ERASED = "(erased)"
_LINES = 1000  # of the audit log at once
_PLACES = ("group", "source", "target")  # of what was noted: groups, several with commas between them
_OWN = (apps, groups, users, faces, pictures)  # tables whose rows belong to somebody


@dataclass(frozen=True)
class Target:
    app: str
    group: str = ""  # empty: all of the app
    user: str = ""

    def names(self, told: Mapping[str, Any]) -> bool:
        """Is it about this, or about a part of it?"""
        if told.get("app") != self.app or self.user not in ("", told.get("user")):
            return False
        places = ",".join(str(told.get(name, "")) for name in _PLACES)
        return not self.group or f",{self.group}," in f",{places},"

    def without_names(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What the target itself is a part of can stay."""
        stays = {"app": self.app if self.group or self.user else "", "group": self.group if self.user else ""}
        return {name: value if stays.get(name) == value else ERASED for name, value in told.items()}


@dataclass
class Evidence:
    rows: dict[str, set[int]] = field(default_factory=dict)  # by their table
    files: list[str] = field(default_factory=list)  # keys of stored pictures
    tokens: set[str] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)  # whose galleries have something of it
    pieces: set[bytes] = field(default_factory=set)

    def add_row(self, table: sa.Table, row_id: int) -> None:
        self.rows.setdefault(table.name, set()).add(row_id)

    def add(self, *data: bytes) -> None:
        self.pieces.update(piece for each in data if (piece := piece_of(each)) is not None)

    def add_text(self, *texts: str) -> None:
        for text in texts:
            self.pieces |= pieces_of_text(text)


class Erasing:
    def __init__(self, store: Store, folder: Path, target: Target) -> None:
        self._store, self._folder, self._target = store, folder, target
        self._database = store._database
        self.evidence = Evidence()

    # Before

    async def collect(self) -> bool:
        """False when there is nobody of this name."""
        target, evidence = self._target, self.evidence
        app = sa.select(apps.c.id).where(apps.c.name == target.app).scalar_subquery()
        where = [groups.c.app_id == app, *([groups.c.name == target.group] if target.group else [])]
        owners = sa.select(users, groups.c.name.label("group_name")).join(groups, groups.c.id == users.c.group_id)
        owners = owners.where(*where, *([users.c.name == target.user] if target.user else []))
        people = await self._database.rows(owners)
        known = await self._database.rows(sa.select(groups.c.id, groups.c.name).where(*where))
        evidence.groups = {row.group_id for row in people} if target.user else {row.id for row in known}
        for person in people:
            evidence.add_row(users, person.id)
            evidence.add_text(person.name, person.info, *_texts(json.loads(person.meta)))
            await self._collect_faces(sa.select(faces).where(faces.c.user_id == person.id))
        if not target.user:
            evidence.rows[groups.name] = set(evidence.groups)
            evidence.add_text(*(row.name for row in known), *([] if target.group else [target.app]))
        of_app = sa.select(pictures).where(pictures.c.app_id == app)
        queries = [of_app]
        if target.group or target.user:
            queries = [of_app.where(pictures.c.token.in_(part)) for part in self._tokens()]
        for row in [row for query in queries for row in await self._database.rows(query)]:
            evidence.add(row.template, row.spot)
            evidence.add_text(row.name, row.person, row.info, *_texts(json.loads(row.meta)))
            evidence.files += [row.original, row.cut]
        for key in set(evidence.files) - {""}:
            path = self._folder / "pictures" / key[:2] / key
            if path.exists():
                evidence.add(path.read_bytes(), *([opened] if (opened := await self._opened(key)) else []))
        return bool(people or (known and not target.user) or (not target.group and await self._store.seq(target.app)))

    def _tokens(self) -> Iterator[Sequence[str]]:
        """In parts, as many as a statement can have."""
        return parts(sorted(self.evidence.tokens - {""}))

    async def _collect_faces(self, query: sa.Select[Any]) -> None:
        for row in await self._database.rows(query):
            seal = await self._store.seal(row.app_id)
            self.evidence.add_row(faces, row.id)
            self.evidence.tokens.add(row.token)
            opened = open_face(seal, row)
            self.evidence.add(row.template, row.spot, *opened, _wide(opened[0]))
            self.evidence.add_text(row.token, *_texts(json.loads(row.meta)))
            self.evidence.files.append(row.picture)

    async def _opened(self, key: str) -> bytes | None:
        return await Blobs(self._folder / "pictures", self._store).load(key) if self._store.sealer.active else None

    # Erasing

    async def erase(self) -> None:
        target = self._target
        if target.user:
            await self._store.delete_user(target.app, target.group or None, target.user)
        elif target.group:
            await self._store.delete_group(target.app, target.group)
            for group_id in self.evidence.groups:
                while not (await self._store.upkeep.purge(target.app, group_id))[0]:
                    pass
        await self.erase_pictures()
        await self._database.write(self._forget_work)

    async def erase_pictures(self) -> None:
        """Those of faces that are in no other group; an app's have gone with it."""
        bound = sa.select(faces.c.id).where(faces.c.app_id == pictures.c.app_id, faces.c.token == pictures.c.token)

        def work(writing: Writing) -> None:
            for part in self._tokens():
                mine = sa.and_(pictures.c.app_id == writing.app_id, pictures.c.token.in_(part))
                writing.run(sa.delete(pictures).where(mine, ~bound.exists()))

        if self._target.group or self._target.user:
            await self._store._write(self._target.app, work)
        await Blobs(self._folder / "pictures").remove(
            set(self.evidence.files) - {""} - await self._store.picture_keys()
        )

    def _forget_work(self, connection: sa.Connection) -> None:
        """What was noted about it: jobs and their results go, in the audit log only the names."""
        self._forget_lines(connection)
        for row in connection.execute(sa.select(jobs.c.id, jobs.c.what)).all():
            told = json.loads(row.what)
            # A job without a group was about all groups of its app.
            group = told.get("group", self._target.group)
            if told.get("app") != self._target.app or self._target.group not in ("", group):
                continue
            connection.execute(sa.delete(job_rows).where(job_rows.c.job_id == row.id))
            if self._target.names(told):
                connection.execute(sa.delete(jobs).where(jobs.c.id == row.id))

    def _forget_lines(self, connection: sa.Connection) -> None:
        of_app = sa.select(audit).where(audit.c.app == self._target.app).order_by(audit.c.id).limit(_LINES)
        last = 0
        while lines := connection.execute(of_app.where(audit.c.id > last)).all():
            last = lines[-1].id
            for line in lines:
                told = told_in(line)
                if self._target.names(told):
                    values = columns(self._target.without_names(told))
                    if line.role == CLIENT and values["app"] == ERASED:
                        values["name"] = ERASED  # its key
                    connection.execute(sa.update(audit).where(audit.c.id == line.id).values(values))

    # Afterwards

    async def rows_left(self) -> int:
        """Numbers of rows are given only once, so these are the same ones."""
        left = 0
        for table in _OWN:
            ids = self.evidence.rows.get(table.name, set())
            there = await self._database.rows(sa.select(table.c.id)) if ids else ()
            left += len(ids & {row.id for row in there})
        return left

    async def shared(self) -> int:
        """Pieces that belong to somebody who stays as well; they are looked for no longer. How many."""
        scanner = Scanner(self.evidence.pieces)
        theirs: set[bytes] = set()
        for table in _OWN:
            theirs |= (await in_table(scanner, self._database, table))[1]
        for key in await self._store.picture_keys() - {""}:
            path = self._folder / "pictures" / key[:2] / key
            theirs |= scanner.in_file(path) if path.exists() else set()
        self.evidence.pieces -= theirs
        return len(theirs)

    async def left_in_tables(self) -> dict[str, tuple[int, int]]:
        """Of each table how many rows were looked at, and how many pieces are in them."""
        scanner = Scanner(self.evidence.pieces)
        found = {table.name: await in_table(scanner, self._database, table) for table in metadata.sorted_tables}
        return {name: (rows, len(hits)) for name, (rows, hits) in found.items()}

    def left_in_files(self) -> dict[Path, tuple[int, int]]:
        """Of each file its size, and how many pieces are in it."""
        scanner = Scanner(self.evidence.pieces)
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        return {path: (path.stat().st_size, len(scanner.in_file(path))) for path in files}


def _wide(template: bytes) -> bytes:
    """As it lies where numbers are in single precision: in Milvus."""
    even = template[: len(template) // 2 * 2]
    return np.frombuffer(even, np.float16).astype(np.float32).tobytes()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
