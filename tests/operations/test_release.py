"""Releasing: the bounty is free again, and so is its lease."""

from __future__ import annotations

from typing import Any

from nexus_bounty import BountyStatus, CommitUnknownError
from nexus_bounty.operations.services import target_of
from tests.operations.lives import KEY, claimed
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, CAROL, a_world, broken_invariants


@virtual
async def test_a_released_bounty_can_be_claimed_by_another_agent() -> None:
    """The lease is free at once."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        result = await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        again = await process.operations.claim(BOUNTY_ID, CAROL)
    assert result.done == ("commit_open", "release_lease", "forget_payee")
    assert result.bounty.status is BountyStatus.OPEN
    assert result.bounty.claimed_by is None
    assert again.bounty.claimed_by == CAROL
    assert not await broken_invariants(world)


@virtual
async def test_a_repeated_release_leaves_a_later_claim_alone() -> None:
    """The agent has claimed again since: its new lease stays."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        again: Any = await process.operations.claim(BOUNTY_ID, BOB)
        await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert [each.claim_id for each in held] == [again.claim.claim_id]


@virtual
async def test_a_release_ends_the_lease_that_the_bounty_has_now() -> None:
    """Another process of the same agent has released and claimed it since."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await claimed(process.operations)
        await other.operations.release(BOUNTY_ID, BOB)
        await other.operations.claim(BOUNTY_ID, BOB)
        await process.operations.release(BOUNTY_ID, BOB)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert not held
    assert not await broken_invariants(world)


@virtual
async def test_a_repeated_release_leaves_a_lease_alone_whose_claim_is_under_way() -> None:
    """The agent's next claim, made at the same moment, has its lease and has yet to commit."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await claimed(process.operations)
        await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        store: Any = process.operations.services.store
        claim_bounty = store.claim_bounty

        async def after_the_repeat(*arguments: Any, **named: Any) -> Any:
            await other.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
            return await claim_bounty(*arguments, **named)

        store.claim_bounty = after_the_repeat
        again: Any = await process.operations.claim(BOUNTY_ID, BOB)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert [each.claim_id for each in held] == [again.claim.claim_id]
    assert not await broken_invariants(world)


@virtual
async def test_a_repeated_release_ends_the_lease_that_the_first_call_could_not() -> None:
    """It was committed, and its lease left behind."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await claimed(process.operations)
        claims: Any = process.operations.services.claims

        async def lost(*_: Any, **__: Any) -> Any:
            raise CommitUnknownError("the answer was lost")

        claims.release = lost
        first = await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        assert first.owed == ["release_lease"]
        await other.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        held = await other.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert not held
    assert not await broken_invariants(world)


@virtual
async def test_a_release_that_is_overtaken_ends_the_lease_that_it_gave_back() -> None:
    """Between its look and its commit the agent has released and claimed it from elsewhere."""
    world = await a_world()
    async with world.process() as process, world.process(seed=3) as other:
        await claimed(process.operations)
        store: Any = process.operations.services.store
        release_bounty = store.release_bounty

        async def overtaken(*arguments: Any, **named: Any) -> Any:
            store.release_bounty = release_bounty
            await other.operations.release(BOUNTY_ID, BOB)
            await other.operations.claim(BOUNTY_ID, BOB)
            return await release_bounty(*arguments, **named)

        store.release_bounty = overtaken
        await process.operations.release(BOUNTY_ID, BOB, idempotency_key=KEY)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert not held
    assert not await broken_invariants(world)
