"""Signing in and out, and who is signed in."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from face_server.admin.failures import Refusal
from face_server.admin.gate import who_asks
from face_server.admin.roles import NAME, Who
from face_server.admin.session import WRONG, Sessions, drop_cookies, set_cookies, source_of
from face_server.request import current
from face_server.store.history import Audit, Entry


class Session(BaseModel):
    open: bool  # nobody has to sign in
    name: str
    role: str
    expires: float | None


class Password(BaseModel):
    name: Annotated[str, Field(pattern=NAME)]
    password: Annotated[str, Field(max_length=1024)]


class Account:
    def __init__(self, sessions: Sessions, audit: Audit) -> None:
        self._sessions, self._audit = sessions, audit

    async def get(self, request: Request) -> Session:
        """Who is signed in."""
        return _shown(who_asks(request))

    async def sign_in(self, request: Request, response: Response, given: Password) -> Session:
        """Sets the session's cookie, and a readable one with the text that changes need as X-CSRF-Token."""
        source = source_of(request)
        try:
            session = await self._sessions.sign_in(source, given.name, given.password)
        except Refusal as refusal:
            # Those that are told to wait are not written down: so nobody can fill the log.
            if refusal.code == WRONG:
                await self._note(given.name, "", source, WRONG)
            raise
        await self._note(given.name, session.who.role.word, source, "ok")
        set_cookies(request, response, session)
        return _shown(session.who)

    async def _note(self, name: str, role: str, source: str, outcome: str) -> None:
        context = current.get()
        await self._audit.add(Entry(name, role, source, "sign_in", {}, outcome, context.log_id if context else 0))

    async def sign_out(self, request: Request, response: Response) -> None:
        """Ends this session."""
        await self._sessions.sign_out(request)
        drop_cookies(response)


def _shown(who: Who) -> Session:
    return Session(open=not who.name, name=who.name, role=who.role.word, expires=who.expires)
