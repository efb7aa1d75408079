"""Whatever a life writes is dated by the clock that its makers were given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import msgspec
import pytest

from nexus_bounty import (
    BountyOperations,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    NexusContributionStore,
    Reconciler,
    Work,
)
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.documents.marker_layout import Layout
from nexus_bounty.nexus.selection.auto_commit import strategy_choice
from nexus_bounty.nexus.selection.zone_layout import lay_out
from nexus_bounty.testing.builders import make_agent, make_bounty
from tests.support.clients import quick

LONG_AGO: Final = datetime(2001, 2, 3, 4, 5, tzinfo=UTC)
_YEAR: Final = re.compile(rb"\b(2\d\d\d)-\d\d-\d\d")


def clock() -> datetime:
    return LONG_AGO


def years_in(mock: MockNexus) -> dict[str, set[bytes]]:
    """The years that files and their names tell of, but for the one of the clock."""
    found = {
        path: set(_YEAR.findall(path.encode() + file.content)) for path, file in mock.files.items()
    }
    assert {b"2001"} in found.values()
    return {path: years - {b"2001"} for path, years in found.items() if years - {b"2001"}}


@pytest.mark.parametrize("personality", ["0.5.6", "0.7.0", "0.9", "0.10", "0.10-hypothetical"])
async def test_a_life_is_dated_by_the_clock_that_was_given(personality: str) -> None:
    """The pin of its zone, too, by which others judge whether it is fresh."""
    mock = MockNexus(personality, clock=clock)
    bounty = make_bounty(
        created_at=LONG_AGO, updated_at=LONG_AGO, deadline=LONG_AGO + timedelta(days=7)
    )
    ledger = MemoryCredits(clock=clock)
    await ledger.top_up("t", account=bounty.creator.agent_id, amount=1_000)
    async with NexusClient("http://nexus", settings=quick(), transport=mock.transport()) as client:
        works = NexusContributionStore(client)
        work = await works.put(Work(agent=make_agent("bob"), summary="done", created_at=LONG_AGO))
        made = BountyOperations(
            NexusBountyStore(client, clock=clock),
            credits=ledger,
            claims=NexusClaimStore(client, clock=clock),
            contributions=works,
            clock=clock,
        )
        await made.create(bounty)
        await made.claim(bounty.bounty_id, make_agent("bob"))
        await made.settle(bounty.bounty_id, work.cid)
        await Reconciler(made).run_once()
        assert years_in(mock) == {}
        await lay_out(client, "default", Layout.FLAT, clock)
    assert any(path.endswith("probe.json") for path in mock.files)
    assert years_in(mock) == {}
    kept = [each async for each in ledger.reservations()]
    assert set(_YEAR.findall(msgspec.json.encode(kept))) <= {b"2001"}


async def test_a_store_without_a_clock_goes_by_that_of_the_other_and_costs_no_look_more() -> None:
    """Whichever was made first; two with clocks of their own look each for themselves."""

    def another() -> datetime:
        return LONG_AGO + timedelta(days=1)

    mock = MockNexus("0.7.0", clock=clock)
    async with NexusClient("http://nexus", settings=quick(), transport=mock.transport()) as client:
        choose = partial(strategy_choice, "auto", client, "default")
        first = choose()
        assert choose(clock) is first
        assert choose() is first
        await first.for_writing(client.deadline())
        assert years_in(mock) == {}
        assert choose(another) is not first
