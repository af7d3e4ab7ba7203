"""The console in a real browser: every page with real photos and many people, in both languages and at both widths."""

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from face_server.vision.packs import BUILTIN, find_pack
from scripts.load.gallery import APP, GROUP, fill
from scripts.load.server import ServerProcess, serving
from tests.browser import VIEWS, Browser, Visit, chromium, expect, needed, paints, visiting

pytestmark = needed

EVIL = "<img src=x onerror=document.title='broken'>"
CROWD, PAGE = 20_000, 50
PAGES = ("try", "compare", f"library/{APP}/{GROUP}", "search", "live", "server", "settings")
PAINT, LOADS = 1000, 3  # milliseconds, and attempts
QUIET = 3  # on a quiet machine a page is there after at most so many times its own work: 300 ms for 130


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Iterator[ServerProcess]:
    """A server of its own, because it has people: a crowd, and one with a name that would like to be markup."""
    folder = tmp_path_factory.mktemp("console")
    fill(folder / "faces.db", CROWD, 128, find_pack(BUILTIN, folder).embedding_id)
    with serving(folder, deadline_ms=60_000) as running:
        for app, group, user, photo in (
            ("default", "people", "biden", "id_biden_1.jpg"),
            ("default", "people", EVIL, "id_lennon_1.jpg"),
            (APP, GROUP, "john", "id_lennon_1.jpg"),
        ):
            query = {"app": app, "group": group, "user": user, "info": EVIL if user == EVIL else ""}
            answer = httpx.post(
                f"{running.url}/admin/v1/faces",
                params=query,
                content=(photos / photo).read_bytes(),
                headers={"X-CSRF-Token": "open"},
            )
            assert answer.status_code == 201, answer.text
        yield running


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest_asyncio.fixture(params=sorted(VIEWS))
async def visit(request: pytest.FixtureRequest, browser: Browser, library: ServerProcess) -> AsyncIterator[Visit]:
    async with visiting(browser, library.url, request.param) as visit:
        yield visit


async def test_looking_at_photos(visit: Visit, photos: Path) -> None:
    await visit.go("try")
    await visit.in_order("try-empty")
    await visit.choose(photos / "group_5_friends.jpg")
    await expect(visit.page.locator(".face-chip")).to_have_count(5)
    await expect(visit.page.locator(".track")).to_have_count(10)  # of the face that is chosen
    for dialect in range(6):
        await visit.page.locator(".segments").first.locator("button").nth(dialect).click()
        await expect(visit.page.locator(".tag", has_text="HTTP 200")).to_be_visible()
    await visit.page.get_by_role("button", name="curl").click()
    await expect(visit.page.locator("pre")).to_contain_text("curl")
    await visit.in_order("try")

    await visit.go("compare")
    await visit.choose(photos / "id_biden_1.jpg", photos / "id_biden_2.jpg")
    await expect(visit.page.locator(".big")).to_be_visible()
    assert float(await visit.page.locator(".big").inner_text()) > 60
    await expect(visit.page.locator("svg.curve:visible")).to_be_visible()
    await visit.in_order("compare")


async def test_finding_people(visit: Visit, photos: Path) -> None:
    await visit.go("search")
    await visit.choose(photos / "id_lennon_2.jpg")
    slider = visit.page.get_by_role("slider")
    await slider.fill("0")
    await expect(visit.page.locator(".person b").first).to_have_text(EVIL)
    await slider.fill("100")
    await expect(visit.page.locator(".person b").first).not_to_have_text(EVIL)
    assert await visit.page.title() != "broken"
    await visit.in_order("search")


