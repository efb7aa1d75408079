"""Renewing: the lease grows, and nothing else changes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from nexus_bounty import AgentIdentity, BountyStateError
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.operations.services import target_of
from nexus_bounty.outcomes import ClaimStateError
from nexus_bounty.testing.virtual_time import EPOCH
from tests.operations.lives import DOCUMENT, KEY, claimed, outcome, refusal
from tests.support.virtual import virtual
from tests.support.world import ALICE, BOB, BOUNTY_ID, CAROL, a_world, broken_invariants


@virtual
async def test_a_renewal_extends_the_lease_and_changes_nothing_else() -> None:
    """From now, by the length asked for."""
    world = await a_world()
    async with world.process() as process:
        before = await claimed(process.operations)
        await asyncio.sleep(600)
        result: Any = await process.operations.renew(BOUNTY_ID, BOB, lease=timedelta(hours=1))
        again: Any = await process.operations.claim(BOUNTY_ID, BOB, lease=timedelta(hours=2))
    assert result.done == ("extend_lease",)
    assert result.claim.lease_expires_at == EPOCH + timedelta(minutes=70)
    assert result.claim.claim_id == before.claim.claim_id
    assert again.claim.lease_expires_at == EPOCH + timedelta(minutes=130)
    assert again.bounty.claim_id == before.bounty.claim_id
    assert not await broken_invariants(world)


@virtual
async def test_a_renewal_that_did_not_happen_leaves_the_lease_of_the_claim_as_it_is() -> None:
    """Claimed again with another key, fenced off: the agent still holds the bounty."""
    world = await a_world()
    async with world.process(impatient=True) as process:
        first = await claimed(process.operations)
        failing = RequestMatch(method="write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=failing))
        again = process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY)
        assert await outcome(again) == "pre_commit"
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert [each.claim_id for each in held] == [first.claim.claim_id]
    assert not await broken_invariants(world)


@virtual
async def test_a_lease_that_has_run_out_cannot_be_renewed() -> None:
    """Its bounty may be somebody else's soon."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await asyncio.sleep(3600)
        error = await refusal(process.operations.renew(BOUNTY_ID, BOB))
    assert isinstance(error, ClaimStateError)
    assert (error.operation, error.bounty_id) == ("renew", BOUNTY_ID)


@pytest.mark.parametrize("agent", [CAROL, ALICE])
@virtual
async def test_only_the_holder_can_renew(agent: AgentIdentity) -> None:
    """And the lease stays as long as it was."""
    world = await a_world()
    async with world.process() as process:
        before = await claimed(process.operations)
        error = await refusal(process.operations.renew(BOUNTY_ID, agent, lease=timedelta(days=1)))
        after = await process.operations.services.claims.get(before.claim.claim_id)
    assert isinstance(error, BountyStateError)
    assert after == before.claim
