"""Signing in and out, and who is signed in."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from face_server.admin.gate import who_asks
from face_server.admin.roles import Who
from face_server.admin.session import Sessions, drop_cookies, set_cookies, source_of


class Session(BaseModel):
    open: bool  # nobody has to sign in
    name: str
    role: str
    expires: float | None


class Password(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=64)]
    password: Annotated[str, Field(max_length=1024)]


class Account:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def get(self, request: Request) -> Session:
        """Who is signed in."""
        return _shown(who_asks(request))

    async def sign_in(self, request: Request, response: Response, given: Password) -> Session:
        """Sets the session's cookie, and a readable one with the text that changes need as X-CSRF-Token."""
        session = await self._sessions.sign_in(source_of(request), given.name, given.password)
        set_cookies(request, response, session)
        return _shown(session.who)

    async def sign_out(self, request: Request, response: Response) -> None:
        """Ends every session of this account."""
        who = who_asks(request)
        if who.name:
            await self._sessions.sign_out(who)
        drop_cookies(response)


def _shown(who: Who) -> Session:
    return Session(open=not who.name, name=who.name, role=who.role.word, expires=who.expires)
