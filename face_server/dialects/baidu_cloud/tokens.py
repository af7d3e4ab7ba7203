"""Access tokens: signed and stateless, so that every server of a deployment accepts what any of them issued."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time

import orjson

from face_server.faces.access import Access

SECONDS = 30 * 86400  # a token is good for
REFRESH_SECONDS = 120 * SECONDS
ACCESS, REFRESH = b"access", b"refresh"


class Tokens:
    """A token is `app, key, time of its end` in readable form, and a signature over it."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def issue(self, app: str, key: str, purpose: bytes = ACCESS) -> str:
        ends = int(time.time()) + (SECONDS if purpose == ACCESS else REFRESH_SECONDS)
        content = _text(orjson.dumps([app, key, ends]))
        return f"{content}.{self._signature(content, purpose)}"

    async def app_of(self, token: str, purpose: bytes = ACCESS) -> str | None:
        """The app, while the token has not ended and the key it was issued for still belongs to that app."""
        content, _, signature = token.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(content, purpose).encode()):
            return None
        app, key, ends = orjson.loads(base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)))
        known: str | None = app if ends > time.time() and await self._access.by_key(key) == app else None
        return known

    def _signature(self, content: str, purpose: bytes) -> str:
        signed = purpose + b" token " + content.encode()
        return _text(hmac.digest(self._access.signing_key, signed, hashlib.sha256))


def _text(content: bytes) -> str:
    """Without padding: nothing in a token needs an escape in a URL."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
