"""A real browser for tests of the console, and what is wrong with a page in it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.async_api", reason="needs the package playwright")
axe = pytest.importorskip("axe_playwright_python", reason="needs the package axe-playwright-python")

from playwright.async_api import Browser, Page, async_playwright, expect  # noqa: E402

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
VIEWS = {"en": (1280, 800, "light"), "zh": (390, 844, "dark")}
SECONDS = 20
expect.set_options(timeout=SECONDS * 1000)
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
        assert serious == set(), f"{self.page.url}: {serious}"
        wide = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{self.page.url} is {wide} pixels too wide"
        assert self.troubles == [], f"{self.page.url}: {self.troubles}"


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
    width, height, theme = VIEWS[view]
    context = await browser.new_context(
        viewport={"width": width, "height": height}, locale=view, color_scheme=theme, reduced_motion="reduce"
    )
    context.set_default_timeout(SECONDS * 1000)
    try:
        yield Visit(await context.new_page(), url)
    finally:
        await context.close()
