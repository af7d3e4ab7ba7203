"""The audit log on the console's Server page: for those who may read it, page by page, and of one app."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from scripts.load.server import ServerProcess, serving
from tests.admin_client import Console, furnish
from tests.browser import Visit, chromium, expect, needed, visiting
from tests.integration.test_console_roles import sign_in

pytestmark = needed

PAGE = 10  # lines


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("audit")
    furnish(folder, accounts=True)
    with serving(folder) as running:
        console = Console(running.url)
        console.sign_in("admin")
        for number in range(PAGE):
            console.ask("POST", "/groups", 201, json={"app": "default", "group": f"staff-{number}"})
        console.ask("POST", "/groups", 201, json={"app": "elsewhere", "group": "guests"})
        yield running


@pytest_asyncio.fixture
async def visit(changed: ServerProcess) -> AsyncIterator[Visit]:
    async with chromium() as browser, visiting(browser, changed.url) as visit:
        yield visit


async def test_the_audit_log(visit: Visit) -> None:
    await sign_in(visit, "viewer")
    await visit.go("server")
    await expect(visit.page.get_by_role("heading", name="Last failures")).to_be_visible()
    log = visit.page.locator("section", has=visit.page.get_by_role("heading", name="Audit log"))
    await expect(log).to_have_count(0)
    await visit.page.get_by_role("button", name="Sign out viewer").click()
    await expect(visit.page.get_by_label("Password")).to_be_visible()  # it has been loaded anew

    await sign_in(visit, "operator")
    await visit.go("server")
    rows = log.locator("tbody tr")
    await expect(rows).to_have_count(PAGE)
    await log.get_by_role("button", name="Show more").click()
    await expect(rows.filter(has_text="staff-0")).to_have_count(1)
    await expect(rows.filter(has_text="staff-0")).to_contain_text("admin · 127.0.0.1")
    await log.get_by_label("Only of one app").fill("elsewhere")
    await log.get_by_label("Only of one app").press("Enter")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("app: elsewhere, group: guests")
    await rows.get_by_role("button").click()
    story = visit.page.locator("section", has=visit.page.locator("form")).locator("dl")
    await expect(story).to_contain_text("/admin/v1/groups")
    visit.troubles = [text for text in visit.troubles if "status of 401" not in text]  # before signing in
    await visit.in_order()
