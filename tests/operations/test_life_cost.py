"""What a whole life costs on each kind of server, by what the probe finds to be safe there."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec
import pytest
from pydantic import SecretStr

from nexus_bounty import (
    Bounty,
    BountyOperations,
    Contribution,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
)
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.virtual import elapsed, virtual
from tests.support.world import ALICE, BOB, CID, FUNDS, a_bounty

WORK = Contribution(cid=CID, agent=BOB, tags=["sorted"], scores={"speed": 2.0})
ROUND_TRIP = 0.01
SHORT = 5.0
"""Seconds in which whatever was left for later is done; a life of these round trips is shorter."""


async def _takes_time(stage: Literal["request", "response"]) -> None:
    await asyncio.sleep(ROUND_TRIP if stage == "request" else 0.0)


def _offer(bounty_id: str) -> Bounty:
    return msgspec.structs.replace(a_bounty(), bounty_id=bounty_id)


async def _operations(client: NexusClient) -> BountyOperations:
    ledger = MemoryCredits(clock=wall_clock)
    await ledger.top_up("t-1", account=ALICE.agent_id, amount=FUNDS)
    return BountyOperations(
        NexusBountyStore(client, clock=wall_clock),
        credits=ledger,
        claims=NexusClaimStore(client, clock=wall_clock),
        contributions=MemoryContributionStore([WORK]),
        clock=wall_clock,
    )


@pytest.mark.parametrize("keys", [(), (SecretStr("k" * 32),)], ids=["", "signed"])
@pytest.mark.parametrize(
    ("personality", "requests", "round_trips"),
    [("0.10-hypothetical", 14, 9), ("0.10", 18, 10), ("0.7.0", 19, 11), ("0.9", 19, 11)],
)
@virtual
async def test_a_life_takes_so_many_requests_and_round_trips_at_most(
    personality: str, requests: int, round_trips: int, keys: tuple[SecretStr, ...]
) -> None:
    """Create, claim and settle, claims on Nexus, warm; what is done later is among the requests.

    To sign what is written costs none.
    """
    mock = MockNexus(personality, clock=wall_clock)
    settings = NexusSettings(cleanup_delay=SHORT / 2, signing_keys=keys)
    transport = mock.transport(pause=_takes_time)
    async with NexusClient("http://nexus", settings=settings, transport=transport) as client:
        operations = await _operations(client)
        await operations.create(_offer("b-0"))  # how to commit is known from now on
        await asyncio.sleep(SHORT)
        before, began = mock.request_count, elapsed()
        await operations.create(_offer("b-1"))
        await operations.claim("b-1", BOB)
        await operations.settle("b-1", CID)
        assert round((elapsed() - began) / ROUND_TRIP) <= round_trips
        await asyncio.sleep(SHORT)
        assert mock.request_count - before <= requests
