"""A bounty that another program has completed: it is settled from there, or not at all."""

from __future__ import annotations

from nexus_bounty import BountyStatus
from nexus_bounty.testing.virtual_time import run
from tests.support.world import BOB, BOUNTY_ID, CID, PRICE, World, a_bounty, broken_invariants


async def _settle_what_was_completed() -> None:
    world = World()
    await world.found()
    async with world.process() as process:
        await process.operations.create(a_bounty())
        await process.operations.claim(BOUNTY_ID, BOB)
        await process.operations.services.store.complete_bounty(BOUNTY_ID, CID)
        result = await process.operations.settle(BOUNTY_ID, CID)
    assert result.bounty.status is BountyStatus.SETTLED
    assert (await world.ledger.balance(BOB.agent_id)).available == PRICE
    assert not await broken_invariants(world)


def test_a_settle_pays_what_another_program_completed() -> None:
    """The other's commit was the pivot: ours, which would be refused, is left out."""
    run(_settle_what_was_completed())
