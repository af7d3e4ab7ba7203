"""Where an SDK changes its API key and secret into an access token: the query of a GET, or the body of a POST."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from face_server.dialects import wire
from face_server.dialects.baidu.endpoint import DIALECT, read_fields
from face_server.dialects.baidu_cloud.tokens import REFRESH, SECONDS, Tokens
from face_server.dialects.wire import Bodies, BodyTooLarge, Fields, Kind, Shape, Unreadable
from face_server.errors import FaceError
from face_server.faces.access import Access

NAMES = ("grant_type", "client_id", "client_secret", "refresh_token")
SCOPE = "public brain_all_scope"  # without the second word the SDKs send no token but sign every request
LONGEST_KEY = 128  # characters: it may be an app's name


class Denied(Exception):
    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error, self.description = error, description


class TokenEndpoint:
    def __init__(self, access: Access, tokens: Tokens, bodies: Bodies) -> None:
        self._access, self._tokens, self._bodies = access, tokens, bodies
        self._shape = Shape(NAMES)

    async def respond(self, request: Request) -> Response:
        """A failure is a 200 too: SDKs read the body of nothing else."""
        error = ""
        try:
            told = await self._grant(await self._read(request))
        except Denied as denied:
            error, told = denied.error, {"error": denied.error, "error_description": denied.description}
        except (Unreadable, BodyTooLarge, FaceError) as failure:
            error, told = "invalid_request", {"error": "invalid_request", "error_description": str(failure)}
        wire.note(DIALECT, "oauth/token", error or 0)
        response = wire.answer(told)
        response.headers["cache-control"] = "no-store"
        return response

    async def _read(self, request: Request) -> dict[str, str]:
        """From body and query together: many post nothing and have all of it in the query."""
        sources = [wire.parse_query(request.scope["query_string"])]
        if request.method == "POST":
            kind, fields = await read_fields(request, self._bodies, self._shape)
            sources = [*([] if kind is Kind.ARRAY else fields), *sources]
        return {name: _first(sources, name) for name in NAMES}

    async def _grant(self, sent: dict[str, str]) -> dict[str, Any]:
        key = sent["client_id"]
        if sent["grant_type"] not in ("client_credentials", "refresh_token"):
            raise Denied("unsupported_grant_type", "The authorization grant type is not supported")
        possible = key.isprintable() and 0 < len(key) <= LONGEST_KEY
        app = await self._access.by_pair(key, sent["client_secret"]) if possible else None
        if app is None:
            unknown = not possible or await self._access.by_key(key) is None
            raise Denied("invalid_client", "unknown client id" if unknown else "Client authentication failed")
        if sent["grant_type"] == "refresh_token" and await self._tokens.app_of(sent["refresh_token"], REFRESH) != app:
            raise Denied("expired_token", "refresh token has been used")
        return {
            "access_token": self._tokens.issue(app, key),
            "expires_in": SECONDS,
            "scope": SCOPE,
            "refresh_token": self._tokens.issue(app, key, REFRESH),
            # Of an older way to sign requests; clients keep them and nothing here reads them.
            "session_key": secrets.token_hex(16),
            "session_secret": secrets.token_hex(16),
        }


def _first(sources: list[Fields], name: str) -> str:
    for source in sources:
        value = source.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


_TEXTS: dict[str, Any] = {name: {"type": "string"} for name in NAMES}
_FORM = {"type": "object", "properties": _TEXTS, "required": list(NAMES[:3])}
SCHEMA: dict[str, dict[str, Any]] = {
    "GET": {
        "parameters": [
            {"name": name, "in": "query", "required": name in NAMES[:3], "schema": {"type": "string"}} for name in NAMES
        ]
    },
    "POST": {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": _FORM}}}},
}
