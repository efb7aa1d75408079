"""A settle goes on where another one stopped, whatever its key, with the same work only."""

from __future__ import annotations

import asyncio

from nexus_bounty import (
    BountyStateError,
    BountyStatus,
    Contribution,
    CriteriaNotMetError,
)
from nexus_bounty.operations.services import known_bounty
from tests.operations.lives import begun, claimed, paid, refusal
from tests.support.virtual import virtual
from tests.support.world import BOUNTY_ID, CID, PRICE, Process, a_world
from tests.support.world import broken_invariants as broken


async def begun_by_grove(process: Process) -> None:
    """Another program has: it leaves nobody on record in our ledger."""
    await process.operations.services.store.begin_settlement(BOUNTY_ID, CID)


@virtual
async def test_another_key_goes_on_where_the_first_one_stopped() -> None:
    """The claimer is paid once, and a repeat with the first key changes nothing."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await begun(process.operations)
    async with world.process(seed=2) as process:
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key="second")
        again = await process.operations.settle(BOUNTY_ID, CID, idempotency_key="first")
    assert result.bounty.status is again.bounty.status is BountyStatus.SETTLED
    assert await paid(world) == PRICE
    assert not await broken(world)


@virtual
async def test_a_process_that_remembers_the_bounty_as_claimed_goes_on_as_well() -> None:
    """What it remembers is refused by the store, and looked at again."""
    world = await a_world()
    async with world.process() as process, world.process(seed=2) as other:
        await claimed(process.operations)
        await begun(other.operations)
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key="second")
    assert result.bounty.status is BountyStatus.SETTLED
    assert await paid(world) == PRICE


@virtual
async def test_settles_with_different_keys_at_once_pay_once() -> None:
    """Whoever comes second goes on with the first one's, or finds it done."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(seed=2) as one, world.process(seed=3) as two:
        await asyncio.gather(
            *(
                each.operations.settle(BOUNTY_ID, CID, idempotency_key=f"k-{number}")
                for number, each in enumerate((one, two))
            ),
            return_exceptions=True,
        )
    async with world.process(seed=4) as process:
        bounty = await known_bounty(process.operations.services, BOUNTY_ID)
    assert bounty.status is BountyStatus.SETTLED
    assert await paid(world) == PRICE
    assert not await broken(world)


@virtual
async def test_other_work_does_not_go_on_with_it() -> None:
    """Past the pivot the work is decided."""
    world = await a_world()
    world.contributions.add(Contribution(cid="cid-2", tags=["sorted"], scores={"speed": 9.0}))
    async with world.process() as process:
        await claimed(process.operations)
        await begun(process.operations)
        error = await refusal(process.operations.settle(BOUNTY_ID, "cid-2"))
    assert isinstance(error, BountyStateError)
    assert await paid(world) == 0


@virtual
async def test_what_another_program_has_begun_is_paid_once_its_work_was_looked_at() -> None:
    """By a settle, which can look at it; the reconciler alone pays nobody who is not on record."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await begun_by_grove(process)
        result = await process.operations.settle(BOUNTY_ID, CID)
    assert result.bounty.status is BountyStatus.SETTLED
    assert await paid(world) == PRICE
    assert not await broken(world)


@virtual
async def test_what_another_program_has_begun_with_poor_work_is_not_paid() -> None:
    """It asked nobody; now somebody does."""
    world = await a_world()
    poor = Contribution(cid="poor", tags=[], scores={"speed": 0.1})
    world.contributions.add(poor)
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.services.store.begin_settlement(BOUNTY_ID, poor.cid)
        error = await refusal(process.operations.settle(BOUNTY_ID, poor.cid))
    assert isinstance(error, CriteriaNotMetError)
    assert await paid(world) == 0
