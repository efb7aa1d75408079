"""An operation repeated long after, when the world has moved on: its key still tells the truth."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from nexus_bounty import AgentIdentity, BountyStatus
from nexus_bounty.testing.virtual_time import EPOCH, run
from tests.operations.world import BOB, BOUNTY_ID, CID, Process, World, a_bounty

CAROL = AgentIdentity(agent_id="carol")


async def _create_after_the_deadline() -> None:
    world = World()
    await world.found()
    offer = a_bounty(EPOCH + timedelta(minutes=1))
    async with world.process() as process:
        await process.operations.create(offer, idempotency_key="k")
    await asyncio.sleep(120)
    async with world.process() as process:
        again = await process.operations.create(offer, idempotency_key="k")
    assert again.bounty.status is BountyStatus.OPEN


def test_a_create_repeated_after_its_deadline_is_still_a_create_that_happened() -> None:
    """The deadline is no longer in the future; that does not undo the commit."""
    run(_create_after_the_deadline())


async def _claimed_by_another() -> tuple[World, Process]:
    """Bob claims and releases, Carol claims."""
    world = World()
    await world.found()
    async with world.process() as process:
        operations = process.operations
        await operations.create(a_bounty(), idempotency_key="create")
        await operations.claim(BOUNTY_ID, BOB, idempotency_key="bob-claims")
        await operations.release(BOUNTY_ID, BOB, idempotency_key="bob-releases")
        await operations.claim(BOUNTY_ID, CAROL, idempotency_key="carol-claims")
        return world, process


async def _claim_after_another() -> None:
    world, _ = await _claimed_by_another()
    async with world.process() as process:
        again = await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="bob-claims")
    assert again.bounty.claimed_by == CAROL


def test_a_claim_repeated_when_another_has_it_is_not_called_undone() -> None:
    """It did happen; the result shows the bounty as it stands."""
    run(_claim_after_another())


async def _release_after_another() -> None:
    world, _ = await _claimed_by_another()
    async with world.process() as process:
        await process.operations.release(BOUNTY_ID, BOB, idempotency_key="bob-releases")
        held = await process.operations.services.claims.active_claims()
    assert [each.agent for each in held] == [CAROL]


def test_a_release_repeated_leaves_the_lease_of_the_next_claimer_alone() -> None:
    """The lease on the bounty is another agent's by now."""
    run(_release_after_another())


async def _release_after_claiming_again() -> None:
    world = World()
    await world.found()
    async with world.process() as process:
        operations = process.operations
        await operations.create(a_bounty())
        await operations.claim(BOUNTY_ID, BOB)
        await operations.release(BOUNTY_ID, BOB, idempotency_key="bob-releases")
        await operations.claim(BOUNTY_ID, BOB)
        await operations.release(BOUNTY_ID, BOB, idempotency_key="bob-releases")
        held = await operations.services.claims.active_claims()
        assert [each.agent for each in held] == [BOB]
        await operations.settle(BOUNTY_ID, CID)


def test_a_release_repeated_after_claiming_again_keeps_the_new_lease() -> None:
    """The old release is done; the new claim stands."""
    run(_release_after_claiming_again())
