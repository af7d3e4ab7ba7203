"""Talking to a running server by its admin API, and what the words that do so have in common."""

from __future__ import annotations

import inspect
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from http.cookies import SimpleCookie
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

import typer
from rich.console import Console
from rich.table import Table

from face_server.commands.said import clock, fail, print_json
from face_server.settings import load_settings

# Exit codes, the same for every word: what a script has to tell apart.
REFUSED = 1  # the server, or what was found in a picture, says no
WRONG_WORDS = 2  # this cannot be run as it was said
UNREACHABLE = 3  # no server there, or it is busy: later it may work
NOT_ALLOWED = 4  # a password is missing or wrong, or the role may not

PASSWORD = "FACE_ADMIN_PASSWORD"
PREFIX = "/admin/v1"
SECONDS = 60
WIDTH = 140  # of tables where nobody knows how wide the screen is

Url = Annotated[str, typer.Option("--url", help="the server [http://FACE_HOST:FACE_PORT]", show_default=False)]
Account = Annotated[str, typer.Option("--name", help="the account to sign in with")]
Password = Annotated[
    str, typer.Option("--password", help=f"its password, where the server wants one [{PASSWORD}]", show_default=False)
]
App = Annotated[str, typer.Option("--app", help="the app that the library belongs to")]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]

out = Console(soft_wrap=True, highlight=False, markup=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


class Unreachable(Exception):
    """No server answers there."""


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A password or a session must not follow to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Server:
    """One server. Signs in when it is asked to, at most once."""

    def __init__(self, url: str = "", name: str = "admin", password: str = "") -> None:
        self.url = (url or _default_url()).rstrip("/")
        if urlsplit(self.url).scheme not in ("http", "https"):
            fail(f"{self.url}: an address that begins with http:// or https:// is expected", WRONG_WORDS)
        self._name, self._password = name, password or os.environ.get(PASSWORD, "")
        self._cookies: SimpleCookie = SimpleCookie()
        # One's own server is not asked by way of a proxy that is meant for the world outside.
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    def __call__(self, method: str, path: str, body: object = None, /, **query: object) -> Any:
        """The answer's JSON, or None where there is none. Raises Refused or Unreachable."""
        try:
            return self._send(method, path, body, query)
        except Refused as error:
            if error.code != "sign_in" or not self._password or self._cookies:
                raise
        self._send("POST", "/session", {"name": self._name, "password": self._password}, {})
        return self._send(method, path, body, query)

    def all(self, path: str, most: int | None = None, /, **query: object) -> Iterator[Any]:
        """Every item of a list, page after page, or so many of them."""
        cursor, left = None, most
        while left is None or left > 0:
            limit = 200 if left is None else min(200, left)
            page = self("GET", path, **query, cursor=cursor, limit=limit)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            if (cursor := page["next"]) is None:
                return

    def _send(self, method: str, path: str, body: object, query: dict[str, object]) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}{PREFIX}{path}?{urlencode(given, doseq=True)}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self._headers(isinstance(body, bytes)), method=method)
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                for cookie in answer.headers.get_all("Set-Cookie", []):
                    self._cookies.load(cookie)
                content = answer.read()
            return json.loads(content) if content else None
        except urllib.error.HTTPError as error:
            raise _refused(error) from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(f"no face-server answers at {self.url}: {reason}") from None

    def _headers(self, picture: bool) -> dict[str, str]:
        headers = {"Content-Type": "application/octet-stream" if picture else "application/json"}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{one.key}={one.value}" for one in self._cookies.values())
            headers["X-CSRF-Token"] = self._cookies["face_csrf"].value
        return headers


def _refused(error: urllib.error.HTTPError) -> Refused | Unreachable:
    try:
        told = json.loads(error.read())["error"]
        return Refused(error.code, str(told["code"]), str(told["message"]))
    except (ValueError, KeyError, TypeError, OSError):
        return Unreachable(f"what answers with status {error.code} at {error.url} is no face-server")


def _default_url() -> str:
    settings = load_settings()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def run(url: str, name: str, password: str, work: Callable[[Server], Any]) -> Any:
    """What an operator can mend is told in one line; the exit code says which kind it is."""
    try:
        return work(Server(url, name, password))
    except Unreachable as error:
        fail(str(error), UNREACHABLE)
    except Refused as error:
        hint = f" Give --password or {PASSWORD}." if error.code == "sign_in" else ""
        if error.status in (401, 403):
            fail(f"{error}{hint}", NOT_ALLOWED)
        fail(str(error), UNREACHABLE if error.status in (429, 500, 503) else REFUSED)
    except (ValueError, OSError) as error:
        fail(str(error), WRONG_WORDS)


@dataclass(frozen=True, slots=True)
class Call:
    """One word said to a server, with what all such words have in common."""

    url: str
    name: str
    password: str
    as_json: bool

    def run(self, work: Callable[[Server], Any]) -> Any:
        return run(self.url, self.name, self.password, work)

    def show(self, items: list[dict[str, Any]], *columns: str) -> None:
        show(items, self.as_json, *columns)


def word(app: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose function takes a `Call` first: the options of the call come behind its own."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = list(signature.parameters.values())[1:]
        common = inspect.signature(_call, eval_str=True).parameters

        def said(**given: Any) -> None:
            call = Call(**{name: given.pop(name) for name in common})
            function(call, **given)

        said.__doc__ = function.__doc__
        said.__signature__ = signature.replace(parameters=[*own, *common.values()])  # type: ignore[attr-defined]
        said.__annotations__ = {one.name: one.annotation for one in (*own, *common.values())}
        app.command(name or function.__name__)(said)
        return function

    return register


def _call(url: Url = "", name: Account = "admin", password: Password = "", as_json: Json = False) -> None:
    """The options of every call."""


def confirm(question: str, yes: bool) -> None:
    """A script has to say --yes."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def show(items: list[dict[str, Any]], as_json: bool, *columns: str) -> None:
    """Rows with these fields of the items."""
    if as_json:
        print_json(items)
        return
    table = Table(*columns, box=None)
    for item in items:
        table.add_row(*(_cell(name, item[name]) for name in columns))
    print_table(table)


def print_table(table: Table) -> None:
    Console(width=out.width if out.is_terminal else WIDTH, highlight=False, markup=False).print(table)


def _cell(name: str, value: Any) -> str:
    if name in ("created", "updated", "ended", "starts"):
        return clock(value)
    if isinstance(value, dict):
        return " ".join(map(str, value.values()))
    return "-" if value is None else str(value)
