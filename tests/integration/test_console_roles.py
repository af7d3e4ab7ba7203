"""What the console shows to whom: no button that would be refused, nothing that others left in the browser."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from scripts.load.server import ServerProcess, serving
from tests.admin_client import PASSWORD, furnish
from tests.browser import Visit, chromium, expect, needed, visiting

pytestmark = needed

# Pages of the library, and what somebody who may change it finds there.
CHANGING = {
    "library/default": [".page-head button"],
    "library/default/mixed": [
        ".page-head .danger",
        "input[webkitdirectory]",
        "tbody button",
        "button:has-text('duplicates')",
    ],
    "library/default/mixed/anna": [".page-head .danger", "input[type=file]", "figcaption button", "form button"],
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("roles")
    furnish(folder, accounts=True)
    with serving(folder) as running:
        yield running


@pytest_asyncio.fixture
async def visit(guarded: ServerProcess) -> AsyncIterator[Visit]:
    async with chromium() as browser, visiting(browser, guarded.url) as visit:
        yield visit


async def sign_in(visit: Visit, name: str) -> None:
    await visit.page.goto(f"{visit.url}/console")
    await visit.page.get_by_label("Name").fill(name)
    await visit.page.get_by_label("Password").fill(PASSWORD)
    await visit.page.locator("form .primary").click()
    await expect(visit.page.locator("nav")).to_be_visible()


async def found(visit: Visit, place: str) -> list[bool]:
    await visit.go(place)
    await expect(visit.page.locator("main .skeleton")).to_have_count(0)
    return [await visit.page.locator(f"main {what}").count() > 0 for what in CHANGING[place]]


async def test_each_role_sees_what_it_may_do(visit: Visit) -> None:
    for name, changes in (("viewer", False), ("operator", True)):
        await sign_in(visit, name)
        for place, buttons in CHANGING.items():
            assert await found(visit, place) == [changes] * len(buttons), (name, place)
            if place.endswith("mixed") and not changes:
                await expect(visit.page.get_by_role("link", name="anna")).to_be_visible()
        await visit.go("settings")
        await expect(visit.page.get_by_role("heading", name="Keys")).to_have_count(0)
        visit.troubles = [text for text in visit.troubles if "status of 401" not in text]  # before signing in
        await visit.in_order()
        await visit.page.get_by_role("button", name=f"Sign out {name}").click()
        await expect(visit.page.get_by_label("Password")).to_be_visible()


async def test_photos_are_not_left_for_the_next_one(visit: Visit, astronaut: bytes) -> None:
    await sign_in(visit, "operator")
    await visit.page.route("**/admin/v1/faces?**", lambda route: route.abort())
    await visit.go("library/default/mixed")
    photo: Any = {"name": "carl.png", "mimeType": "image/png", "buffer": astronaut}
    await visit.page.locator("input[type=file]:not([webkitdirectory])").set_input_files(photo)
    await expect(visit.page.get_by_role("progressbar")).to_be_visible()
    await visit.page.get_by_role("button", name="Sign out operator").click()
    await expect(visit.page.get_by_label("Password")).to_be_visible()
    await sign_in(visit, "admin")
    await visit.go("library/default/mixed")
    await expect(visit.page.get_by_role("link", name="anna")).to_be_visible()
    await expect(visit.page.get_by_role("progressbar")).to_have_count(0)
    await visit.go("settings")
    await expect(visit.page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
