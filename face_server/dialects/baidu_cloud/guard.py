"""Who calls: the app of the access token in the query. It goes where the interfaces look for an appid."""

from __future__ import annotations

import hashlib

from starlette.requests import Request

from face_server.dialects import wire
from face_server.dialects.baidu import codes
from face_server.dialects.baidu.guard import Guard
from face_server.dialects.baidu.tables import APPID
from face_server.dialects.baidu_cloud.tokens import Tokens
from face_server.dialects.params import Refusal, Wrong
from face_server.dialects.wire import Unreadable


class TokenGuard(Guard):
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def caller(self, request: Request) -> str:
        app = await self._tokens.app_of(_token(request))
        if app is None:
            raise Refusal(codes.NOT_ALLOWED)
        library = library_of(app)
        request.scope["query_string"] = b"appid=" + library.encode()
        return library


def _token(request: Request) -> str:
    try:
        sent = wire.parse_query(request.scope["query_string"]).get("access_token")
    except Unreadable:
        raise Refusal(codes.NO_TOKEN) from None
    if not sent:
        # An SDK that was refused a token signs its requests instead.
        signed = request.headers.get("authorization", "").startswith("bce-auth")
        raise Refusal(codes.SIGNATURE_REFUSED if signed else codes.NO_TOKEN)
    # One SDK hangs a second query behind the first.
    return sent.partition("?")[0] if isinstance(sent, str) else ""


def library_of(app: str) -> str:
    """The name of the app's library. Where every key is accepted, not every key can be a name."""
    try:
        APPID.read(app)
    except Wrong:
        return "ak_" + hashlib.sha256(app.encode(errors="replace")).hexdigest()[:40]
    return app
