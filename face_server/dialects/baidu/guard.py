"""Who calls. The manual has no credential, only an appid: with app secrets switched on, the query or the Authorization
header carries one, and the appid must be its app."""

from __future__ import annotations

from starlette.requests import Request

from face_server.dialects import wire
from face_server.dialects.baidu import codes
from face_server.dialects.credentials import app_of_header
from face_server.dialects.params import Refusal, Values
from face_server.dialects.wire import Fields
from face_server.faces.access import Access

CALLER = "caller"  # name of a value beside the parameters: the app whose credential came; None while all is open
_APPS = ("appid", "op_app_id")
_LISTS_OF_APPS = ("op_app_id_list",)


class Guard:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def caller(self, request: Request) -> str | None:
        """The app that shows its credential; None while authorization is open."""
        if not self._access.enforced:
            return None
        query = wire.parse_query(request.scope["query_string"])
        token, key, secret = (query.get(name) for name in ("access_token", "ak", "sk"))
        if isinstance(token, str):
            app = await self._access.by_token(token)
        elif isinstance(key, str):
            app = await self._access.by_pair(key, secret if isinstance(secret, str) else "")
        else:
            app = await app_of_header(self._access, request)
        if app is None:
            raise Refusal(codes.NOT_ALLOWED)
        return app

    def query(self, request: Request, caller: str | None) -> Fields:
        """Where an interface looks for the appid first."""
        return wire.parse_query(request.scope["query_string"])


def keep_to_own(caller: str | None, values: Values) -> Values:
    """Refuses what names another app than the caller's."""
    if caller is not None:
        named = {values[name] for name in _APPS if name in values}
        named.update(app for name in _LISTS_OF_APPS if name in values for app in values[name])
        if named - {caller}:
            raise Refusal(codes.OTHER_APP)
    return values | {CALLER: caller}
