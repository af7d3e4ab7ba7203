"""The console in a real browser: every page with real photos, in both languages and at both widths."""

import re
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from scripts.load.server import ServerProcess, serving

playwright = pytest.importorskip("playwright.async_api", reason="needs the package playwright")
axe = pytest.importorskip("axe_playwright_python", reason="needs the package axe-playwright-python")

from playwright.async_api import Browser, Page, async_playwright, expect  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
    pytest.mark.xdist_group("console"),  # one server and one browser for all of them
]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream"),
    "--use-fake-device-for-media-stream",
]
VIEWS = {"en": (1280, 800, "light"), "zh": (390, 844, "dark")}
EVIL = "<img src=x onerror=document.title='broken'>"
expect.set_options(timeout=20_000)
AXE = Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


@dataclass
class Visit:
    page: Page
    url: str
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: said.type == "error" and self.troubles.append(said.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda asked: self._inside(asked.url))

    def _inside(self, address: str) -> None:
        if not address.startswith((self.url, "blob:", "data:")):
            self.troubles.append(f"asked outside: {address}")

    async def go(self, place: str) -> None:
        await self.page.goto(f"{self.url}/console#{place}")
        await expect(self.page.locator("h1")).to_be_visible()

    async def choose(self, *photos: Path) -> None:
        inputs = self.page.locator("main input[type=file]")
        for index, photo in enumerate(photos):
            await inputs.nth(index).set_input_files(photo)

    async def in_order(self) -> None:
        """Nobody is locked out, nothing sticks out, nothing was complained about."""
        await self.page.evaluate(AXE)
        found = await self.page.evaluate("axe.run({resultTypes: ['violations']})")
        serious = {
            f"{one['id']}: {one['nodes'][0]['html'][:160]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        }
        assert serious == set(), self.page.url
        wide = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{self.page.url} is {wide} pixels too wide"
        assert self.troubles == [], self.page.url


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Iterator[ServerProcess]:
    """A server of its own, because it has people: one with a name that would like to be markup."""
    with serving(tmp_path_factory.mktemp("console")) as running:
        for user, photo in (("biden", "id_biden_1.jpg"), (EVIL, "id_lennon_1.jpg")):
            query = {"app": "default", "group": "people", "user": user, "info": EVIL if user == EVIL else ""}
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
    async with async_playwright() as driver:
        running = await driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        await running.close()


@pytest_asyncio.fixture(params=sorted(VIEWS))
async def visit(request: pytest.FixtureRequest, browser: Browser, library: ServerProcess) -> AsyncIterator[Visit]:
    width, height, theme = VIEWS[request.param]
    context = await browser.new_context(
        viewport={"width": width, "height": height}, locale=request.param, color_scheme=theme, reduced_motion="reduce"
    )
    context.set_default_timeout(20_000)
    yield Visit(await context.new_page(), library.url)
    await context.close()


async def test_looking_at_photos(visit: Visit, photos: Path) -> None:
    await visit.go("try")
    await visit.in_order()
    await visit.choose(photos / "group_5_friends.jpg")
    await expect(visit.page.locator(".face-chip")).to_have_count(5)
    await expect(visit.page.locator(".track")).to_have_count(10)  # of the face that is chosen
    for dialect in range(6):
        await visit.page.locator(".segments").first.locator("button").nth(dialect).click()
        await expect(visit.page.locator(".tag", has_text="HTTP 200")).to_be_visible()
    await visit.page.get_by_role("button", name="curl").click()
    await expect(visit.page.locator("pre")).to_contain_text("curl")
    await visit.in_order()

    await visit.go("compare")
    await visit.choose(photos / "id_biden_1.jpg", photos / "id_biden_2.jpg")
    await expect(visit.page.locator(".big")).to_be_visible()
    assert float(await visit.page.locator(".big").inner_text()) > 60
    await expect(visit.page.locator("svg.curve")).to_be_visible()
    await visit.in_order()


async def test_finding_people(visit: Visit, photos: Path) -> None:
    await visit.go("search")
    await visit.choose(photos / "id_lennon_2.jpg")
    slider = visit.page.get_by_role("slider")
    await slider.fill("0")
    await expect(visit.page.locator(".person b").first).to_have_text(EVIL)
    await slider.fill("100")
    await expect(visit.page.locator(".person b").first).not_to_have_text(EVIL)
    assert await visit.page.title() != "broken"
    await visit.in_order()


async def test_the_library(visit: Visit, photos: Path, tmp_path: Path) -> None:
    for name, photo in (("clapton", "id_clapton_1.jpg"), ("nobody", "fmt_grey.jpg"), ("broken", "broken_text.jpg")):
        (tmp_path / "staff" / name).mkdir(parents=True)
        shutil.copyfile(photos / photo, tmp_path / "staff" / name / "photo.jpg")
    await visit.go("library/default")
    await expect(visit.page.locator(".tile b").get_by_text("people", exact=True)).to_be_visible()
    await visit.in_order()

    await visit.go("library/default/people")
    await expect(visit.page.get_by_text(EVIL, exact=True).first).to_be_visible()
    await visit.page.locator("input[webkitdirectory]").set_input_files(tmp_path / "staff")
    await expect(visit.page.locator("td.mono, td .mono", has_text="staff/broken/photo.jpg")).to_be_visible()
    # The browser itself tells of what the server refused: no picture (400), and a face that is there already (409).
    visit.troubles = [text for text in visit.troubles if not re.search("status of 4(00|09)", text)]
    await expect(visit.page.get_by_role("link", name="clapton")).to_be_visible()
    await visit.in_order()

    row = visit.page.locator("tr", has=visit.page.get_by_role("link", name="clapton"))
    await row.get_by_role("button").click()
    await visit.page.locator("dialog .primary").click()
    await expect(row).to_have_count(0)
    await visit.page.locator(".toast button").click()
    await expect(row).to_have_count(1)

    await visit.page.get_by_role("link", name="biden").click()
    await expect(visit.page.locator("figure img")).to_be_visible()
    await visit.in_order()


async def test_the_server_and_its_settings(visit: Visit) -> None:
    async with httpx.AsyncClient(base_url=visit.url) as http:
        refused = (await http.post("/face-api/v3/face/detect?appid=default", json={"image_type": "BASE64"})).json()
    await visit.go("server")
    await expect(visit.page.locator(".numbers")).to_be_visible()
    await visit.page.get_by_role("button", name=str(refused["log_id"])).click()
    story = visit.page.locator("section", has=visit.page.locator("form")).locator("dl")
    await expect(story).to_contain_text("/face-api/v3/face/detect")
    await expect(story).to_contain_text(str(refused["error_code"]))
    await visit.in_order()
    await visit.go("settings")
    await expect(visit.page.get_by_text("FACE_PORT")).to_be_visible()
    await visit.in_order()


async def test_the_camera(visit: Visit) -> None:
    await visit.go("live")
    await visit.page.locator(".stage button").click()
    await expect(visit.page.locator("[role=status] .tag").first).to_be_visible()
    await visit.in_order()
    await visit.page.goto(f"{visit.url}/console/h5.html")
    await expect(visit.page.get_by_role("button")).to_be_visible()
    await visit.in_order()
