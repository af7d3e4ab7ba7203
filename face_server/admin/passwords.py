"""Passwords: one slow hash at each sign-in, none at any other request."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from face_server.admin.roles import Role
from face_server.store.work import Operator

LEAST = 10  # characters
SALT = 16
KEY = 32
_N, _R, _P = 1 << 15, 8, 1  # 32 MB and about a tenth of a second
_MEMORY = 64 << 20

NOBODY = secrets.token_bytes(SALT + KEY)  # what the password of an unknown name is compared with


def new_operator(name: str, role: Role, password: str) -> Operator:
    salt = secrets.token_bytes(SALT)
    return Operator(name, role.word, salt + _hash(password, salt), new_session_key())


def new_session_key() -> bytes:
    return secrets.token_bytes(KEY)


def matches(password: str, stored: bytes) -> bool:
    return hmac.compare_digest(_hash(password, stored[:SALT]), stored[SALT:])


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY, dklen=KEY)
