"""Claimed bounties of whose lease there is no record: reopened only where that proves something."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from nexus_bounty import BountyStatus, Claim, NexusClaimStore
from nexus_bounty.memory import MemoryClaimStore
from nexus_bounty.operations import BountyOperations
from nexus_bounty.operations.services import target_of
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import wall_clock
from tests.reconcile.stranded import STRANDED, Hands, Stranded, grown_old
from tests.support.virtual import virtual
from tests.support.world import (
    ALICE,
    BOB,
    BOUNTY_ID,
    CAROL,
    GRACE,
    Process,
    World,
    a_world,
    document,
    with_other,
)

HOUR = timedelta(hours=1)
GONE = next(each for each in STRANDED if each.name == "lease gone")


def status(world: World) -> str:
    found = document(world.mock)
    assert found is not None
    return str(found["status"])


async def reconciled(process: Process, operations: BountyOperations | None = None) -> int:
    """How much was repaired."""
    report = await Reconciler(operations or process.operations, grace=GRACE).run_once()
    return report.repaired


def elsewhere(process: Process) -> BountyOperations:
    """The same operations, their leases in this process."""
    return with_other(process.operations, claims=MemoryClaimStore(clock=wall_clock))


@virtual
async def test_somebody_else_can_claim_it_as_soon_as_it_is_reopened() -> None:
    """The reconciler gives back the lease that it held meanwhile."""
    world = await grown_old(GONE)
    async with world.process() as process:
        assert await reconciled(process) == 1
        assert status(world) == "open"
        result = await process.operations.claim(BOUNTY_ID, CAROL)
        assert result.bounty.claimed_by == CAROL


@virtual
async def test_a_bounty_whose_target_somebody_holds_stays_claimed() -> None:
    """Its claimer may have taken another lease and not said so yet."""
    world = await grown_old(GONE)
    async with world.process() as process:
        await process.operations.services.claims.claim_or_renew(
            target_of(BOUNTY_ID), BOB, claim_id="another", lease=HOUR
        )
        assert await reconciled(process) == 0
        assert status(world) == "claimed"


@virtual
async def test_whoever_takes_the_lease_before_the_repair_keeps_the_bounty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was found out is found out again, by a lease that only one can have."""
    world = await grown_old(GONE)
    asked: list[str] = []
    create = NexusClaimStore.create_claim

    async def too_late(
        claims: NexusClaimStore, target_ref: str, *given: Any, **named: Any
    ) -> Claim:
        asked.append(target_ref)
        await claims.claim_or_renew(target_ref, BOB, claim_id="another", lease=HOUR)
        return await create(claims, target_ref, *given, **named)

    monkeypatch.setattr(NexusClaimStore, "create_claim", too_late)
    async with world.process() as process:
        assert await reconciled(process) == 0
    assert asked == [target_of(BOUNTY_ID)]
    assert status(world) == "claimed"


@virtual
async def test_what_the_peer_claimed_is_left_alone_by_whoever_keeps_leases_elsewhere() -> None:
    """Its lease is where this reconciler does not look."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        await hands.reserve()
        await hands.put(BountyStatus.CLAIMED, claimed_by=BOB, claim_id="theirs")
        await asyncio.sleep(3 * GRACE.total_seconds())
        assert await reconciled(process, elsewhere(process)) == 0
        assert status(world) == "claimed"
        assert await reconciled(process) == 1  # in the zone, there is none
        assert status(world) == "open"


@virtual
async def test_what_our_operations_claimed_is_reopened_wherever_they_keep_leases() -> None:
    """The history names the claim that they made."""
    world = await a_world()
    async with world.process() as process:
        await process.operations.services.credits.top_up("f", account=ALICE.agent_id, amount=1)
        await Hands.of(world, process).posted()
        operations = elsewhere(process)
        await operations.claim(BOUNTY_ID, BOB, lease=HOUR, idempotency_key="claim")
        await asyncio.sleep(3 * GRACE.total_seconds())
        assert await reconciled(process, operations) == 0
        assert await reconciled(process, elsewhere(process)) == 1  # as if that store were lost
        assert status(world) == "open"


def test_both_ways_of_losing_a_lease_are_among_the_stranded() -> None:
    """So that each sweep is tried on them, at every fault and crash."""
    names = [each.name for each in STRANDED if isinstance(each, Stranded)]
    assert {"lease gone", "lease gone and lock emptied"} <= set(names)
