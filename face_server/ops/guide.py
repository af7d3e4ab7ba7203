"""The guide at /guide: static pages that `make docs` builds into the package. They load nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

FOLDER = Path(__file__).parents[1] / "guide"
ABSENT = "The guide is not built here. `make docs` in a checkout builds it; the same pages lie there in docs/.\n"
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}
# Its theme sets styles in the page; what it runs there is known, and allowed by its digest.
POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


async def page(request: Request) -> Response:
    found = await run_in_threadpool(_find, request.path_params.get("name", ""))
    if found is None:
        built = (FOLDER / "index.html").is_file()
        return PlainTextResponse("There is no such page.\n" if built else ABSENT, 404, HEADERS)
    if found.suffix != ".html":
        return FileResponse(found, headers=HEADERS)
    if not request.url.path.endswith(("/", ".html")):
        return RedirectResponse(request.url.path.rsplit("/", 1)[-1] + "/")  # relative, as behind a proxy's folder
    return await run_in_threadpool(_html, found)


def _find(name: str) -> Path | None:
    try:
        path = (FOLDER / name).resolve()
        if not path.is_relative_to(FOLDER.resolve()):
            return None
        path = path / "index.html" if path.is_dir() else path
        return path if path.is_file() else None
    except (OSError, ValueError):  # too long, or with a NUL: no file has such a name
        return None


def _html(path: Path) -> Response:
    text = path.read_text()
    digests = (hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(text))
    scripts = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return HTMLResponse(text, headers={**HEADERS, "Content-Security-Policy": POLICY.format(scripts=scripts)})


routes = [Route("/guide", page), Route("/guide/{name:path}", page)]
