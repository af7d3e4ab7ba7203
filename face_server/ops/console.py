"""The console at /console: files of the package, kept in memory, under a policy that knows no inline code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

FOLDER = Path(__file__).parents[1] / "console"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # Where a browser knows it, a text that would become markup is an error instead.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked again each time, answered by 304: a new version is seen at once
}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> Asset:
        body = path.read_bytes()
        return cls(body, TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:16]}"')

    def respond(self, request: Request) -> Response:
        headers = {**HEADERS, "ETag": self.etag}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(self.body, headers=headers, media_type=self.media_type)


def assets(folder: Path) -> dict[str, Asset]:
    return {
        path.relative_to(folder).as_posix(): Asset.read(path)
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES
    }


def _routes(folder: Path) -> Iterator[Route]:
    files = assets(folder)

    async def page(request: Request) -> Response:
        return files["index.html"].respond(request)

    async def file(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        return found.respond(request) if found else Response(status_code=404, headers=HEADERS)

    async def to_console(request: Request) -> Response:
        # Relative, so that it also holds behind a proxy that serves us under a folder.
        return RedirectResponse("console" if request.url.path == "/" else "../console")

    yield Route("/", to_console, include_in_schema=False)
    yield Route("/console", page, include_in_schema=False)
    yield Route("/console/", to_console, include_in_schema=False)
    yield Route("/console/{name:path}", file, include_in_schema=False)


routes = list(_routes(FOLDER))
