"""The guide: every command of every page runs, its figures are those of the card, and it is built and served."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from starlette.applications import Starlette

from face_server.ops import guide
from scripts.guide.api import pages
from scripts.guide.pictures import pictures
from scripts.load.server import ServerProcess, free_port, serving
from tests.baidu_client import variant
from tests.conftest import ROOT
from tests.portraits import portrait_of
from tests.postgres import Postgres

DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent
HERE, POSTGRES = "http://127.0.0.1:8300", "postgresql://face:password@db.example/face"
RUN_ELSEWHERE = {"moving.md": "test_transfer.py"}  # needs another deployment
LIVED_IN = {"security.md", "operating.md"}  # tell of people who are there
PASSWORD = "correct horse"
ANEW = "`python -m scripts.guide` writes it anew"
# The reader types where a command asks, unless something is piped into it.
READER = """set -eu -o pipefail
face-server() {
  if [ -p /dev/stdin ]; then command face-server "$@"; else command face-server "$@" <<< "$TYPED"; fi
}"""
LONG_LIVED = "face-server serve", "make ", "face-server worker"

_WHY = r"(?:^ *<!-- not run: (?P<why>[^\n]+) -->\n+)?"
_BLOCK = re.compile(rf"{_WHY}^(?P<indent> *)```sh\n(?P<code>.*?)^(?P=indent)```", re.M | re.S)
_REFUSALS = re.compile(r'"error_code":[1-9]|"result":[1-9]\d{3}|"code":(?!200\b)[1-9]|Traceback')


class Block(NamedTuple):
    code: str
    why_not: str | None


def blocks(page: Path) -> list[Block]:
    return [Block(textwrap.dedent(found["code"]), found["why"]) for found in _BLOCK.finditer(page.read_text())]


PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
WITH_COMMANDS = [page for page in PAGES if blocks(page) and page.name not in RUN_ELSEWHERE]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def desk(tmp_path: Path, astronaut: bytes) -> Path:
    """A folder as a reader has it: photos, people, and somebody in the library."""
    portrait = portrait_of(astronaut)
    (tmp_path / "alice.jpg").write_bytes(portrait)
    (tmp_path / "other.jpg").write_bytes(variant(portrait, 2))
    (tmp_path / "models").symlink_to(ROOT / "models")
    return tmp_path


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name)
def test_commands(page: Path, desk: Path, request: pytest.FixtureRequest) -> None:
    code = "\n".join(block.code for block in blocks(page) if not block.why_not)
    code = code.replace(".venv/bin/", "")
    if POSTGRES in code:
        server: Postgres = request.getfixturevalue("postgres")
        code = code.replace(POSTGRES, server.url())
        _copyable(desk)
    words = ("face-server groups", "face-server people", "face-server jobs", "face-server top", "curl")
    if any(word in code for word in words):
        with serving(desk / "data") as running:
            if page.name in LIVED_IN:
                _register(running, desk)
            _run(code.replace(HERE, running.url), desk, running)
    elif code:
        _run(code, desk)


def _run(code: str, desk: Path, server: ServerProcess | None = None) -> None:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FACE_")}
    env = inherited | {"PATH": f"{BIN}:{os.environ['PATH']}", "SECRET": PASSWORD, "FACE_DATA_DIR": "data"}
    env["TYPED"] = "y" if "apps delete" in code else PASSWORD
    if server is not None:
        env["FACE_PORT"] = str(server.port)
    script = ["bash", "-c", f"{READER}\n{code}"]
    done = subprocess.run(
        script, cwd=desk, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert not _REFUSALS.search(done.stdout.replace(" ", "") + done.stderr), done.stdout


def _register(server: ServerProcess, desk: Path) -> None:
    for user in ("alice", "bob"):
        query = {"app": "default", "group": "staff", "user": user}
        picture = (desk / ("alice.jpg" if user == "alice" else "other.jpg")).read_bytes()
        assert httpx.post(f"{server.url}/admin/v1/faces", params=query, content=picture, timeout=30).status_code == 201


def _copyable(desk: Path) -> None:
    with serving(desk / "data") as server:
        _register(server, desk)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_not_run_says_why(page: Path) -> None:
    text = page.read_text()
    assert len(blocks(page)) == len(re.findall(r"^ *```sh$", text, re.M))
    for block in blocks(page):
        if not block.why_not and page.name not in RUN_ELSEWHERE:
            assert not any(line.strip().startswith(LONG_LIVED) for line in block.code.splitlines()), block.code


def rows(page: Path) -> Iterator[list[str]]:
    for line in page.read_text().splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("page", ["accuracy.md", "liveness.md"])
def test_figures_are_those_of_the_card(page: str) -> None:
    card = {row[0]: row for row in rows(ROOT / "models/builtin/MODEL_CARD.md")}
    told = [row for row in rows(DOCS / page) if row[0] in card and row[0] != "measure"]
    assert len(told) >= 6
    for row in told:
        assert row == card[row[0]][: len(row)]


def test_pictures_are_those_of_the_script() -> None:
    assert {path.name: path.read_text() for path in (DOCS / "pictures").glob("*.svg")} == pictures(), ANEW


def test_interfaces_are_those_of_the_contract(spec: Path) -> None:
    wanted = pages(json.loads((spec / "spec.json").read_text()))
    assert {path.name: path.read_text() for path in (DOCS / "api").iterdir()} == wanted, ANEW


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide") / "site"
    words = [str(BIN / "mkdocs"), "build", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    asked = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")
    found = {address for page in built.rglob("*.html") for address in asked.findall(page.read_text())}
    assert not found
    styles = "".join(path.read_text() for path in built.rglob("*.css"))
    assert not re.findall(r"url\(['\"]?https?:", styles)
    assert not re.findall(r"@import", styles)


def served(monkeypatch: pytest.MonkeyPatch, folder: Path) -> httpx.AsyncClient:
    """Answers as the server does, with the pages in this folder."""
    monkeypatch.setattr(guide, "FOLDER", folder)
    transport = httpx.ASGITransport(Starlette(routes=guide.routes))
    return httpx.AsyncClient(transport=transport, base_url="http://here", follow_redirects=True)


def a_style(built: Path) -> str:
    return next(built.rglob("*.css")).relative_to(built).as_posix()


async def test_is_served(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(monkeypatch, built) as client:
        for path in ("/guide", "/guide/", "/guide/quickstart", "/guide/vendors/baidu/", "/guide/index.html"):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert "face-server" in answer.text
            policy = answer.headers["content-security-policy"]
            assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
            assert "sha256-" in policy
        assert (await client.get("/guide")).url.path == "/guide/"
        assert (await client.get(f"/guide/{a_style(built)}")).headers["content-type"].startswith("text/css")
        strange = ("/guide//etc/passwd", "/guide/%00", f"/guide/{'a' * 5000}")
        for path in ("/guide/none", "/guide/..%2fsite.txt", "/guide/%2e%2e/%2e%2e/etc/passwd", *strange):
            assert (await client.get(path)).status_code == 404, path


async def test_says_how_to_build_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(monkeypatch, tmp_path) as client:
        answer = await client.get("/guide")
    assert answer.status_code == 404
    assert "make docs" in answer.text


def test_works_in_a_browser_under_its_policy(built: Path, tmp_path: Path) -> None:
    """Its own scripts run, the search finds, and nothing is refused or asked elsewhere."""
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs a chromium")
    program = (
        "import sys, uvicorn; from pathlib import Path; from starlette.applications import Starlette;"
        "from face_server.ops import guide; guide.FOLDER = Path(sys.argv[1]);"
        "uvicorn.run(Starlette(routes=guide.routes), port=int(sys.argv[2]), log_level='error')"
    )
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", program, str(built), str(port)], cwd=ROOT)
    try:
        _wait(f"http://127.0.0.1:{port}/guide/")
        _browse(api, chromium, f"http://127.0.0.1:{port}/guide/")
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the guide is not served")


def _browse(api: object, chromium: str, url: str) -> None:
    with api.sync_playwright() as play:  # type: ignore[attr-defined]
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.keyboard.press("s")
        page.keyboard.type("threshold")
        page.wait_for_selector(".md-search-result__item", timeout=20_000)
        for place in ("accuracy/", "api/enn/", "vendors/baidu/"):
            page.goto(url + place)
            page.wait_for_load_state("networkidle")
        browser.close()
    assert not wrong
    assert not [address for address in asked if not address.startswith((url, "data:", "blob:"))]
