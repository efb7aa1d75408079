"""What people see, and what the forms on it do."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from unittest.mock import patch

import pytest
from pydantic import SecretStr

from nexus_bounty import CommitUnknownError
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.models import AgentIdentity
from nexus_bounty.statuses import FOREIGN, STATUSES
from nexus_bounty_console.snapshots import PATIENCE
from tests.adapters.console.stage import BOB, QUICK, Browser, Stage, a_stage, text_of

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"' onload=alert(2) {{ 7*7 }}"


class Tags(HTMLParser):
    """What a browser takes for tags."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "script":
            self.scripts.append(dict(attrs))


async def test_bounties_are_shown_by_status_with_their_numbers(
    stage: Stage, browser: Browser
) -> None:
    for each in ("b-1", "b-2", "b-3"):
        await stage.posted(each, f"Title of {each}")
    await stage.operations.claim("b-2", BOB)
    seen = await browser.see("/")
    assert "3 bounties 300 credits in escrow, for 3" in seen
    assert "open 2 claimed 1" in seen
    claimed = await browser.see("/?status=claimed")
    assert "Title of b-2" in claimed
    assert "Title of b-1" not in claimed


async def test_the_tile_of_what_is_being_paid_counts_it_and_leads_to_it(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1")
    await stage.stuck_settlement("b-2", title="Title of b-2")
    source = await browser.source("/")
    tile = source[source.index('href="/?status=') :]
    tile = tile[: tile.index("</a>")]
    assert "<b>1</b><span>being paid</span>" in tile
    there = tile.removeprefix('href="').partition('"')[0].replace("&amp;", "&")
    found = await browser.see(there)
    assert "Title of b-2" in found
    assert "b-1" not in found


async def test_a_bounty_past_its_deadline_is_late_until_it_has_ended(
    stage: Stage, browser: Browser
) -> None:
    for each in ("b-1", "b-2"):
        await stage.posted(each)
    await stage.operations.cancel("b-2")
    late = re.compile(r'data-name="Deadline"><span title="[^"]*" class="warn">')
    assert not late.search(await browser.source("/"))
    stage.clock.forward(days=8)
    assert len(late.findall(await browser.source("/"))) == 1


@pytest.mark.parametrize("colour", sorted({each.colour for each in (*STATUSES.values(), FOREIGN)}))
async def test_each_colour_of_the_table_of_statuses_has_one_here(
    browser: Browser, colour: str
) -> None:
    """Whatever a status is: chips and bars are drawn in it."""
    style = await browser.source("/static/console.css")
    name = colour.replace(" ", "-")
    assert f".colour-{name} {{ --c: var(--c-{name}); }}" in style
    assert f"--c-{name}: light-dark(" in style


async def test_a_search_needs_all_of_its_words_in_any_text_of_a_bounty(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("parser-1", "Sort the ÄPFEL", description="a needle in it")
    await stage.posted("parser-2", "Sort it")
    for words in ("äpfel", "NEEDLE", "parser-1", "sort alice needle"):
        seen = await browser.see(f"/?q={words}")
        assert "Sort the ÄPFEL" in seen, words
        assert "parser-2" not in seen, words
    assert "No bounty fits that" in await browser.see("/?q=needle parser-2")


async def test_pages_show_fifty_each_newest_first_and_keep_the_search(
    stage: Stage, browser: Browser
) -> None:
    for number in range(60):
        await stage.posted(f"b-{number:03}", amount=1)
    first = await browser.source("/?q=sort")
    assert first.count('<tr tabindex="-1" id="row-') == 50
    assert first.index("b-059") < first.index("b-010")
    assert 'rel="next" href="/?q=sort&amp;page=2"' in first
    second = text_of(await browser.source("/?q=sort&page=2"))
    assert "51\N{EN DASH}60 of 60" in second
    assert "b-009" in second
    beyond = text_of(await browser.source("/?page=99999999"))
    assert "51\N{EN DASH}60 of 60" in beyond


async def test_what_others_have_written_stays_text_wherever_it_is_shown(
    stage: Stage, browser: Browser
) -> None:
    """A script in a title, a description, criteria, an agent's name; braces are no template."""
    mallory = AgentIdentity(agent_id="<b onclick=alert(3)>mallory")
    await stage.credits.fund(mallory.agent_id, 1000)
    await stage.posted("b-1", HOSTILE, description=HOSTILE, creator=mallory)
    await stage.stranded("<img src=x>", HOSTILE)
    of_nobody = "/reservation?id=<img src=x>"
    asked = f"/?q={HOSTILE}", "/?creator=<script>", "/doubt?key=<img src=x>", of_nobody
    accounts = "/money?account=alice", f"/money?account={mallory.agent_id}"
    for path in ("/", "/bounties/b-1", "/money", *accounts, *asked):
        tags = Tags()
        tags.feed(await browser.source(path))
        assert tags.scripts == [{"src": "/static/console.js", "defer": None}], path
        assert "img" not in tags.names, path
        assert not [name for name in tags.attributes if name.startswith("on")], path
    assert HOSTILE in text_of(await browser.source("/bounties/b-1"))


async def test_a_bounty_that_there_is_not_is_said_so(browser: Browser) -> None:
    seen = await browser.see("/bounties/b-none", status=404)
    assert "There is no bounty b-none" in seen
    assert "no credits are held for it" in seen
    assert "That cannot be" in await browser.see("/bounties/%20", status=400)
    assert "There is nothing here" in await browser.see("/nowhere", status=404)


async def test_a_life_is_drawn_with_its_money_claims_and_doubts(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1", amount=1234)
    stage.clock.forward(minutes=5)
    await stage.operations.claim("b-1", BOB)
    stage.clock.forward(minutes=5)
    await stage.operations.settle("b-1", "cid-b-1", actor="alice")
    source = await browser.source("/bounties/b-1")
    drawing = source[source.index("<svg viewBox") : source.rindex("</svg>")]
    for part in ("colour-green", "colour-cyan", "colour-bold-green", "held", "paid", "done"):
        assert f'class="bar {part}' in drawing, part
    assert "1,234 to bob" in drawing
    assert drawing.count('class="mark write"') == 5
    seen = text_of(source)
    assert "1234 paid to bob" in seen
    assert "bob 1,234 free, 0 in escrow" in seen
    assert "Reward on record" in seen


async def test_a_create_that_was_fenced_off_never_came_to_be(
    stage: Stage, browser: Browser
) -> None:
    await stage.operations.services.store.resolve_operation("b-1", "key-1:draft")
    seen = await browser.see("/bounties/b-1")
    assert "b-1 never came to be" in seen
    assert "fenced: it never happened, and never will" in seen


async def test_what_no_key_of_a_signed_zone_has_signed_is_said_to_prove_nothing() -> None:
    """Somebody has written another amount into the document."""
    signing = QUICK.model_copy(update={"signing_keys": (SecretStr("k" * 32),)})
    async with a_stage(settings=signing) as stage, stage.browser() as browser:
        await stage.posted("b-1", amount=100)
        assert "Not to be trusted" not in await browser.see("/bounties/b-1")
        path = "/zones/default/bounties/b-1.json"
        content = stage.mock.read_file(path)
        assert content is not None
        await stage.desk.nexus.write(path, content.replace(b'"amount":100', b'"amount":900'))
        seen = await browser.see("/bounties/b-1")
        assert "Not to be trusted" in seen
        assert "No credits move on its word." in seen
        assert "b-1 not signed" in await browser.see("/")


async def test_documents_that_cannot_be_understood_are_counted_and_named(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1")
    await stage.desk.nexus.write("/zones/default/bounties/broken.json", b"{no json")
    for _ in range(2):  # the second time only what can still change is looked at
        seen = await browser.see("/")
        assert "1 left out, which cannot be understood" in seen
        assert "broken" in seen


async def test_when_nexus_cannot_be_read_the_last_state_is_shown_and_said_to_be_old(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1", "Still here")
    await browser.see("/")
    stage.clock.forward(minutes=3)
    stage.mock.inject(Fault(FaultKind.REFUSE, times=None))
    seen = await browser.see("/")
    assert "Still here" in seen
    assert "Nexus could not be read: what is shown is as it was 3" in seen
    one = await browser.see("/bounties/b-1", status=502)
    assert "Money None moved by this: it only looked." in one
    assert PATIENCE.total_seconds() <= 2


async def test_a_ledger_that_cannot_be_read_is_said_so_and_the_rest_is_shown(
    stage: Stage, browser: Browser
) -> None:
    await stage.posted("b-1", "Still here")
    gone = CommitUnknownError("the disk is gone")
    with patch.object(stage.credits, "reservations", side_effect=gone):
        seen = await browser.see("/money", status=502)
        assert "The ledger could not be read The disk is gone" in seen
        assert "Money None moved by this: it only looked." in seen
        home = await browser.see("/")
        assert "the ledger cannot be read" in home
        assert "Still here" in home


async def test_before_anything_was_read_trouble_is_all_there_is(
    stage: Stage, browser: Browser
) -> None:
    stage.mock.inject(Fault(FaultKind.REFUSE, times=None))
    seen = await browser.see("/", status=502)
    assert "Nexus could not be read" in seen
    assert "See whether the server runs" in seen


@pytest.mark.parametrize(
    "path", ["/", "/doubts", "/money", "/reconcile", "/doctor", "/doubt?key=k-1"]
)
async def test_an_empty_zone_has_every_page(browser: Browser, path: str) -> None:
    assert "nexus-bounty" in await browser.see(path)
