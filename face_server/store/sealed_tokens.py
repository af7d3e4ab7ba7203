"""The cache of face tokens, with everything in it sealed.

An app may have tokens before it has a row, so its key for them is made here, lives as long as the process, and
travels with each record, wrapped by the key file's key. With the records of an app the last copies of the key go:
then its pictures cannot be opened any more, wherever in the cache they still lie.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from typing import TypeVar

from face_server.store.sealing import KEY_BYTES, NotSealed, Seal, Sealer, cipher
from face_server.store.tokens import Tokens

_MOST = 10_000  # keys in memory
_WRAPPED = 12 + KEY_BYTES + 16  # nonce, key, tag

K = TypeVar("K")
T = TypeVar("T")


class SealedTokens:
    def __init__(self, inner: Tokens, sealer: Sealer) -> None:
        self._inner, self._sealer = inner, sealer
        self._own: dict[str, tuple[bytes, Seal]] = {}  # of each app, what is sealed with from here
        self._known: dict[tuple[str, bytes], Seal] = {}  # by the wrapped key

    def put(self, app: str, picture: bytes, faces: Iterable[tuple[str, bytes]]) -> None:
        wrapped, seal = self._key_of(app)
        records = [(token, wrapped + seal.seal(record, f"record {app} {token}")) for token, record in faces]
        self._inner.put(app, seal.seal(picture, f"cached picture {app}"), records)

    async def get(self, app: str, token: str) -> tuple[bytes, bytes] | None:
        found = await self._inner.get(app, token)
        return None if found is None else await asyncio.to_thread(self._opened, app, token, *found)

    async def get_later(self, app: str, token: str, asked: float) -> tuple[bytes, bytes] | None:
        found = await self._inner.get_later(app, token, asked)
        return None if found is None else await asyncio.to_thread(self._opened, app, token, *found)

    def _opened(self, app: str, token: str, picture: bytes, record: bytes) -> tuple[bytes, bytes] | None:
        """None when it is of another time: before the library was sealed, or with another key file."""
        try:
            seal = self._unwrapped(app, record[:_WRAPPED])
            return seal.open(picture, f"cached picture {app}"), seal.open(record[_WRAPPED:], f"record {app} {token}")
        except NotSealed:
            return None

    def _key_of(self, app: str) -> tuple[bytes, Seal]:
        if app not in self._own:
            key = secrets.token_bytes(KEY_BYTES)
            _put(self._own, app, (self._sealer.wrap(key, _place(app)), _seal(key)))
        return self._own[app]

    def _unwrapped(self, app: str, wrapped: bytes) -> Seal:
        seal = self._known.get((app, wrapped))
        if seal is None:
            seal = _seal(self._sealer.unwrap(wrapped, _place(app)))
            _put(self._known, (app, wrapped), seal)
        return seal


def _put(known: dict[K, T], key: K, value: T) -> None:
    if len(known) >= _MOST:
        known.clear()
    known[key] = value


def _seal(key: bytes) -> Seal:
    return Seal(0, {1: cipher(key)})


def _place(app: str) -> str:
    return f"key of the tokens of {app}"
