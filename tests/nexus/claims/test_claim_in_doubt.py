"""What a claim's call is told that is repeated while its first attempt may still be under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random

import pytest

from nexus_bounty import AgentIdentity, NexusClient
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.nexus.claims.store import NexusClaimStore
from nexus_bounty.outcomes import ClaimStateError
from nexus_bounty.testing.virtual_time import wall_clock
from tests.support.virtual import virtual

BOB = AgentIdentity(agent_id="bob")
HOUR = timedelta(hours=1)
WRITE = RequestMatch(method="write", path="/zones/default/claims/c-1.json")


@asynccontextmanager
async def claimed_for_a_moment(mock: MockNexus) -> AsyncIterator[NexusClaimStore]:
    """A store of one process that has just taken a lease of twenty seconds."""
    async with NexusClient("http://nexus", transport=mock.transport(), random=Random(1)) as client:
        claims = NexusClaimStore(client, commit="conditional", clock=wall_clock)
        await claims.claim_or_renew("t", BOB, claim_id="c-1", lease=timedelta(seconds=20))
        yield claims


@virtual
async def test_a_heartbeat_that_comes_too_late_rules_out_the_one_that_is_under_way() -> None:
    """The lease has run out meanwhile: the first attempt, sent in time, must not revive it."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    async with claimed_for_a_moment(mock) as claims:
        await asyncio.sleep(19)
        mock.inject(Fault(FaultKind.LATE, match=WRITE, after_requests=1000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await claims.heartbeat("c-1", lease=HOUR, idempotency_key="h")
        await asyncio.sleep(2)
        with pytest.raises(ClaimStateError):
            await claims.heartbeat("c-1", lease=HOUR, idempotency_key="h")
        await mock.settle()
        claim = await claims.get("c-1")
        assert claim is not None
        assert not claim.holds(wall_clock())


@virtual
async def test_a_heartbeat_that_landed_unheard_is_not_refused_when_it_is_asked_for_again() -> None:
    """Even if its lease has run out since."""
    mock = MockNexus("0.10-hypothetical", clock=wall_clock)
    async with claimed_for_a_moment(mock) as claims:
        mock.inject(Fault(FaultKind.TIMEOUT_AFTER, match=WRITE))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await claims.heartbeat("c-1", lease=HOUR, idempotency_key="h")
        await asyncio.sleep(2 * HOUR.total_seconds())
        again = await claims.heartbeat("c-1", lease=HOUR, idempotency_key="h")
        assert again.revision == 2