async def test_the_library(visit: Visit, photos: Path, tmp_path: Path) -> None:
    for name, photo in (("clapton", "id_clapton_1.jpg"), ("nobody", "fmt_grey.jpg"), ("broken", "broken_text.jpg")):
        (tmp_path / "staff" / name).mkdir(parents=True)
        shutil.copyfile(photos / photo, tmp_path / "staff" / name / "photo.jpg")
    await visit.go("library/default")
    await expect(visit.page.locator(".tile b").get_by_text("people", exact=True)).to_be_visible()
    await visit.in_order("library")

    await visit.go("library/default/people")
    await expect(visit.page.get_by_text(EVIL, exact=True).first).to_be_visible()
    await visit.page.locator("input[webkitdirectory]").set_input_files(tmp_path / "staff")
    await expect(visit.page.locator("td.mono, td .mono", has_text="staff/broken/photo.jpg")).to_be_visible()
    # The browser itself tells of what the server refused: no picture (400), and a face that is there already (409).
    visit.troubles = [text for text in visit.troubles if not re.search("status of 4(00|09)", text)]
    await expect(visit.page.get_by_role("link", name="clapton")).to_be_visible()
    checks = visit.page.locator("main section").last
    await checks.locator("button").nth(2).click()
    await expect(checks.locator("tbody tr")).to_have_count(6)  # two gates, three levels
    await visit.in_order("group")

    row = visit.page.locator("tr", has=visit.page.get_by_role("link", name="clapton"))
    await row.get_by_role("button").click()
    await visit.page.locator("dialog .primary").click()
    await expect(row).to_have_count(0)
    await visit.page.locator(".toast button").click()
    await expect(row).to_have_count(1)

    await visit.page.get_by_role("link", name="biden").click()
    await expect(visit.page.locator("figure img")).to_be_visible()
    await visit.in_order("person")


async def test_the_server_and_its_settings(visit: Visit) -> None:
    async with httpx.AsyncClient(base_url=visit.url) as http:
        refused = (await http.post("/face-api/v3/face/detect?appid=default", json={"image_type": "BASE64"})).json()
    await visit.go("server")
    await expect(visit.page.locator(".numbers")).to_be_visible()
    await visit.page.get_by_role("button", name=str(refused["log_id"])).click()
    story = visit.page.locator("section", has=visit.page.locator("form")).locator("dl")
    await expect(story).to_contain_text("/face-api/v3/face/detect")
    await expect(story).to_contain_text(str(refused["error_code"]))
    await visit.in_order("server")
    await visit.go("settings")
    await expect(visit.page.get_by_text("FACE_PORT")).to_be_visible()
    await visit.in_order("settings")


async def test_the_camera(visit: Visit) -> None:
    await visit.go("live")
    await visit.page.locator(".stage button").click()
    await expect(visit.page.locator("[role=status] .tag").first).to_be_visible()
    await visit.in_order("live")
    await visit.page.goto(f"{visit.url}/console/h5.html")
    await expect(visit.page.get_by_role("button")).to_be_visible()
    await visit.in_order("h5")


async def test_many_people(visit: Visit, photos: Path) -> None:
    """A page of them costs as much as a page of few: the browser is given no more."""
    await visit.go(f"library/{APP}/{GROUP}")
    rows = visit.page.locator("tbody tr")
    await expect(rows).to_have_count(PAGE)
    await expect(visit.page.locator(".page-head")).to_contain_text(f"{CROWD + 1:,}")
    bytes_of_answers = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/admin/'))"
    bytes_of_answers += ".reduce((sum, one) => sum + one.decodedBodySize, 0)"
    assert await visit.page.evaluate(bytes_of_answers) < 50_000
    pager = visit.page.locator("section .row.spread > button")
    for page in (1, 2):
        await pager.last.click()
        await expect(rows.first).to_contain_text(f"u{page * PAGE}")
    await pager.first.click()
    await expect(rows.first).to_contain_text(f"u{PAGE}")
    await visit.page.locator("section input[type=search]").fill("u1999")
    await expect(rows).to_have_count(11)  # u1999, u19990 to u19999
    await visit.page.locator("section .row > .grow + button").click()
    await visit.page.locator("dialog input[type=file]").set_input_files(photos / "id_lennon_2.jpg")
    await visit.page.locator("dialog .tile").first.click()
    await expect(visit.page.locator("h1")).to_have_text("john")
    await visit.in_order("many-people")


@pytest.mark.parametrize("place", PAGES)
async def test_first_paint(browser: Browser, library: ServerProcess, place: str) -> None:
    """Something is there within a second, and so is the page's own head: in a browser that never was here before.
    Where others have the cores, what counts is how long the page itself has worked."""
    seen: list[tuple[float, float, float]] = []
    while len(seen) < LOADS and not any(max(first, head) < PAINT for first, head, _ in seen):
        seen.append(await paints(browser, library.url, place))
    assert min(min(max(first, head), QUIET * work) for first, head, work in seen) < PAINT, f"{place}: {seen}"
