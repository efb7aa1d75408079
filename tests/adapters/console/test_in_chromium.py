"""The console in a real browser: `make console-test`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexus_bounty_console.access import Access, Person, Role
from tests.adapters.console.browsing import NARROW, WIDE, a_chromium, a_page, served_at
from tests.adapters.console.stage import BOB, Stage, a_stage

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.browser

HOSTILE = "<script>document.title='pwned'</script><img src=x onerror=alert(1)> stays text"
PAGES = ["/", "/bounties/b-1", "/doubts", "/money", "/reconcile", "/doctor", "/doubt?key=none"]
PAGES += ["/reservation?id=stray"]
CONTRAST = Path(__file__).with_name("contrast.js").read_text("utf-8")


@pytest.fixture
async def quick_stage() -> AsyncIterator[Stage]:
    """A console that looks for news five times a second."""
    async with a_stage(lasts=timedelta(seconds=0.2)) as stage:
        yield stage


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with a_chromium() as browser:
        yield browser


async def text(page: Page, selector: str = "main") -> str:
    return " ".join((await page.inner_text(selector)).split())


async def test_a_stuck_settlement_is_found_dry_run_and_repaired_and_the_money_is_seen_to_move(
    quick_stage: Stage, chromium: Browser
) -> None:
    """By clicking from page to page; a page that is open meanwhile shows it without a reload."""
    await quick_stage.stuck_settlement("b-1", amount=250, title="Find the leak")
    async with (
        served_at(quick_stage.app()) as base,
        a_page(chromium, base) as operator,
        a_page(chromium, base) as watcher,
    ):
        await watcher.goto("/bounties/b-1")
        await watcher.evaluate("window.kept = true")
        await operator.goto("/")
        await operator.click("text=being paid")
        await operator.click("text=Find the leak")
        assert "250 held in escrow for b-1" in await text(operator, "#money")
        await operator.click("header >> text=Reconcile")
        await operator.click("button:has-text('Dry run')")
        finding = operator.locator("tr", has_text="Find the leak")
        await finding.get_by_text("can be repaired").wait_for()
        assert await quick_stage.has("bob") == (0, 0)
        await finding.get_by_role("button", name="Repair").click()
        await operator.get_by_text("paid 250 to bob and settled").wait_for()
        assert await quick_stage.has("bob") == (250, 0)
        await watcher.locator("#money").get_by_text("250 paid to bob").wait_for()
        await watcher.locator("#head").get_by_text("settled").wait_for()
        assert await watcher.locator("svg .bar.paid").count() == 1
        assert await watcher.evaluate("window.kept")
        await operator.get_by_role("link", name="b-1").first.click()
        await operator.locator("#money").get_by_text("250 free, 0 in escrow").wait_for()


async def test_credits_of_a_bounty_that_is_gone_are_found_and_freed(
    quick_stage: Stage, chromium: Browser
) -> None:
    """From the dry run that leaves them to people to the account that has them again."""
    await quick_stage.stranded()
    async with served_at(quick_stage.app()) as base, a_page(chromium, base) as page:
        await page.goto("/reconcile")
        await page.click("button:has-text('Dry run')")
        await page.click("a:has-text('stray')")
        await page.check("input[value=back]")
        await page.fill("#because", "its file was deleted")
        await page.fill("#amount", "7")
        await page.click("button:has-text('Free the credits')")
        await page.locator("#reservation", has_text="went back to alice").wait_for()
        assert "its file was deleted" in await text(page)
        await page.goto("/money")
        assert "Nothing is in escrow" in await text(page)


async def test_what_others_do_shows_by_itself_and_keeps_the_place_of_the_reader(
    quick_stage: Stage, chromium: Browser
) -> None:
    """The row in focus stays in focus, though another one comes before it."""
    for each in ("b-1", "b-2"):
        await quick_stage.posted(each)
    async with served_at(quick_stage.app()) as base, a_page(chromium, base) as page:
        await page.goto("/")
        await page.get_by_text("live").wait_for()
        for _ in range(2):
            await page.keyboard.press("j")
        assert await page.evaluate("document.activeElement.dataset.key") == "b-1"
        await quick_stage.posted("b-3", "Somebody else's")
        await quick_stage.operations.claim("b-1", BOB)
        await page.get_by_text("Somebody else's").wait_for()
        await page.locator("tr", has_text="b-1").get_by_text("claimed").wait_for()
        assert await page.evaluate("document.activeElement.dataset.key") == "b-1"


async def test_a_title_with_a_script_stays_text_on_every_page(
    quick_stage: Stage, chromium: Browser
) -> None:
    await quick_stage.stuck_settlement("b-1", title=HOSTILE, description=HOSTILE)
    async with served_at(quick_stage.app()) as base, a_page(chromium, base) as page:
        await page.goto("/reconcile")
        await page.click("button:has-text('Dry run')")
        await page.locator("tr", has_text="b-1").wait_for()
        for path in ("/", "/bounties/b-1", "/reconcile", f"/?q={HOSTILE}"):
            await page.goto(path)
            if "?" not in path:
                assert HOSTILE in await text(page)
            assert await page.title() != "pwned"
            assert await page.locator("main script, img").count() == 0


async def test_everything_is_reached_by_keyboard(quick_stage: Stage, chromium: Browser) -> None:
    for each in ("b-1", "b-2", "b-3"):
        await quick_stage.posted(each, f"Title of {each}")
    async with served_at(quick_stage.app()) as base, a_page(chromium, base) as page:
        await page.goto("/")
        await page.keyboard.press("/")
        await page.keyboard.type("title")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/?q=title")
        for key in ("j", "j", "j", "k", "Enter"):
            await page.keyboard.press(key)
        await page.wait_for_url("**/bounties/b-2")
        for key, place in (("u", "doubts"), ("m", "money"), ("r", "reconcile"), ("d", "doctor")):
            await page.keyboard.press("g")
            await page.keyboard.press(key)
            await page.wait_for_url(f"**/{place}")
        await page.keyboard.press("?")
        assert await page.locator("dialog[open]").count() == 1
        await page.keyboard.press("Escape")
        assert await page.locator("dialog[open]").count() == 0
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.matches('.skip')")
        await page.keyboard.press("t")
        dark = await page.evaluate("document.documentElement.dataset.theme")
        await page.reload()
        assert await page.evaluate("document.documentElement.dataset.theme") == dark == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "400"])
async def test_every_page_can_be_read_in_light_and_dark_wide_and_narrow(
    quick_stage: Stage, chromium: Browser, scheme: str, size: dict[str, int]
) -> None:
    """Nothing sticks out sideways, and all text has the contrast that WCAG AA asks for."""
    await quick_stage.stuck_settlement("b-1", title="An title that is quite long, " * 6)
    await quick_stage.posted("b-" + "long" * 20, "x" * 200)
    await quick_stage.in_doubt(
        "commit of claim", quick_stage.operations.claim("b-" + "long" * 20, BOB)
    )
    await quick_stage.stranded()
    quick_stage.desk.dry_run("")
    await quick_stage.desk.jobs.wait()
    options = {"color_scheme": scheme, "viewport": size}
    async with served_at(quick_stage.app()) as base, a_page(chromium, base, **options) as page:
        for path in PAGES:
            await page.goto(path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"], (
                path
            )
            assert await page.evaluate(CONTRAST) == [], path


async def test_people_log_in_with_their_token_and_readers_cannot_repair(
    quick_stage: Stage, chromium: Browser
) -> None:
    await quick_stage.stuck_settlement("b-1")
    access = Access(
        {
            "rita": Person(token="reader-0123456789abcdef"),
            "otto": Person(token="operator-0123456789abcdef", role=Role.OPERATE),
        }
    )
    async with served_at(quick_stage.app(access)) as base, a_page(chromium, base) as page:
        for token, buttons in (("reader", 0), ("operator", 1)):
            await page.goto("/reconcile")
            assert re.search(r"/login\?next=", page.url)
            await page.fill("#token", f"{token}-0123456789abcdef")
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/reconcile")
            await page.click("button:has-text('Dry run')")
            row = page.locator("tr", has_text="b-1")
            await row.wait_for()
            assert await row.get_by_role("button").count() == buttons
            await page.click("text=Log out")
            await page.wait_for_url("**/login")


async def test_it_works_without_scripts(quick_stage: Stage, chromium: Browser) -> None:
    await quick_stage.stuck_settlement("b-1", amount=250)
    options = {"java_script_enabled": False}
    async with served_at(quick_stage.app()) as base, a_page(chromium, base, **options) as page:
        await page.goto("/reconcile")
        for button in ("Dry run", "Repair all"):
            async with page.expect_navigation():  # to reload before it has ended fails
                await page.click(f"button:has-text('{button}')")
            await quick_stage.desk.jobs.wait()
            await page.reload()
        await page.get_by_text("paid 250 to bob and settled").wait_for()
        await page.goto("/?q=sort")
        await page.click("text=Sort it")
        assert "250 paid to bob" in await text(page, "#money")
