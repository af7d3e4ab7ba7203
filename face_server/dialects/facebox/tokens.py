"""How a face's token is spelled: 24 characters for the vendor, 32 hexadecimal digits everywhere else.

Both are the same sixteen bytes, so a face that was registered through another dialect has a faceToken as well.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets

BYTES = 16
FILL = bytes(2)  # so that base64 needs no padding

_HEX = re.compile(r"[0-9a-f]{32}")


def spelled(token: str) -> str:
    if not _HEX.fullmatch(token):
        return token
    return base64.urlsafe_b64encode(bytes.fromhex(token) + FILL).decode()


def read(face_token: str) -> str:
    """The token; of a text that is no spelling of one the text itself, which nobody has."""
    try:
        data = base64.b64decode(face_token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return face_token
    return data[:BYTES].hex() if len(data) == BYTES + len(FILL) and data.endswith(FILL) else face_token


def new() -> str:
    """One whose spelling other vendors allow as the name of a user."""
    while "-" in spelled(token := secrets.token_hex(BYTES)):
        continue
    return token
