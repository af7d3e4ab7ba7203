"""The picture of the console in the README: a photo that comes with a package, in a real browser.

python -m scripts.screenshot        writes docs/pictures/console.png; needs chromium
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from playwright.async_api import async_playwright
from skimage import data

from scripts.load.server import serving

TARGET = Path(__file__).parents[1] / "docs" / "pictures" / "console.png"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
COLOURS = 192  # of the file: a third of the bytes, and nobody sees it


async def shoot(url: str, photo: Path, target: Path) -> None:
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = await browser.new_page(viewport={"width": 1280, "height": 1000}, locale="en-US", color_scheme="light")
        await page.goto(f"{url}/console#/try")
        await page.locator("main input[type=file]").first.set_input_files(photo)
        await page.get_by_text("Liveness").first.wait_for()
        await page.wait_for_timeout(1500)  # until the answers of all vendors are there
        await page.screenshot(path=target)
        await browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder, "data"), log_level="warning") as server:
        photo = Path(folder, "astronaut.jpg")
        cv2.imwrite(str(photo), cv2.cvtColor(np.asarray(data.astronaut()), cv2.COLOR_RGB2BGR))
        asyncio.run(shoot(server.url, photo, TARGET))
    from PIL import Image

    with Image.open(TARGET) as picture:
        small = picture.convert("RGB").quantize(COLOURS)
    small.save(TARGET, optimize=True)
    print(f"{TARGET}: {TARGET.stat().st_size >> 10} KB")


if __name__ == "__main__":
    main()
