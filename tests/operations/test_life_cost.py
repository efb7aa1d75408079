"""What a whole life costs on each kind of server, by what the probe finds to be safe there."""

from __future__ import annotations

import asyncio
from random import Random
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
from nexus_bounty.mock.transport import Pause
from nexus_bounty.nexus.client.settings import NexusSettings
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.virtual import elapsed, virtual
from tests.support.world import ALICE, BOB, FUNDS, a_bounty

LIVES = 4
WORKS = [
    Contribution(cid=f"cid-{number}", agent=BOB, tags=["sorted"], scores={"speed": 2.0})
    for number in range(1, 1 + LIVES)
]
ROUND_TRIP = 0.01
SHORT = 5.0
"""Seconds in which whatever was left for later is done; a life of these round trips is shorter."""
LONG_AFTER = 30.0
"""Seconds in which it is done however far the server is."""


FAR = [0.005, 0.05, 0.2, 0.5, 1.0]
"""Seconds of a round trip: a neighbour, another continent, a server that is busy."""


def _taking(seconds: float) -> Pause:
    async def pause(stage: Literal["request", "response"]) -> None:
        await asyncio.sleep(seconds if stage == "request" else 0.0)

    return pause


def _offer(bounty_id: str) -> Bounty:
    return msgspec.structs.replace(a_bounty(), bounty_id=bounty_id)


async def _operations(client: NexusClient) -> BountyOperations:
    ledger = MemoryCredits(clock=wall_clock)
    await ledger.top_up("t-1", account=ALICE.agent_id, amount=FUNDS)
    return BountyOperations(
        NexusBountyStore(client, clock=wall_clock),
        credits=ledger,
        claims=NexusClaimStore(client, clock=wall_clock),
        contributions=MemoryContributionStore(WORKS),
        clock=wall_clock,
    )


async def _live(operations: BountyOperations, number: int = 1, *, keyed: bool) -> None:
    """Create, claim and settle, with keys of the caller's or without."""
    bounty_id = f"b-{number}"

    def key(step: str) -> str | None:
        return f"{bounty_id}-{step}" if keyed else None

    await operations.create(_offer(bounty_id), idempotency_key=key("create"))
    await operations.claim(bounty_id, BOB, idempotency_key=key("claim"))
    await operations.settle(bounty_id, f"cid-{number}", idempotency_key=key("settle"))


COSTS = [
    ("0.10-hypothetical", False, 14, 9),
    ("0.10-hypothetical", True, 15, 10),
    ("0.10", False, 17, 9),
    ("0.10", True, 17, 10),
    ("0.7.0", False, 17, 10),
    ("0.7.0", True, 17, 11),
    ("0.9", False, 17, 10),
    ("0.9", True, 17, 11),
]
"""By personality, with keys of the caller's or without: requests, round trips."""


@pytest.mark.parametrize("signing_keys", [(), (SecretStr("k" * 32),)], ids=["", "signed"])
@pytest.mark.parametrize(("personality", "keyed", "requests", "round_trips"), COSTS)
@virtual
async def test_a_life_takes_so_many_requests_and_round_trips_at_most(
    personality: str,
    keyed: bool,
    requests: int,
    round_trips: int,
    signing_keys: tuple[SecretStr, ...],
) -> None:
    """Create, claim and settle, claims on Nexus, warm; what is done later is among the requests.

    To sign what is written costs none. A key of the caller's costs a look before the first write:
    a round trip, and a request only where commits go by preconditions.
    """
    mock = MockNexus(personality, clock=wall_clock)
    settings = NexusSettings(cleanup_delay=SHORT / 2, signing_keys=signing_keys)
    transport = mock.transport(pause=_taking(ROUND_TRIP))
    async with NexusClient("http://nexus", settings=settings, transport=transport) as client:
        operations = await _operations(client)
        await operations.create(_offer("b-0"))  # how to commit is known from now on
        await asyncio.sleep(SHORT)
        before, began = mock.request_count, elapsed()
        await _live(operations, keyed=keyed)
        assert round((elapsed() - began) / ROUND_TRIP) <= round_trips
        await asyncio.sleep(SHORT)
        assert mock.request_count - before <= requests


@pytest.mark.parametrize("away", FAR)
@pytest.mark.parametrize(("personality", "keyed", "requests", "round_trips"), COSTS)
@virtual
async def test_a_life_takes_no_more_however_far_the_server_is(
    personality: str, keyed: bool, requests: int, round_trips: int, away: float
) -> None:
    """With the settings as they come: what is left for later waits as long as a life takes."""
    mock = MockNexus(personality, clock=wall_clock)
    transport = mock.transport(pause=_taking(away))
    async with NexusClient("http://nexus", settings=NexusSettings(), transport=transport) as client:
        operations = await _operations(client)
        await operations.create(_offer("b-0"))
        await asyncio.sleep(LONG_AFTER)
        before, began = mock.request_count, elapsed()
        await _live(operations, keyed=keyed)
        assert round((elapsed() - began) / away) <= round_trips
        await asyncio.sleep(LONG_AFTER)
        assert mock.request_count - before <= requests


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("personality", "budget"), [("0.7.0", 20), ("0.9", 26), ("0.10", 20)])
@virtual
async def test_a_life_keeps_to_its_budget_where_each_answer_takes_another_time(
    personality: str, budget: int, seed: int
) -> None:
    """Between a tenth of a second and one, as of a server with more to do than it can."""
    mock, random = MockNexus(personality, clock=wall_clock), Random(seed)

    async def pause(stage: Literal["request", "response"]) -> None:
        await asyncio.sleep(random.uniform(0.1, 1.0) if stage == "request" else 0.0)

    transport = mock.transport(pause=pause)
    async with NexusClient("http://nexus", settings=NexusSettings(), transport=transport) as client:
        operations = await _operations(client)
        await operations.create(_offer("b-0"))
        await asyncio.sleep(LONG_AFTER)
        before = mock.request_count
        await _live(operations, keyed=True)
        await asyncio.sleep(LONG_AFTER)
        assert mock.request_count - before <= budget


@pytest.mark.parametrize(("keyed", "requests"), [(False, 13), (True, 14)])
@virtual
async def test_where_a_life_follows_another_by_preconditions_it_takes_a_request_less(
    keyed: bool, requests: int
) -> None:
    """The marker of what has ended is written once more with the next one's, not looked at."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    settings = NexusSettings(cleanup_delay=SHORT / 2)
    transport = mock.transport(pause=_taking(ROUND_TRIP))
    async with NexusClient("http://nexus", settings=settings, transport=transport) as client:
        operations = await _operations(client)
        await operations.create(_offer("b-0"))
        await asyncio.sleep(SHORT)
        before = mock.request_count
        for number in range(1, 1 + LIVES):
            await _live(operations, number, keyed=keyed)
            await client.cleanup.flush()  # counted as one a life, although lives share them
        await asyncio.sleep(SHORT)
        assert mock.request_count - before == LIVES * requests + 1
