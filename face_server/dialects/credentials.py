"""Credentials in a place that every HTTP client knows: the Authorization header."""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request

from face_server.faces.access import Access


async def app_of_header(access: Access, request: Request) -> str | None:
    """The app of `Bearer key.secret` or of `Basic` with key and secret as name and password. None: absent or wrong."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    match scheme.lower():
        case "bearer":
            return await access.by_token(value.strip())
        case "basic":
            return await access.by_pair(*_name_and_password(value))
    return None


def _name_and_password(value: str) -> tuple[str, str]:
    try:
        name, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return "", ""
    return name, password
