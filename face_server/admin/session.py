"""Signing in. A session is a signed cookie. What is kept: the key of the account that signs it, and which were ended.

The cookie carries a digest of the CSRF token, the token itself is in a second cookie that pages can read. Whoever has
only the first cannot change anything.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from face_server.admin import passwords
from face_server.admin.failures import Refusal
from face_server.admin.roles import Role, Who
from face_server.admin.throttle import Throttle
from face_server.store.work import Operators

COOKIE, CSRF_COOKIE, CSRF_HEADER = "face_session", "face_csrf", "X-CSRF-Token"
WRONG = "wrong_password"
SECONDS = 12 * 3600
AT_ONCE = 2  # slow hashes: each takes a core and 32 MB
_PASSED_ON = ("x-forwarded-for", "forwarded", "x-real-ip")


@dataclass(frozen=True, slots=True)
class SignedIn:
    who: Who
    cookie: str
    csrf: str


@dataclass(frozen=True, slots=True)
class _Session:
    who: Who
    csrf_digest: str


class Sessions:
    def __init__(self, operators: Operators, public: bool) -> None:
        """`public`: the server listens beyond the loopback address."""
        self._operators, self._public = operators, public
        self._throttle = Throttle()
        self._hashing = asyncio.Semaphore(AT_ONCE)

    async def who(self, request: Request, changes: bool) -> Who:
        """Raises unless somebody is signed in, or nobody has to; `changes`: and meant to send this request."""
        session = await self._session(request)
        if session is None:
            return await self._anybody(request)
        if changes:
            sent = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(_digest(sent), session.csrf_digest):
                raise Refusal(403, "csrf", f"The header {CSRF_HEADER} is missing or not that of this session.")
        return session.who

    async def _anybody(self, request: Request) -> Who:
        """On the loopback address without any password: whoever can reach it."""
        if await self._operators.any():
            raise Refusal(401, "sign_in", "Sign in first.")
        if self._public or any(name in request.headers for name in _PASSED_ON):
            raise Refusal(401, "no_password", "Nobody can sign in yet: run `face-server admin password` on the server.")
        # A page of another site, or of a name that was pointed here, must not use the browser of who sits here.
        origin = request.headers.get("origin")
        if not _is_loopback(request.url.hostname or ""):
            raise Refusal(403, "foreign_host", "Use the loopback address, or set a password.")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            raise Refusal(403, "foreign_host", "Another site sent this request.")
        return Who("", Role.ADMIN, source_of(request))

    async def sign_in(self, source: str, name: str, password: str) -> SignedIn:
        left = self._throttle.wait(source, name)
        if left > 0:
            raise Refusal(429, "throttled", "Too many wrong passwords, wait a little.", retry_after=left)
        # Until it proves right: of many that come at once only the first few are tried.
        self._throttle.wrong(source, name)
        await asyncio.sleep(self._throttle.drag(name))
        operator = await self._operators.get(name)
        async with self._hashing:
            stored = operator.password if operator else passwords.NOBODY
            right = await asyncio.to_thread(passwords.matches, password, stored)
        if operator is None or not right:
            raise Refusal(401, WRONG, "Name or password is wrong.")
        self._throttle.right(source, name)
        csrf, expires = secrets.token_urlsafe(24), time.time() + SECONDS
        facts = {"name": name, "expires": expires, "csrf": _digest(csrf)}
        who = Who(name, Role.of(operator.role), source, expires)
        return SignedIn(who, _signed(facts, operator.session_key), csrf)

    async def sign_out(self, request: Request) -> None:
        """Ends this session, for whoever has its cookie; others of the account go on."""
        session = await self._session(request)
        if session is not None and session.who.expires is not None:
            await self._operators.end_session(session.csrf_digest, session.who.expires)

    async def _session(self, request: Request) -> _Session | None:
        payload, _, signature = request.cookies.get(COOKIE, "").partition(".")
        facts = _read(payload)
        if facts is None:
            return None
        operator = await self._operators.get(str(facts["name"]))
        if operator is None or not _same(_signature(payload, operator.session_key), signature):
            return None
        expires = float(facts["expires"])
        if expires < time.time() or await self._operators.ended(str(facts["csrf"])):
            return None
        who = Who(operator.name, Role.of(operator.role), source_of(request), expires)
        return _Session(who, str(facts["csrf"]))


def source_of(request: Request) -> str:
    return request.client.host if request.client else ""


def set_cookies(request: Request, response: Response, session: SignedIn) -> None:
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    for name, value, hidden in ((COOKIE, session.cookie, True), (CSRF_COOKIE, session.csrf, False)):
        response.set_cookie(name, value, SECONDS, path="/", secure=secure, httponly=hidden, samesite="strict")


def drop_cookies(response: Response) -> None:
    for name in (COOKIE, CSRF_COOKIE):
        response.delete_cookie(name, path="/", samesite="strict")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _signed(facts: dict[str, object], key: bytes) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode()
    return f"{payload}.{_signature(payload, key)}"


def _signature(payload: str, key: bytes) -> str:
    return hmac.new(key, payload.encode(), hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _read(payload: str) -> dict[str, str | float] | None:
    """What a cookie says; nothing of it is true before its signature was checked."""
    try:
        facts = json.loads(base64.urlsafe_b64decode(payload))
        return {"name": str(facts["name"]), "expires": float(facts["expires"]), "csrf": str(facts["csrf"])}
    except (ValueError, binascii.Error, KeyError, TypeError):
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
