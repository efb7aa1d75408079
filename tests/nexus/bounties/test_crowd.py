"""Many operations at once on one store: they wait for one another, and none fails for it."""

from __future__ import annotations

import asyncio
from typing import Literal, NamedTuple

import pytest

from nexus_bounty import (
    BountyStatus,
    NexusBountyStore,
    NexusClient,
    NexusSettings,
    PreCommitError,
    Proof,
)
from nexus_bounty.mock import MockNexus
from nexus_bounty.testing.builders import make_agent, make_bounty
from nexus_bounty.testing.virtual_time import run, wall_clock

CONNECTIONS = 8
REQUESTS_OF_A_LIFE = 7
"""To create a bounty, and to claim it: each of them takes a second."""


class SlowLine:
    """A second to the server for every request; counts how many are under way at once."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0

    async def __call__(self, stage: Literal["request", "response"]) -> None:
        self.under_way += 1 if stage == "request" else -1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(1.0 if stage == "request" else 0.0)


class Crowd(NamedTuple):
    """How it ended for each, who was done in which order, and what is on the server then."""

    ended: list[BountyStatus | BaseException]
    done: list[int]
    mock: MockNexus


async def crowd(number: int, queue_timeout: float) -> Crowd:
    """Create and claim that many bounties at once, on a server that takes much longer for all."""
    mock, line = MockNexus("0.10", clock=wall_clock), SlowLine()
    settings = NexusSettings(
        max_connections=CONNECTIONS,
        queue_timeout=queue_timeout,
        operation_timeout=20.0,
        request_timeout=10.0,
        retry_attempts=1,
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
        ended = await asyncio.gather(*map(operate, range(number)), return_exceptions=True)
        took = asyncio.get_running_loop().time() - began
    assert took > 2 * settings.operation_timeout  # they would have run out of time in the queue
    assert line.most <= CONNECTIONS
    return Crowd(ended, done, mock)


def all_come_through(number: int, queue_timeout: float) -> None:
    """None fails, and none is overtaken by many."""
    found = run(crowd(number, queue_timeout))
    assert found.ended == [BountyStatus.CLAIMED] * number
    places = [abs(index - place) for place, index in enumerate(found.done)]
    assert max(places) <= 4 * CONNECTIONS  # who came first was done first


def test_a_hundred_operations_at_once_all_come_through_in_their_order() -> None:
    """None runs out of time by waiting, and none is overtaken by many."""
    all_come_through(100, NexusSettings().queue_timeout)


@pytest.mark.exhaustive
def test_a_thousand_operations_at_once_all_come_through_in_their_order() -> None:
    """The same, for a thousand, who may wait for as long as those before them take."""
    all_come_through(1000, REQUESTS_OF_A_LIFE * 1000 / CONNECTIONS)


def test_who_may_not_wait_for_so_long_is_refused_before_anything_is_sent() -> None:
    """Those before them come through all the same; of one that was refused nothing is there."""
    found = run(crowd(100, queue_timeout=25.0))
    files = "\n".join(found.mock.files)
    refused = [each for each in found.ended if each is not BountyStatus.CLAIMED]
    assert 0 < len(refused) < 100
    for index, ended in enumerate(found.ended):
        if ended is not BountyStatus.CLAIMED:
            assert isinstance(ended, PreCommitError)
            assert ended.evidence.proof is Proof.NEVER_SENT
            assert (f"b-{index:04}" in files) is (ended.operation == "claim_bounty")
