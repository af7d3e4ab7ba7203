"""Who calls: the app of the access token in the query. It stands where the interfaces look for an appid."""

from __future__ import annotations

from starlette.requests import Request

from face_server.dialects import wire
from face_server.dialects.baidu import codes
from face_server.dialects.baidu.guard import Guard
from face_server.dialects.baidu.tables import Proven
from face_server.dialects.baidu_cloud.tokens import Tokens
from face_server.dialects.params import Refusal
from face_server.dialects.wire import Fields, Unreadable


class TokenGuard(Guard):
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def caller(self, request: Request) -> str:
        app = await self._tokens.app_of(_token(request))
        if app is None:
            raise Refusal(codes.NOT_ALLOWED)
        return app

    def query(self, request: Request, caller: str | None) -> Fields:
        return Fields({"appid": Proven(caller)})


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
