"""The files of the console: complete in both languages, small, without inline code or foreign addresses, and served."""

import json
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from face_server.ops import console

JS = console.FOLDER / "js"
SOURCES = sorted(JS.rglob("*.js"))
CODE = [path for path in SOURCES if path.parent.name != "i18n"]
PAGES = sorted(console.FOLDER.glob("*.html"))
OWN_BYTES = 300_000  # of one page, code and style together
WORDS = ("gender", "expression", "emotion", "glasses", "face_shape", "face_type", "race", "quality", "liveness")
LOOKUP = re.compile(r"""\bt\((?:[^()"`]*\?\s*)?(["`])(.+?)\1(?:\s*:\s*"(.+?)")?""")


def texts(language: str) -> dict[str, str]:
    source = (JS / "i18n" / f"{language}.js").read_text(encoding="utf-8")
    table: dict[str, str] = json.loads(source.removeprefix("export default ").rstrip().removesuffix(";"))
    return table


def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Starlette(routes=console.routes))
    return httpx.AsyncClient(transport=transport, base_url="http://console")


def imports(path: Path) -> set[Path]:
    found = re.findall(r"""(?:from\s+|import\s*\(?\s*)["'](\.[^"']+)["']""", path.read_text(encoding="utf-8"))
    return {(path.parent / name).resolve() for name in found}


def closure(start: Path) -> set[Path]:
    seen, left = set(), [start]
    while left:
        path = left.pop()
        if path not in seen:
            seen.add(path)
            left += imports(path)
    return seen


def test_both_languages_have_the_same_texts() -> None:
    english, chinese = texts("en"), texts("zh")
    assert set(english) == set(chinese)
    assert not [key for key in english if not english[key].strip() or not chinese[key].strip()]


def test_placeholders_are_the_same_in_both_languages() -> None:
    english, chinese = texts("en"), texts("zh")
    unlike = [
        key for key in english if set(re.findall(r"{\w+}", english[key])) != set(re.findall(r"{\w+}", chinese[key]))
    ]
    assert unlike == []


def test_every_text_that_is_asked_for_is_there() -> None:
    known = texts("en")
    missing = []
    for path in CODE:
        for quote, key, other in LOOKUP.findall(path.read_text(encoding="utf-8")):
            if quote == "`":
                pattern = re.compile(re.sub(r"\\\$\\\{.*?\\\}", ".+", re.escape(key)))
                if not any(pattern.fullmatch(name) for name in known):
                    missing.append(f"{path.name}: {key}")
            else:
                missing += [f"{path.name}: {name}" for name in (key, other) if name and name not in known]
    assert missing == []


def test_no_text_is_kept_that_nobody_asks_for() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in CODE)
    asked = set(re.findall(r'"([a-z0-9_]+(?:\.[a-z0-9_]+)?)"', code))
    families = {*re.findall(r"`([a-z0-9_]+\.[a-z_]*)\$\{", code), *(f"{group}." for group in WORDS)}
    assert [key for key in texts("en") if key not in asked and not key.startswith(tuple(families))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_inline_code_or_style(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", source)
    assert re.findall(r"<script(?![^>]*\ssrc=)", source) == []


def test_data_never_becomes_markup_or_code() -> None:
    ways = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|createContextualFragment"
    )
    assert [path.name for path in SOURCES if re.search(ways, path.read_text(encoding="utf-8"))] == []


def test_no_address_outside() -> None:
    # The namespace of SVG is a name; the vendor's host is what the SDK's example replaces.
    allowed = {"www.w3.org", "aip.baidubce.com"}
    files = [*SOURCES, *PAGES, *console.FOLDER.rglob("*.css"), *console.FOLDER.rglob("*.svg")]
    hosts = {host for path in files for host in re.findall(r"(?:https?:)?//([\w-]+\.[\w.-]+)", path.read_text("utf-8"))}
    assert hosts <= allowed
    assert not [path for path in console.FOLDER.rglob("*.css") if re.search(r"@import|url\(", path.read_text("utf-8"))]


def test_no_page_is_heavy() -> None:
    style = sum(path.stat().st_size for path in console.FOLDER.rglob("*.css"))
    for entry in ("app.js", "h5.js"):
        code = sum(path.stat().st_size for path in closure(JS / entry)) + (JS / "early.js").stat().st_size
        assert code + style < OWN_BYTES, entry


def test_every_module_is_used_and_every_import_exists() -> None:
    used = closure(JS / "app.js") | closure(JS / "h5.js") | {JS / "early.js"}
    assert used == set(SOURCES)


async def test_pages_are_served_under_a_strict_policy() -> None:
    async with client() as http:
        for address in ("/console", "/console/h5.html", "/console/js/app.js", "/console/css/base.css"):
            answer = await http.get(address)
            assert answer.status_code == 200, address
            policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
            assert (
                policy["default-src"]
                == policy["script-src"]
                == policy["style-src"]
                == policy["connect-src"]
                == "'self'"
            )
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert policy["frame-ancestors"] == "'none'"
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_file_the_pages_name_is_served() -> None:
    async with client() as http:
        for page in PAGES:
            base = "/" if page.name == "index.html" else "/console/"
            for name in re.findall(r'(?:src|href)="([^"#]+)"', page.read_text(encoding="utf-8")):
                assert (await http.get(base + name)).status_code == 200, name
        for path in SOURCES:
            answer = await http.get(f"/console/{path.relative_to(console.FOLDER).as_posix()}")
            assert answer.headers["content-type"].startswith("text/javascript")


async def test_an_unchanged_file_is_not_sent_again() -> None:
    async with client() as http:
        first = await http.get("/console/js/app.js")
        again = await http.get("/console/js/app.js", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        assert again.content == b""
        assert (await http.get("/console/js/app.js", headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize("address", ["/", "/console/"])
async def test_every_way_leads_to_the_console(address: str) -> None:
    async with client() as http:
        answer = await http.get(address, follow_redirects=True)
        assert answer.status_code == 200
        assert answer.url.path == "/console"


@pytest.mark.parametrize("name", ["nothing.js", "../ops/console.py", "..%2Fops%2Fconsole.py", "js", ""])
async def test_nothing_else_is_served(name: str) -> None:
    async with client() as http:
        answer = await http.get(f"/console/{name}")
        assert answer.status_code in (307, 404)
        assert b"import" not in answer.content
