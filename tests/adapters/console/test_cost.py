"""What a page costs, in requests to Nexus: few, and no more of them with more bounties."""

from __future__ import annotations

from datetime import timedelta

import pytest

from nexus_bounty.models import Bounty
from nexus_bounty_console.board import Board, Search, cut
from tests.adapters.console.stage import Stage, a_stage

MANY = 3_000


async def filled(stage: Stage, number: int) -> None:
    """Bounties written as another program would, many at a time."""
    one = await stage.posted("b-0")
    source = stage.mock.read_file("/zones/default/bounties/b-0.json")
    assert source is not None
    names = [f"b-{each}" for each in range(1, number)]
    store = stage.desk.nexus
    await store.write_many(
        {
            f"/zones/default/bounties/{name}.json": source.replace(b'"b-0"', f'"{name}"'.encode())
            for name in names
        }
    )
    assert one.bounty_id == "b-0"


async def cost(stage: Stage, path: str) -> int:
    async with stage.browser() as browser:
        stage.mock.reset_counts()
        await browser.see(path)
        return stage.mock.request_count


async def test_ten_pages_of_thousands_cost_one_look(stage: Stage) -> None:
    await filled(stage, MANY)
    stage.desk.board._lasts = timedelta(hours=1)
    async with stage.browser() as browser:
        stage.mock.reset_counts()
        for number in range(1, 11):
            assert f"{MANY:,}" in await browser.see(f"/?page={number}&q=sort")
        assert stage.mock.request_count <= 2 * MANY / 500 + 2


async def test_looking_again_reads_what_has_changed_and_no_more(stage: Stage) -> None:
    await filled(stage, MANY)
    await stage.desk.board.refresh()
    await stage.operations.cancel("b-0")
    stage.mock.reset_counts()
    board = await stage.desk.board.refresh()
    assert board.by_status["cancelled"] == 1
    assert stage.mock.request_count <= 2 * MANY / 1000 + 2  # pages of names, etags, one document


@pytest.mark.parametrize("others", [0, 200])
async def test_one_bounty_costs_four_requests_however_many_there_are(others: int) -> None:
    async with a_stage() as stage:
        await filled(stage, others + 1)
        await stage.stuck_settlement("b-x")
        assert await cost(stage, "/bounties/b-x") <= 4


async def test_many_who_ask_at_once_share_one_look(stage: Stage) -> None:
    import asyncio

    await filled(stage, 10)
    async with stage.browser() as browser:
        alone = await cost(stage, "/")
        stage.mock.reset_counts()
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
