"""What a page costs, in requests to Nexus: few, and no more of them with more bounties."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty_console.board import Board, Search, cut
from nexus_bounty_console.desk import WHOLE_EVERY
from tests.adapters.console.stage import Stage, a_stage

MANY = 3_000


async def filled(stage: Stage, number: int, *, ended: int = 0) -> None:
    """Bounties as other programs would write them, many at a time; `ended` of them are over."""
    await stage.posted("b-0")
    source = stage.mock.read_file("/zones/default/bounties/b-0.json")
    assert source is not None
    zone, files = ZonePaths("default"), {}
    for each in range(1, number):
        name = f"b-{each}"
        status = BountyStatus.CANCELLED if each <= ended else BountyStatus.OPEN
        content = source.replace(b'"b-0"', f'"{name}"'.encode())
        files[zone.bounty(name)] = content.replace(b'"open"', f'"{status}"'.encode())
        files[zone.marker(status, name)] = b""
    await stage.desk.nexus.write_many(files)


async def count_from_now(stage: Stage) -> None:
    """Forget the requests so far, and those that are still owed to what came before."""
    await stage.desk.nexus.flush()
    stage.mock.reset_counts()


async def cost(stage: Stage, path: str) -> int:
    async with stage.browser() as browser:
        await count_from_now(stage)
        await browser.see(path)
        return stage.mock.request_count


async def test_ten_pages_of_thousands_cost_one_look(stage: Stage) -> None:
    await filled(stage, MANY)
    stage.desk.board._lasts = timedelta(hours=1)
    async with stage.browser() as browser:
        await count_from_now(stage)
        for number in range(1, 11):
            assert f"{MANY:,}" in await browser.see(f"/?page={number}&q=sort")
        assert stage.mock.request_count <= 2 * MANY / 500 + 2


async def test_looking_again_reads_what_can_still_change_and_no_more(stage: Stage) -> None:
    """With nine of ten bounties over; one of the others ends meanwhile, and one is new."""
    await filled(stage, MANY, ended=MANY - 300)
    await stage.desk.board.refresh()
    await stage.operations.cancel("b-0")
    await stage.posted("b-new")
    await count_from_now(stage)
    board = await stage.desk.board.refresh()
    assert stage.mock.request_count <= 9  # names of each living status, and two reads
    assert board.by_status == {"cancelled": MANY - 300 + 1, "open": 300}
    assert board.bounties[0].bounty_id == "b-new"


async def test_what_others_do_to_bounties_that_are_over_is_seen_after_a_while(
    stage: Stage,
) -> None:
    await filled(stage, 10, ended=9)
    await stage.desk.board.refresh()
    path = "/zones/default/bounties/b-1.json"
    content = stage.mock.read_file(path)
    assert content is not None
    await stage.desk.nexus.write(path, content.replace(b"Sort it", b"Sorted"))
    assert (await stage.desk.board.refresh()).by_id["b-1"].title == "Sort it"
    stage.clock.forward(seconds=WHOLE_EVERY.total_seconds())
    assert (await stage.desk.board.refresh()).by_id["b-1"].title == "Sorted"


@pytest.mark.parametrize("others", [0, 200])
async def test_one_bounty_costs_four_requests_however_many_there_are(others: int) -> None:
    async with a_stage() as stage:
        await filled(stage, others + 1)
        await stage.stuck_settlement("b-x")
        assert await cost(stage, "/bounties/b-x") <= 4


async def test_many_who_ask_at_once_share_one_look(stage: Stage) -> None:
    await filled(stage, 10)
    async with stage.browser() as browser:
        await browser.see("/")
        await count_from_now(stage)
        await browser.see("/")
        alone = stage.mock.request_count
        await count_from_now(stage)
        await asyncio.gather(*(browser.see("/") for _ in range(20)))
        assert stage.mock.request_count <= 2 * alone


async def test_pages_without_bounties_ask_nexus_nothing(stage: Stage) -> None:
    await stage.posted("b-1")
    for path in ("/money", "/doubts", "/reconcile", "/doctor"):
        assert await cost(stage, path) == 0, path


def test_ten_thousand_bounties_are_searched_where_they_are(bounty_of_ten_thousand: Board) -> None:
    found = bounty_of_ten_thousand.found(Search("needle", ["open"]))
    assert [each.bounty_id for each in cut(found, 1).items] == ["b-5000"]


@pytest.fixture
def bounty_of_ten_thousand() -> Board:
    from nexus_bounty.testing.builders import make_bounty

    bounties: list[Bounty] = [
        make_bounty(bounty_id=f"b-{each}", title="needle" if each == 5000 else "hay")
        for each in range(10_000)
    ]
    return Board(bounties)
