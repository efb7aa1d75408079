"""Claiming: the bounty and its lease go to one agent, or to none."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from nexus_bounty import BountyStateError
from nexus_bounty.idempotency import derived_id
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.operations.services import target_of
from nexus_bounty.outcomes import ClaimConflictError, ClaimStateError
from nexus_bounty.testing.virtual_time import EPOCH
from tests.operations.lives import DOCUMENT, KEY, claimed, outcome, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import (
    ALICE,
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    FUNDS,
    a_world,
    broken_invariants,
    with_other,
)


@virtual
async def test_a_claim_gives_the_bounty_and_the_lease_to_the_agent() -> None:
    """Both name the same claim."""
    world = await a_world()
    async with world.process() as process:
        result = await claimed(process.operations)
    assert result.done == ("take_lease", "commit_claim")
    assert result.bounty.claimed_by == BOB
    assert result.claim.agent == BOB
    assert result.bounty.claim_id == result.claim.claim_id
    assert result.claim.lease_expires_at == EPOCH + timedelta(minutes=30)


@virtual
async def test_a_claim_repeated_after_others_claimed_does_not_say_that_it_never_happened() -> None:
    """It was claimed, released, and claimed by another since."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.release(BOUNTY_ID, BOB)
        await process.operations.claim(BOUNTY_ID, CAROL)
        again = process.operations.claim(BOUNTY_ID, BOB, idempotency_key="claim")
        assert await outcome(again) != "pre_commit"
    assert not await broken_invariants(world)


@virtual
async def test_creators_may_claim_their_own_bounties_where_that_is_allowed() -> None:
    """By a setting."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        allowed = with_other(process.operations, allow_self_claims=True)
        assert (await allowed.claim(BOUNTY_ID, ALICE)).bounty.claimed_by == ALICE
        assert (await allowed.settle(BOUNTY_ID, CID)).credits_with == "alice"
    assert (await world.ledger.balance("alice")).available == FUNDS


@virtual
async def test_a_refused_claim_leaves_no_lease_behind() -> None:
    """The bounty was cancelled between the look and the lease: the lease is given back."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await posted(process.operations)
        await other.operations.cancel(BOUNTY_ID)
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB))
        assert isinstance(error, BountyStateError)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert not held
    assert not await broken_invariants(world)


@virtual
async def test_a_claim_is_not_committed_with_a_lease_that_has_run_out() -> None:
    """A crash after the lease, a repeat an hour later: refused, and fenced off for good."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        await process.operations.services.claims.claim_or_renew(
            target_of(BOUNTY_ID),
            BOB,
            claim_id=derived_id("claim", KEY),
            lease=timedelta(minutes=30),
            intent_summary="Claiming bounty: Sort it",
            idempotency_key=f"{KEY}:lease",
        )
        await asyncio.sleep(3600)
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, ClaimStateError)
        assert (await process.operations.claim(BOUNTY_ID, CAROL)).bounty.claimed_by == CAROL
    assert not await broken_invariants(world)


@virtual
async def test_a_call_that_is_refused_leaves_the_lease_to_the_call_that_took_it() -> None:
    """That one may be about to claim with it; who only renewed it gives up nothing of its own."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        services = process.operations.services
        await services.claims.claim_or_renew(
            target_of(BOUNTY_ID),
            BOB,
            claim_id=derived_id("claim", "first"),
            lease=services.lease,
            intent_summary="Claiming bounty: Sort it",
            idempotency_key="first:lease",
        )
        forbidden = RequestMatch("write", path=DOCUMENT)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, status=403, match=forbidden))
        await refusal(process.operations.claim(BOUNTY_ID, BOB, idempotency_key="second"))
        first = await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="first")
    assert first.claim is not None
    assert first.claim.claim_id == first.bounty.claim_id == derived_id("claim", "first")
    assert not await broken_invariants(world)


@virtual
async def test_a_lease_held_by_another_agent_is_a_conflict_and_stays() -> None:
    """The document is still open: the other one is just committing."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        claims = process.operations.services.claims
        await claims.claim_or_renew(
            target_of(BOUNTY_ID), CAROL, claim_id="theirs", lease=timedelta(hours=1)
        )
        error = await refusal(process.operations.claim(BOUNTY_ID, BOB, idempotency_key=KEY))
        assert isinstance(error, ClaimConflictError)
        assert (error.operation, error.bounty_id, error.idempotency_key) == ("claim", "b-1", KEY)
        held = await claims.active_claims(target_of(BOUNTY_ID))
    assert [each.claim_id for each in held] == ["theirs"]


@virtual
async def test_a_lock_that_names_rubbish_ends_a_claim_in_an_outcome() -> None:
    """The claim that holds the target cannot be understood: nothing is known, nothing is taken."""
    world = await a_world()
    async with world.process() as process:
        first = await claimed(process.operations)
        await process.operations.release(BOUNTY_ID, BOB)
        store: Any = process.operations.services.store
        await store._client.write(f"/zones/default/claims/{first.claim.claim_id}.json", b"{}")
    async with world.process(seed=2) as process:
        assert await outcome(process.operations.claim(BOUNTY_ID, CAROL)) in (
            "pre_commit",
            "unknown",
        )
