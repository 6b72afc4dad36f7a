"""The page in a real browser, on `up` as a user starts it."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Route, expect

from tests.support.browser import chromium, needs_chromium, page_of
from tests.support.processes import Up, environment, up

pytestmark = [pytest.mark.asyncio, needs_chromium]

OUTCOME_MS = 30_000


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    env = environment(data_dir=str(tmp_path_factory.mktemp("page") / "data"))
    with up(env) as started:
        yield started


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


async def sync_now(page: Page) -> None:
    """Press *Sync now*, and wait for the report."""
    await page.get_by_role("button", name="Sync now").click()
    await expect(page.locator("#outcome")).to_be_visible(timeout=OUTCOME_MS)


async def edit(page: Page, name: str) -> None:
    """Change the schedule at the stand-in."""
    await page.goto("/")
    await page.get_by_role("button", name=name).click()
    await expect(page.get_by_role("status")).to_contain_text("Changed at the stand-in")


async def test_an_organiser_verifies_an_import(running: Up, browser: Browser) -> None:
    """From the empty system to a confirmed removal, in one go."""
    async with page_of(browser, running.http) as page:
        await page.goto("/")
        await expect(page.get_by_text("Nothing has been imported yet")).to_be_visible()

        await sync_now(page)
        await expect(page.locator("#outcome")).to_contain_text("completed")
        await expect(page.locator("#changes tbody tr")).to_have_count(54)
        await expect(page.get_by_label("Missing sessions")).to_contain_text(
            "It starts before the event's first day"
        )
        report = page.url
        await page.reload()
        await expect(page.locator("#outcome")).to_contain_text("completed")

        await page.get_by_role("link", name="Schedule").click()
        await expect(page.get_by_role("columnheader", name="Main Hall").first).to_be_visible()
        await expect(page.get_by_text("Opening keynote")).to_be_visible()

        await edit(page, "Change a title")
        await sync_now(page)
        rows = page.locator("#changes tbody tr")
        await expect(rows).to_have_count(1)
        await expect(rows.locator("ins")).to_contain_text("revised")

        await edit(page, "Withdraw the announcement")
        await sync_now(page)
        await expect(page.locator("#outcome")).to_contain_text("failed")
        await expect(page.locator("#outcome")).to_contain_text("What to do:")

        await edit(page, "Restore the schedule")
        await edit(page, "Remove most sessions")
        await sync_now(page)
        await expect(page.locator("#outcome")).to_contain_text("held back")
        await page.get_by_role("button", name=re.compile("Confirm .* removals and sync")).click()
        await expect(page.locator("#changes")).to_contain_text("withdrawn", timeout=OUTCOME_MS)

        await edit(page, "Restore the schedule")
        await sync_now(page)
        await expect(page.locator("#changes")).to_contain_text("restored")
        await page.goto(report)  # an older report still shows its own changes
        await expect(page.locator("#changes tbody tr")).to_have_count(54)


async def test_a_second_viewer_sees_the_same_report(running: Up, browser: Browser) -> None:
    async with page_of(browser, running.http) as first, page_of(browser, running.http) as second:
        await first.goto("/")
        await sync_now(first)
        await second.goto(first.url)
        assert await second.locator("#outcome").inner_text() == (
            await first.locator("#outcome").inner_text()
        )


async def test_the_page_works_by_keyboard(running: Up, browser: Browser) -> None:
    async with page_of(browser, running.http) as page:
        await page.goto("/")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        sync = page.get_by_role("button", name="Sync now")
        for _ in range(40):
            await page.keyboard.press("Tab")
            if await sync.evaluate("each => each === document.activeElement"):
                break
        await page.keyboard.press("Enter")
        await expect(page.locator("#outcome")).to_be_visible(timeout=OUTCOME_MS)


async def test_reading_needs_no_script(running: Up, browser: Browser) -> None:
    async with page_of(browser, running.http, scripts=False) as page:
        await page.goto("/")
        await sync_now(page)
        await page.get_by_role("link", name="Schedule").click()
        await expect(page.get_by_text("Opening keynote")).to_be_visible()


async def test_the_live_feed_shows_a_sync_as_it_happens(running: Up, browser: Browser) -> None:
    async with page_of(browser, running.http) as feed, page_of(browser, running.http) as other:
        await other.goto("/")
        await sync_now(other)
        await feed.goto("/feed")
        await expect(feed.locator("#state")).to_contain_text("Up to date")
        before = await feed.locator("#feed li").count()
        await other.goto("/")
        await sync_now(other)
        await expect(feed.locator("#feed li")).to_have_count(before + 2)
        await expect(feed.locator("#feed li").first).to_contain_text("sync completed")


async def test_the_live_feed_reports_a_refusal_and_tries_again(
    running: Up, browser: Browser
) -> None:
    refused = 0

    async def refuse_once(route: Route) -> None:
        nonlocal refused
        if refused:
            await route.continue_()
        else:
            refused += 1
            await route.fulfill(status=503, content_type="application/problem+json", body="{}")

    async with page_of(browser, running.http, expected="status of 503") as feed:
        await feed.route("**/v1/import-events?*", refuse_once)
        await feed.goto("/feed")
        state = feed.locator("#state")
        await expect(state).to_contain_text("The server refuses the feed")
        await expect(state.get_by_role("link", name="Sign in again")).to_have_attribute(
            "href", "/login"
        )
        await expect(state).to_contain_text("Up to date", timeout=OUTCOME_MS)


@pytest_asyncio.fixture(scope="module")
async def report(running: Up, browser: Browser) -> str:
    """The address of the report of a sync."""
    async with page_of(browser, running.http) as page:
        await page.goto("/")
        await sync_now(page)
        return page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
async def test_no_page_is_wider_than_the_screen_and_none_is_hard_to_access(
    running: Up, browser: Browser, pictures: Path, report: str, width: int, scheme: str
) -> None:
    async with page_of(
        browser,
        running.http,
        width=width,
        scheme="dark" if scheme == "dark" else "light",
    ) as page:
        event = report.partition("/syncs/")[0]
        for path in ("/", event, report, f"{event}/history", f"{event}/why", "/feed", "/docs"):
            await page.goto(path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            name = f"{path.strip('/').replace('/', '-')[-40:] or 'home'}-{width}-{scheme}.png"
            await page.screenshot(path=pictures / name, full_page=path != "/docs")
            if width == 1200:  # the markup is the same at every width
                continue
            found = (await Axe().run(page)).response["violations"]
            serious = [each["id"] for each in found if each["impact"] in ("serious", "critical")]
            assert serious == [], path
