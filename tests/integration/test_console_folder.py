"""A folder of photos on its way into a group: the page is loaded again, an answer gets lost, the server is killed."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from PIL import Image, ImageChops, ImageEnhance
from playwright.async_api import Error, Route

from scripts.load.server import ServerProcess, serving
from tests.browser import SECONDS, Visit, chromium, expect, needed, visiting

pytestmark = needed

PEOPLE, FACELESS = 496, 4
FACE_PIXELS = 120  # small, so that five hundred are looked at in seconds
GROUP = {"app": "default", "group": "staff"}


@pytest.fixture
def restartable(tmp_path: Path) -> Iterator[ServerProcess]:
    with serving(tmp_path / "data") as running:
        httpx.post(f"{running.url}/admin/v1/groups", json=GROUP).raise_for_status()
        yield running


@pytest_asyncio.fixture
async def visit(restartable: ServerProcess) -> AsyncIterator[Visit]:
    async with chromium() as browser, visiting(browser, restartable.url) as visit:
        yield visit


@pytest.fixture
def folder(tmp_path: Path, astronaut: bytes) -> Path:
    """One picture for each person, all different, and some without a face."""
    face = Image.open(io.BytesIO(astronaut)).convert("RGB").crop((120, 0, 330, 250))
    face = face.resize((FACE_PIXELS, FACE_PIXELS * face.height // face.width))
    for number in range(PEOPLE):
        person = tmp_path / "staff" / f"p{number:03}"
        person.mkdir(parents=True)
        brighter = ImageEnhance.Brightness(face).enhance(0.9 + number // 8 / 200)
        ImageChops.offset(brighter, number % 8, 0).save(person / "photo.jpg")
    for number in range(FACELESS):
        Image.new("RGB", (200, 200), (number, 90, 90)).save(tmp_path / "staff" / f"p{number:03}" / "wall.jpg")
    return tmp_path / "staff"


class Tap:
    """Lets a number of photos through; the server's answer to every seventh never arrives."""

    def __init__(self) -> None:
        self._room, self._passed = asyncio.Semaphore(0), 0

    def open(self, count: int) -> None:
        for _ in range(count):
            self._room.release()

    async def __call__(self, route: Route) -> None:
        await self._room.acquire()
        self._passed += 1
        lost = self._passed % 7 == 0
        if lost:
            with suppress(Error):  # no server
                await route.fetch()
        with suppress(Error):  # the page was left meanwhile
            await (route.abort() if lost else route.continue_())


async def faces_of(server: ServerProcess) -> list[int]:
    """How many faces each person has."""
    found: list[int] = []
    cursor: str | None = ""
    async with httpx.AsyncClient(base_url=f"{server.url}/admin/v1") as http:
        while cursor is not None:
            page = (
                await http.get("/users", params=GROUP | {"limit": "200"} | ({"cursor": cursor} if cursor else {}))
            ).json()
            found += [one["faces"] for one in page["items"]]
            cursor = page["next"]
    return found


async def more_than(server: ServerProcess, count: int) -> None:
    """Until so many have arrived; it may take long, but not without a step."""
    seen, waited = -1, 0
    while (now := len(await faces_of(server))) <= count:
        seen, waited = now, 0 if now > seen else waited + 1
        assert waited < 2 * SECONDS, f"no more than {now}, never more than {count}"
        await asyncio.sleep(0.5)


async def test_a_folder_survives_a_reload_and_a_restart(visit: Visit, restartable: ServerProcess, folder: Path) -> None:
    page, tap = visit.page, Tap()
    await page.context.route(re.compile(r"/admin/v1/faces\?"), tap)
    await visit.go("library/default/staff")
    tap.open(12)
    await page.locator("input[webkitdirectory]").set_input_files(folder)
    await more_than(restartable, 6)

    await page.reload()
    progress = page.get_by_role("progressbar")
    await expect(progress).to_have_attribute("aria-valuemax", str(PEOPLE + FACELESS))
    tap.open(200)
    await more_than(restartable, 100)

    restartable.kill()
    tap.open(2000)
    notice = page.get_by_text("It goes on by itself")
    await expect(notice).to_be_visible()
    await visit.go("try")  # it does not need the page
    await asyncio.to_thread(restartable.start)
    await more_than(restartable, PEOPLE - 1)

    await visit.go("library/default/staff")
    done = page.get_by_text(f"{PEOPLE} faces added.")
    await expect(done).to_be_visible()
    await expect(page.locator("section", has=done).locator("tbody tr")).to_have_count(FACELESS)
    assert await faces_of(restartable) == [1] * PEOPLE

    await page.reload()  # what was refused can still be read, until it is dismissed
    await expect(done).to_be_visible()
    await page.get_by_role("button", name="Dismiss").click()
    await expect(done).to_have_count(0)
    await page.reload()
    await expect(page.get_by_role("link", name="p000")).to_be_visible()
    await expect(done).to_have_count(0)
    left = "indexedDB.databases().then((all) => all.length)"
    assert await page.evaluate(left) == 1
    visit.troubles = [text for text in visit.troubles if "Failed to load resource" not in text]
    await visit.in_order()
