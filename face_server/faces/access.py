"""Who a caller is: apps with their keys and secrets.

All credentials are in memory: see `following`. A check costs one keyed hash. It takes the same steps whether or not the
key is known: an unknown one is compared with a hash that no secret has.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from face_server import request
from face_server.errors import FaceError
from face_server.faces.following import again_and_again
from face_server.store.access import AccessRows, Credential

NOTE_EVERY = 5.0  # seconds between two notes of last uses
KEY_LENGTH, SECRET_LENGTH = 24, 40
_LETTERS = string.ascii_letters + string.digits
_NOBODY = Credential(0, "", "", secrets.token_bytes(32), 0.0, 0.0, 0.0)

log = logging.getLogger(__name__)


def new_pair() -> tuple[str, str]:
    """An API key and a secret nobody can guess."""
    key, secret = ("".join(secrets.choice(_LETTERS) for _ in range(n)) for n in (KEY_LENGTH, SECRET_LENGTH))
    return key, secret


class Hasher:
    """Keyed hashes of secrets. Secrets are random and long, so a slow hash would make nothing safer."""

    def __init__(self, deployment_key: bytes) -> None:
        self._key = _derived(deployment_key, b"secrets of apps")

    def digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(errors="replace"), hashlib.sha256)


def _derived(deployment_key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(deployment_key, purpose, hashlib.sha256)


@dataclass(slots=True)
class _Known:
    version: int = -1
    apps: frozenset[str] = frozenset()
    by_key: dict[str, Credential] = field(default_factory=dict)
    by_app: dict[str, list[Credential]] = field(default_factory=dict)


class Access:
    signing_key: bytes

    def __init__(self, rows: AccessRows, enforced: bool) -> None:
        self.enforced = enforced
        self._rows = rows
        self._known = _Known()
        self._used: dict[int, float] = {}
        self._noting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        deployment_key = await self._rows.deployment_key()
        self.signing_key = _derived(deployment_key, b"tokens")
        self._hasher = Hasher(deployment_key)
        if self.enforced:
            await self.read()
            self._noting = asyncio.create_task(again_and_again(self._note_use, NOTE_EVERY))

    async def close(self) -> None:
        if self._noting is not None:
            self._noting.cancel()
            await asyncio.gather(self._noting, return_exceptions=True)
        await self._note_use()

    # Checks

    async def by_pair(self, key: str, secret: str) -> str | None:
        """The app of an API key, when the secret is the key's."""
        if not self.enforced:
            return key
        return self._match([self._known.by_key.get(key, _NOBODY)], secret)

    async def app_secret(self, app: str, secret: str) -> bool:
        """Whether this is a secret of the app."""
        return not self.enforced or self._match(self._known.by_app.get(app) or [_NOBODY], secret) is not None

    async def by_token(self, token: str) -> str | None:
        """The app of a token `key.secret`."""
        key, _, secret = token.partition(".")
        return await self.by_pair(key, secret)

    async def by_key(self, key: str) -> str | None:
        """The app of a key whose secret was checked before, say when a token was signed."""
        if not self.enforced:
            return key
        credential = self._known.by_key.get(key)
        return self._accept(credential) if credential and credential.valid(time.time()) else None

    async def known(self, app: str) -> bool:
        return not self.enforced or app in self._known.apps

    def _match(self, candidates: Sequence[Credential], secret: str) -> str | None:
        digest, now = self._hasher.digest(secret), time.time()
        found: Credential | None = None
        for candidate in candidates:  # all of them: where it stops must not tell anything
            same = hmac.compare_digest(candidate.digest, digest)
            if same and candidate is not _NOBODY and candidate.valid(now):
                found = candidate
        return self._accept(found) if found else None

    def _accept(self, credential: Credential) -> str:
        self._used[credential.id] = time.time()
        if asking := request.current.get():
            asking.caller = credential.key
        return credential.app

    # Following what others change

    @property
    def version(self) -> int:
        return self._known.version

    async def read(self) -> None:
        version, apps, credentials = await self._rows.all()
        known = _Known(version, frozenset(apps), {credential.key: credential for credential in credentials})
        for credential in credentials:
            known.by_app.setdefault(credential.app, []).append(credential)
        self._known = known

    async def _note_use(self) -> None:
        times, self._used = self._used, {}
        try:
            if times:
                await self._rows.note_use(times)
        except FaceError:
            self._used = times | self._used
            raise
