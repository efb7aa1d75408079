"""A server that takes 300 calls of a method a minute: it is waited for, with default settings."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from nexus_bounty import (
    BountyOperations,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    Reconciler,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.models import Contribution
from nexus_bounty.testing.builders import make_bounty
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.virtual import virtual
from tests.support.world import BOB

LIMIT = 300
MINUTE = 60
# those that were seen to limit; without a read of many files, one request a bounty
RELEASES = ["0.9", "0.9.26"]


def in_two_days(bounty_id: str) -> dict[str, object]:
    now = wall_clock()
    return {"bounty_id": bounty_id, "created_at": now, "deadline": now + timedelta(days=2)}


@pytest.mark.parametrize("release", RELEASES)
@virtual
async def test_lives_go_on_when_the_minute_is_over(release: str) -> None:
    """Each of forty is created, claimed and settled, although the calls of a minute are used up."""
    mock = MockNexus(release, rename_delay=0, clock=wall_clock, rate_limit=LIMIT)
    ledger = MemoryCredits(clock=wall_clock)
    await ledger.top_up("funds", account="creator", amount=10**6)
    works = MemoryContributionStore([Contribution(cid=f"w{n}", agent=BOB) for n in range(40)])
    loop = asyncio.get_running_loop()
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        operations = BountyOperations(
            NexusBountyStore(client, clock=wall_clock),
            credits=ledger,
            claims=NexusClaimStore(client, clock=wall_clock),
            contributions=works,
            clock=wall_clock,
        )
        began = loop.time()
        for number in range(40):
            await operations.create(make_bounty(**in_two_days(f"b-{number}")))
            await operations.claim(f"b-{number}", BOB)
            await operations.settle(f"b-{number}", f"w{number}")
        assert loop.time() - began >= MINUTE  # or nothing was limited
    assert (await ledger.balance(BOB.agent_id)).available > 0


@virtual
async def test_a_zone_of_more_than_a_minutes_calls_is_listed_and_reconciled() -> None:
    """On 0.9, which reads one file a request."""
    filled = MockNexus("0.9", rename_delay=0, clock=wall_clock)
    async with NexusClient("http://nexus", transport=filled.transport()) as client:
        store = NexusBountyStore(client, clock=wall_clock)
        for number in range(LIMIT + 20):
            await store.create_bounty(make_bounty(**in_two_days(f"b-{number:03}")))
    mock = MockNexus("0.9", rename_delay=0, clock=wall_clock, rate_limit=LIMIT)
    mock.restore(filled.snapshot())
    loop = asyncio.get_running_loop()
    async with NexusClient("http://nexus", transport=mock.transport()) as client:
        store = NexusBountyStore(client, clock=wall_clock)
        began = loop.time()
        assert len(await store.list_bounties()) == LIMIT + 20
        assert loop.time() - began >= MINUTE
        operations = BountyOperations(
            store,
            credits=MemoryCredits(clock=wall_clock),
            claims=NexusClaimStore(client, clock=wall_clock),
            contributions=MemoryContributionStore([]),
            clock=wall_clock,
        )
        report = await Reconciler(operations).run_once()
    assert not report.errors
