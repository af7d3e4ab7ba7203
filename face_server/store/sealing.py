"""Faces at rest are sealed: AES-256-GCM under a random key for each app, which is stored wrapped by the key of the key
file. Without a key file everything here hands bytes through unchanged."""

from __future__ import annotations

import logging
import re
import secrets
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from face_server.errors import StoreFailed
from face_server.store.schema import app_keys, deployment

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
MAGIC = b"\xff\xff\xff\xff"  # neither a picture, nor half or single precision numbers of a face begin so
_NONCE = 12
_HEAD = struct.Struct("<4sI")  # and the number of the key
OVERHEAD = _HEAD.size + _NONCE + 16  # bytes that sealing adds
_PROOF_ROW = sa.select(deployment.c.sealed)
_PROOF = {b"finished": True, b"begun": False}


log = logging.getLogger(__name__)


class NotSealed(StoreFailed):
    """The bytes are not what was sealed here, for this place, with this key."""


class KeyMissing(StoreFailed):
    """Nothing can be read without the key file."""


def read_key(path: Path) -> bytes:
    """32 bytes, or 64 hexadecimal digits."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeyMissing(f"the key file {path} cannot be read: {error.strerror}") from None
    if len(data) == KEY_BYTES:
        return data
    text = data.strip()
    if re.fullmatch(rb"[0-9a-fA-F]{64}", text) is None:
        raise KeyMissing(f"the key file {path} has neither {KEY_BYTES} bytes nor {2 * KEY_BYTES} hexadecimal digits")
    return bytes.fromhex(text.decode())


def cipher(key: bytes) -> AESGCM:
    """Loaded when it is needed: the start of a server without a key file does without it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _encrypt(key: AESGCM, data: bytes, what: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + key.encrypt(nonce, data, what.encode())


def _decrypt(key: AESGCM, data: bytes, what: str) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return key.decrypt(data[:_NONCE], data[_NONCE:], what.encode())
    except (InvalidTag, ValueError):
        raise NotSealed(f"{what} is damaged, or was sealed for another place or with another key") from None


class Seal:
    """Of one app. `what` names the place of the bytes: in another one they cannot be opened."""

    def __init__(self, app_id: int, keys: Mapping[int, AESGCM]) -> None:
        self._app_id, self._keys = app_id, keys
        self.newest = max(keys, default=0)

    def seal(self, data: bytes, what: str) -> bytes:
        if not data:  # there is nothing to hide
            return data
        return _HEAD.pack(MAGIC, self.newest) + _encrypt(self._keys[self.newest], data, self._place(what))

    def open(self, data: bytes, what: str) -> bytes:
        if not data:
            return data
        number = number_of(data)
        if number is None or number not in self._keys:
            raise NotSealed(f"{what} is not sealed with a key of its app")
        return _decrypt(self._keys[number], data[_HEAD.size :], self._place(what))

    def _place(self, what: str) -> str:
        return f"{self._app_id} {what}"


class _Plain(Seal):
    def __init__(self) -> None:
        super().__init__(0, {})

    def seal(self, data: bytes, what: str) -> bytes:
        return data

    def open(self, data: bytes, what: str) -> bytes:
        return data


PLAIN: Seal = _Plain()


def number_of(data: bytes) -> int | None:
    """Of the key that the bytes are sealed with; None: they are not."""
    if len(data) < _HEAD.size + _NONCE or not data.startswith(MAGIC):
        return None
    return int(_HEAD.unpack_from(data)[1])


class Sealer:
    """Knows the apps' seals. Keys of an app that is there never change while a server runs, and no app's number is
    used twice: what is remembered stays true."""

    def __init__(self, key: bytes | None = None, needed: bool = False, path: Path | None = None) -> None:
        """`needed`: who opens a sealed library without its key is refused at once, not at the first face. `path`:
        where the key comes from, and where another one may be later."""
        self._key = None if key is None else cipher(key)
        self._bytes, self._path = key, path
        self._former: list[AESGCM] = []  # keys that the file had before; some records are still wrapped by them
        self.needed = needed
        self.locked = False  # the library is sealed, and the key is not here
        self._seals: dict[int, Seal] = {}
        self.homes: dict[int, int] = {}  # the app of each group whose gallery was loaded

    @classmethod
    def of(cls, path: Path | None) -> Sealer:
        return cls(None if path is None else read_key(path), needed=True, path=path)

    @property
    def active(self) -> bool:
        return self._key is not None or self.locked

    @property
    def has_key(self) -> bool:
        return self._key is not None

    # The key file's key

    def wrap(self, data: bytes, what: str) -> bytes:
        return _encrypt(self._master(), data, what)

    def unwrap(self, data: bytes, what: str) -> bytes:
        for key in (self._master(), *self._former):
            with suppress(NotSealed):
                return _decrypt(key, data, what)
        return _decrypt(self._reread(), data, what)

    def _which_proves(self, proof: bytes) -> AESGCM:
        """The key that the library has now: what is wrapped by another one nobody can read after the next start."""
        for key in (self._master(), *self._former):
            with suppress(NotSealed):
                _decrypt(key, proof, "proof")
                return key
        try:
            self.proves(proof)
        except KeyMissing:
            log.error("no app can get a key: the library's key was changed, and FACE_KEY_FILE has to have the new one")
            raise
        return self._master()

    def _reread(self) -> AESGCM:
        """The keys may have been wrapped anew meanwhile, and the file have the new key."""
        if self._path is not None and (new := read_key(self._path)) != self._bytes:
            self._former.insert(0, self._master())
            self._key, self._bytes = cipher(new), new
        return self._master()

    def proof(self, finished: bool) -> bytes:
        """Tells this key from others, and whether all of the library is sealed."""
        return self.wrap(b"finished" if finished else b"begun", "proof")

    def proves(self, proof: bytes) -> bool:
        """False: not all of the library is sealed yet."""
        try:
            return _PROOF[self.unwrap(proof, "proof")]
        except NotSealed:
            raise KeyMissing("the library is sealed with another key than the one in FACE_KEY_FILE") from None

    def opens(self, proof: bytes) -> bool:
        """Is the library sealed, all of it, with this key?"""
        try:
            return self.proves(proof)
        except KeyMissing:
            return False

    def _master(self) -> AESGCM:
        if self._key is None:
            raise KeyMissing("the library is sealed: FACE_KEY_FILE has to name its key file")
        return self._key

    # The apps' keys

    def known(self, app_id: int) -> Seal | None:
        return self._seals.get(app_id) if self.active else PLAIN

    def remember(self, app_id: int, seal: Seal | None) -> None:
        """Only what is committed: a key that nobody has stored would lose what it seals."""
        if seal is not None and seal is not PLAIN:
            self._seals[app_id] = seal

    def forget_all_but(self, app_ids: set[int]) -> None:
        for app_id in self._seals.keys() - app_ids:
            self._seals.pop(app_id, None)

    def stored(self, connection: sa.Connection, app_id: int) -> Seal | None:
        """As the database has it; None: the app has no key."""
        if not self.active:
            return PLAIN
        rows = connection.execute(sa.select(app_keys).where(app_keys.c.app_id == app_id)).all()
        return self._seal(app_id, {row.number: bytes(row.wrapped) for row in rows}) if rows else None

    def learn(self, connection: sa.Connection, app_id: int) -> Seal:
        """In a transaction that only reads."""
        seal = self.known(app_id) or self.stored(connection, app_id)
        self.remember(app_id, seal)
        return seal or Seal(app_id, {})  # it opens nothing

    def learn_all(self, connection: sa.Connection) -> None:
        keys: dict[int, dict[int, bytes]] = {}
        for row in connection.execute(sa.select(app_keys)):
            keys.setdefault(row.app_id, {})[row.number] = bytes(row.wrapped)
        for app_id, wrapped in keys.items():
            self.remember(app_id, self._seal(app_id, wrapped))

    def new(self, connection: sa.Connection, app_id: int, number: int = 1) -> None:
        """One more key of the app. It is to be remembered when the transaction is committed, not before."""
        proof = bytes(connection.execute(_PROOF_ROW.with_for_update(read=True)).scalar_one())
        master = self._which_proves(proof) if proof else self._master()
        wrapped = _encrypt(master, secrets.token_bytes(KEY_BYTES), _name(app_id, number))
        connection.execute(sa.insert(app_keys).values(app_id=app_id, number=number, wrapped=wrapped))

    def for_writing(self, connection: sa.Connection, app_id: int) -> Seal:
        """The app's seal, made if there is none."""
        seal = self.known(app_id) or self.stored(connection, app_id)
        if seal is None:
            self.new(connection, app_id)
            seal = self.stored(connection, app_id)
        assert seal is not None
        return seal

    def _seal(self, app_id: int, wrapped: Mapping[int, bytes]) -> Seal:
        return Seal(app_id, {n: cipher(self.app_key(app_id, n, data)) for n, data in wrapped.items()})

    def app_key(self, app_id: int, number: int, wrapped: bytes) -> bytes:
        return self.unwrap(wrapped, _name(app_id, number))

    def wrap_app_key(self, app_id: int, number: int, key: bytes) -> bytes:
        return self.wrap(key, _name(app_id, number))


def _name(app_id: int, number: int) -> str:
    return f"key {number} of app {app_id}"


def key_in(key: str, app_id: int) -> str:
    """The key of a picture that is sealed for an app."""
    return f"{key}-{app_id}"


def app_of(key: str) -> int:
    """The app that such a key names; 0: it names none."""
    number = key.rpartition("-")[2]
    return int(number) if "-" in key and number.isdecimal() else 0
