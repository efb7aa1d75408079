"""Whole lives of bounties, lived on a server that takes its time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import msgspec

from nexus_bounty import (
    BountyOperations,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock.transport import Pause
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.world import ALICE, BOB, PRICE, a_bounty

LONG_AFTER = 20.0
"""Seconds in which whatever was left for later is done."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What those who lived used."""

    operations: BountyOperations
    store: NexusBountyStore
    claims: NexusClaimStore


def taking(seconds: float) -> Pause:
    """The pause of a server on which each request takes so many seconds."""

    async def pause(stage: Literal["request", "response"]) -> None:
        await asyncio.sleep(seconds if stage == "request" else 0.0)

    return pause


async def ended_lives(client: NexusClient, number: int) -> Lived:
    """Bounties that were created, claimed and settled, with claims on Nexus; what was owed is done.

    They are the first in their zone.
    """
    works = [
        Contribution(cid=f"cid-{each}", agent=BOB, tags=["sorted"], scores={"speed": 2.0})
        for each in range(number)
    ]
    ledger = MemoryCredits(clock=wall_clock)
    await ledger.top_up("t-1", account=ALICE.agent_id, amount=PRICE * number)
    store = NexusBountyStore(client, clock=wall_clock)
    claims = NexusClaimStore(client, clock=wall_clock)
    operations = BountyOperations(
        store,
        credits=ledger,
        claims=claims,
        contributions=MemoryContributionStore(works),
        clock=wall_clock,
    )
    deadline = wall_clock() + timedelta(days=7)
    for each in range(number):
        offer = msgspec.structs.replace(a_bounty(), bounty_id=f"b-{each}", deadline=deadline)
        await operations.create(offer)
        await operations.claim(offer.bounty_id, BOB)
        await operations.settle(offer.bounty_id, f"cid-{each}")
    await asyncio.sleep(LONG_AFTER)
    return Lived(operations, store, claims)
