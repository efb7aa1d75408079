"""What the how-to shows is there: its commands, its file of tokens, its pages, its addresses."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from nexus_bounty_console.access import Access, Person, Role
from tests.adapters.console.stage import Browser, Stage
from tests.cli.shell import Shell

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "how-to" / "console.md"
MOST_BYTES = 200_000


def test_its_options_are_options_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    helped = Shell(monkeypatch, capsys, {"COLUMNS": "200"})("console", "--help").out
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.read_text("utf-8")))
    shown = named - {"--resolve", "--help"}
    assert shown
    assert all(each in helped for each in shown), shown


def test_its_file_of_tokens_lets_in_whom_it_names() -> None:
    (content,) = re.findall(r"<<'JSON'\n(.*?)\nJSON", PAGE.read_text("utf-8"), re.DOTALL)
    people = msgspec.json.decode(content, type=dict[str, Person])
    access = Access(people)
    viewer = access.of_token(people["otto"].token)
    assert viewer is not None
    assert viewer.role is Role.OPERATE


async def test_its_pages_are_those_that_there_are_and_a_stuck_settlement_is_paid_as_it_says(
    stage: Stage, browser: Browser
) -> None:
    page = PAGE.read_text("utf-8")
    source = await browser.source("/")
    nav = source[source.index("<nav") : source.index("</nav>")]
    for name in re.findall(r">([A-Z][a-z ]+)</a>", nav):
        assert f"| {name} |" in page, name
    await stage.stuck_settlement("b-1", amount=250)
    fields = {"sweep": "pending settlements", "subject": "b-1"}
    await browser.send("/reconcile/repair", fields, on="/reconcile")
    assert "`paid 250 to bob and settled`" in page
    assert "paid 250 to bob and settled" in await browser.see("/reconcile")
    for path in re.findall(r"`(?:GET )?(/[a-z][\w/{}]*)`", page):
        answer = await browser.client.get(path.replace("{id}", "b-1"))
        assert answer.status_code == 200, path


def test_its_screenshot_is_there_and_small() -> None:
    (image,) = re.findall(r"\]\(\.\./(images/\w+\.png)\)", PAGE.read_text("utf-8"))
    assert 0 < (DOCS / image).stat().st_size < MOST_BYTES
