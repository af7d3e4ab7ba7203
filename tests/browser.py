"""A real browser for tests of the console, and what is wrong with a page in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

playwright = pytest.importorskip("playwright.async_api", reason="needs the package playwright")
axe = pytest.importorskip("axe_playwright_python", reason="needs the package axe-playwright-python")

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect  # noqa: E402

__all__ = ["Browser", "expect"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needed = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: apt-get install chromium"),
    pytest.mark.xdist_group("console"),  # one browser at a time
]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--use-fake-ui-for-media-stream"),
    "--use-fake-device-for-media-stream",
]
WIDTHS = {"desktop": (1280, 800), "phone": (375, 812)}
VIEWS: dict[str, tuple[str, Literal["light", "dark"]]] = {
    "en": ("desktop", "light"),
    "zh": ("phone", "dark"),
}  # where a visit begins
SECONDS = 60  # other tests may have the cores
ARTIFACTS = Path(os.environ.get("FACE_ARTIFACTS") or Path(__file__).parents[1] / "artifacts")
expect.set_options(timeout=SECONDS * 1000)
AXE = Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
WATCH_HEAD = """new MutationObserver((_, watch) => {
  if (!document.querySelector("h1")) return;
  watch.disconnect();
  requestAnimationFrame(() => setTimeout(() => (window.headPainted = performance.now())));
}).observe(document, { childList: true, subtree: true });"""


@dataclass
class Visit:
    page: Page
    url: str
    view: str = "en"
    troubles: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda asked: self._inside(asked.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.troubles.append(message.text)

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

    async def in_order(self, name: str = "") -> None:
        """Nobody is locked out, nothing sticks out, nothing was complained about. With a name the page is kept as a
        picture at both widths."""
        await self.page.evaluate(AXE)
        found = await self.page.evaluate("axe.run({resultTypes: ['violations']})")
        serious = {
            f"{one['id']}: {one['nodes'][0]['html'][:160]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        }
        assert serious == set(), f"{self.page.url}: {serious}"
        await self.page.evaluate("scrollTo(0, 0)")
        for width in WIDTHS if name else ():
            await self._at(width)
            await self._fits()
            await self.page.screenshot(path=ARTIFACTS / "console" / f"{name}-{self.view}-{width}.png", full_page=True)
        await self._at(VIEWS[self.view][0])
        await self._fits()
        assert self.troubles == [], f"{self.page.url}: {self.troubles}"

    async def _at(self, width: str) -> None:
        across, down = WIDTHS[width]
        await self.page.set_viewport_size({"width": across, "height": down})

    async def _fits(self) -> None:
        wide = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{self.page.url} is {wide} pixels too wide"


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as driver:
        running = await driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield running
        finally:
            await running.close()


@asynccontextmanager
async def visiting(browser: Browser, url: str, view: str = "en") -> AsyncIterator[Visit]:
    (width, height), theme = WIDTHS[VIEWS[view][0]], VIEWS[view][1]
    context = await browser.new_context(
        viewport={"width": width, "height": height}, locale=view, color_scheme=theme, reduced_motion="reduce"
    )
    context.set_default_timeout(SECONDS * 1000)
    try:
        yield Visit(await context.new_page(), url, view)
    finally:
        await context.close()


async def paints(browser: Browser, url: str, place: str) -> tuple[float, float, float]:
    """Milliseconds until a new browser shows something of a page, until it shows the page's own head, and what the
    page's thread has worked for both."""
    async with visiting(browser, url) as visit:
        meter = await visit.page.context.new_cdp_session(visit.page)
        await meter.send("Performance.enable", {"timeDomain": "threadTicks"})
        await visit.page.add_init_script(WATCH_HEAD)
        await visit.go(place)
        await visit.page.wait_for_function("window.headPainted > 0 && performance.getEntriesByType('paint').length > 1")
        found = "[performance.getEntriesByName('first-contentful-paint')[0].startTime, window.headPainted]"
        first, head = await visit.page.evaluate(found)
        figures = (await meter.send("Performance.getMetrics"))["metrics"]
        (work,) = [one["value"] * 1000 for one in figures if one["name"] == "TaskDuration"]
        return first, head, work
