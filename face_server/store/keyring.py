"""Whether a library is sealed, and whether with the key that is here."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from face_server.store.database import Database
from face_server.store.schema import app_keys, deployment, faces, pictures
from face_server.store.sealing import KeyMissing, Sealer

_PROOF = sa.select(deployment.c.sealed)
_FACES = (faces, pictures)


class Keyring:
    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer

    async def open(self) -> None:
        """Refuse what does not go together; an empty library takes the key it is opened with."""
        sealer = self._sealer
        proof = await self._database.read(proof_of)
        if sealer.has_key and not proof:
            proof = await self._database.write(self._begin)
        _judge(sealer, proof, used=False)
        if sealer.has_key:
            await self._database.read(sealer.learn_all)
        sealer.locked = bool(proof) and not sealer.has_key

    def _begin(self, connection: sa.Connection) -> bytes:
        used = any(connection.execute(sa.select(table.c.id).limit(1)).first() for table in _FACES)
        _judge(self._sealer, b"", used)
        mark(connection, self._sealer, finished=True, only_if_new=True)
        return proof_of(connection)  # of two that begin at once the first one decides


def refuse_early(path: Path, sealer: Sealer) -> None:
    """The same before anything is opened or started, as far as a file of SQLite tells."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (proof,) = connection.execute("SELECT sealed FROM deployment").fetchone()
            used = any(connection.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone() for table in _FACES)
    except sqlite3.Error:  # of an older schema; what is really broken is told when it is opened
        return
    _judge(sealer, bytes(proof), used)


def _judge(sealer: Sealer, proof: bytes, used: bool) -> None:
    if sealer.has_key and proof:
        if not sealer.proves(proof):
            raise KeyMissing("sealing the library was not finished: run `face-server seal` again")
    elif sealer.has_key and used:
        raise KeyMissing("FACE_KEY_FILE is set, and the library is not sealed: run `face-server seal` first")
    elif proof and sealer.needed and not sealer.has_key:
        raise KeyMissing("the library is sealed: FACE_KEY_FILE has to name its key file")


def proof_of(connection: sa.Connection) -> bytes:
    return bytes(connection.execute(_PROOF).scalar_one())


def mark(connection: sa.Connection, sealer: Sealer, finished: bool, only_if_new: bool = False) -> None:
    """From now on what is written is sealed."""
    change = sa.update(deployment).values(sealed=sealer.proof(finished))
    connection.execute(change.where(deployment.c.sealed == b"") if only_if_new else change)


def rewrap(connection: sa.Connection, old: Sealer, new: Sealer) -> int:
    """The keys of all apps, from one key file's key to another's. Nothing that they seal changes. Servers that work
    meanwhile and make a key of an app wait for this, and find that theirs is not the library's key any more."""
    proof = bytes(connection.execute(_PROOF.with_for_update()).scalar_one())
    if not proof:
        raise KeyMissing("the library is not sealed: run `face-server seal` first")
    rows: list[Any] = list(connection.execute(sa.select(app_keys)))
    if new.opens(proof):
        return len(rows)  # it was done before
    if not old.proves(proof):
        raise KeyMissing("sealing the library was not finished: run `face-server seal` again")
    for row in rows:
        same = sa.and_(app_keys.c.app_id == row.app_id, app_keys.c.number == row.number)
        wrapped = new.wrap_app_key(row.app_id, row.number, old.app_key(row.app_id, row.number, bytes(row.wrapped)))
        connection.execute(sa.update(app_keys).where(same).values(wrapped=wrapped))
    mark(connection, new, finished=True)
    return len(rows)
