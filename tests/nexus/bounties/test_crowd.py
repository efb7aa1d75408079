"""Many operations at once on one store: they wait for one another, and none fails for it."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from nexus_bounty import BountyStatus, NexusBountyStore, NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.testing.builders import make_agent, make_bounty
from nexus_bounty.testing.virtual_time import run, wall_clock

CONNECTIONS = 8


class SlowLine:
    """A second to the server for every request; counts how many are under way at once."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0

    async def __call__(self, stage: Literal["request", "response"]) -> None:
        self.under_way += 1 if stage == "request" else -1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(1.0 if stage == "request" else 0.0)


async def crowd(number: int) -> None:
    """Create and claim that many bounties at once, on a server that takes much longer for all."""
    mock, line = MockNexus("0.10", clock=wall_clock), SlowLine()
    settings = NexusSettings(
        max_connections=CONNECTIONS, operation_timeout=20.0, request_timeout=10.0, retry_attempts=1
    )
    done: list[int] = []
    async with NexusClient(
        "http://nexus", settings=settings, transport=mock.transport(pause=line)
    ) as client:
        store = NexusBountyStore(client, "z", commit="conditional", clock=wall_clock)

        async def operate(index: int) -> BountyStatus:
            bounty_id = f"b-{index:04}"
            await store.create_bounty(make_bounty(bounty_id=bounty_id))
            claimed = await store.claim_bounty(bounty_id, make_agent("alice"), "c-1")
            done.append(index)
            return claimed.status

        began = asyncio.get_running_loop().time()
        ended = await asyncio.gather(*(operate(index) for index in range(number)))
        took = asyncio.get_running_loop().time() - began
    assert ended == [BountyStatus.CLAIMED] * number
    assert took > 2 * settings.operation_timeout  # they would have run out of time in the queue
    assert line.most <= CONNECTIONS
    places = [abs(index - place) for place, index in enumerate(done)]
    assert max(places) <= 4 * CONNECTIONS  # who came first was done first


def test_a_hundred_operations_at_once_all_come_through_in_their_order() -> None:
    """None runs out of time by waiting, and none is overtaken by many."""
    run(crowd(100))


@pytest.mark.exhaustive
def test_a_thousand_operations_at_once_all_come_through_in_their_order() -> None:
    """The same, for a thousand."""
    run(crowd(1000))
