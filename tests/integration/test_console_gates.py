"""The gates of an app on the console's page of settings: looked at, tried on the faces that are there, saved, reset."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from scripts.load.server import ServerProcess, serving
from tests.admin_client import PASSWORD, Console, furnish
from tests.baidu_client import Baidu
from tests.browser import VIEWS, Visit, chromium, expect, needed, visiting

pytestmark = needed

STRICT = {"normal.illumination": "200", "high.illumination": "210.5", "threshold.search": "75"}  # the photo has 164
LABELS = {"en": ("Light, {}", "Of a search"), "zh": ("光照, {}", "搜索")}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, astronaut: bytes) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("gates")
    furnish(folder, accounts=True)
    with serving(folder) as running, Console(running.url) as admin:
        admin.sign_in("admin")
        for app in VIEWS:
            Baidu(running.url, app)("group/add", group_id="g")
            admin.ask("POST", "/faces", 201, params={"app": app, "group": "g", "user": "u"}, content=astronaut)
        yield running


@pytest_asyncio.fixture(params=sorted(VIEWS))
async def visit(request: pytest.FixtureRequest, guarded: ServerProcess) -> AsyncIterator[Visit]:
    async with chromium() as browser, visiting(browser, guarded.url, request.param) as visit:
        yield visit


async def sign_in(visit: Visit, name: str) -> None:
    await visit.page.goto(f"{visit.url}/console")
    await visit.page.locator("form input").nth(0).fill(name)
    await visit.page.locator("form input").nth(1).fill(PASSWORD)
    await visit.page.locator("form .primary").click()
    await expect(visit.page.locator("h1")).to_be_visible()
    await expect(visit.page.locator("form input[type=password]")).to_have_count(0)
    visit.troubles.clear()  # the browser tells of the 401 before signing in


def own(visit: Visit, app: str) -> dict[str, Any]:
    with Console(visit.url) as admin:
        admin.sign_in("admin")
        found = admin.ask("GET", "/gates", params={"app": app})["limits"]
        return {one["name"]: one["value"] for one in found if one["own"]}


async def test_a_change_is_looked_at_before_it_is_saved(visit: Visit) -> None:
    app = await visit.page.evaluate("navigator.language")
    light, search = LABELS[app]
    await sign_in(visit, "admin")
    await visit.go("settings")
    card = visit.page.locator("section", has=visit.page.locator("input.figure"))
    await card.locator("select").select_option(app)
    fields = {
        "normal.illumination": card.get_by_label(light.format("NORMAL"), exact=True),
        "high.illumination": card.get_by_label(light.format("HIGH"), exact=True),
        "threshold.search": card.get_by_label(search, exact=True),
    }
    await expect(fields["normal.illumination"]).to_have_attribute("placeholder", "40")
    await expect(card.locator(".primary")).to_have_count(1)  # what would be saved is tried first
    for name, value in STRICT.items():
        await fields[name].fill(value)
    await card.locator(".primary").click()
    normal = card.locator("tbody tr").filter(has=visit.page.locator("td:nth-child(2)", has_text="NORMAL")).first
    await expect(normal.locator("td").nth(2)).to_contain_text("0 (")
    await expect(normal.locator("td").nth(3)).to_contain_text("1 (")
    assert own(visit, app) == {}
    await visit.in_order()

    await fields["threshold.search"].fill("76")
    await expect(card.locator(".primary")).to_have_count(1)  # another change is to be tried again
    await fields["threshold.search"].fill("75")
    await card.locator(".primary").click()
    await card.locator(".primary").last.click(trial=True)
    await expect(card.locator(".primary")).to_have_count(2)
    await card.locator(".primary").last.click()
    await expect(card.locator(".primary")).to_have_count(1)
    await expect(fields["high.illumination"]).to_have_value("210.5")
    assert own(visit, app) == {name: float(value) for name, value in STRICT.items()}

    await card.locator(".primary + .button").click()
    await visit.page.locator("dialog .primary").click()
    await expect(fields["high.illumination"]).to_have_value("")
    assert own(visit, app) == {}
    await visit.in_order()


async def test_who_may_not_change_them_only_sees_them(visit: Visit) -> None:
    await sign_in(visit, "operator")
    await visit.go("settings")
    card = visit.page.locator("section", has=visit.page.locator("td", has_text="0.6"))
    await expect(card.locator("select").first).to_be_visible()
    await expect(visit.page.locator("input.figure")).to_have_count(0)
    await visit.in_order()
