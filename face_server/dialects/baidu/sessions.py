"""Sessions of the H5 interface: an id for the caller and a code for the user to speak.

Nothing is stored. An id carries the time it was made and a signature, and its code follows from it, so that every
server of a deployment knows both.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

SECONDS = 600  # a session is good for
CODE_DIGITS = 4


class Sessions:
    def __init__(self, signing_key: bytes) -> None:
        self._key = signing_key

    def create(self) -> tuple[str, str]:
        """A new session's id and its code."""
        made = f"{int(time.time()):08x}{secrets.token_hex(4)}"
        return f"S{made}{self._sign(made)}", self._code(made)

    def code(self, session: str) -> str:
        """The code of a session; empty when there is no such session, or it has expired."""
        made, signature = session[1:17], session[17:]
        if not session.isascii() or not hmac.compare_digest(signature, self._sign(made)):
            return ""
        return self._code(made) if int(made[:8], 16) + SECONDS >= time.time() else ""

    def _sign(self, made: str) -> str:
        return self._digest(b"id", made)[:12]

    def _code(self, made: str) -> str:
        return f"{int(self._digest(b'code', made), 16) % 10**CODE_DIGITS:0{CODE_DIGITS}}"

    def _digest(self, purpose: bytes, made: str) -> str:
        return hmac.new(self._key, b"session " + purpose + made.encode(), hashlib.sha256).hexdigest()
