"""An operation repeated long after, when the world has moved on: its key still tells the truth."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from nexus_bounty import BountyStateError, BountyStatus, IdempotencyMismatchError, PreCommitError
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import EPOCH, run
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    GRACE,
    PRICE,
    Process,
    World,
    a_bounty,
    a_world,
    broken_invariants,
)


async def _create_after_the_deadline() -> None:
    world = await a_world()
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
    world = await a_world()
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
    world = await a_world()
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


async def _repeated_while_the_lease_is_swept() -> None:
    """A claim dies after its lease, and is repeated just when a reconciler ends that lease."""
    world = await a_world()
    async with world.process() as process, world.process(seed=9) as other:
        await process.operations.create(a_bounty())
        await _cancelled_after_its_lease(process)
        await world.later()
        store: Any = other.operations.services.store
        resolve = store.resolve_operation

        async def repeated_right_after(*arguments: Any, **named: Any) -> Any:
            resolution = await resolve(*arguments, **named)
            with pytest.raises(BountyStateError, match="given back"):
                await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="k")
            return resolution

        store.resolve_operation = repeated_right_after
        await Reconciler(other.operations, grace=GRACE).run_once()
        store.resolve_operation = resolve
        assert not await process.operations.services.claims.active_claims()
        again = await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="another")
        assert again.bounty.claimed_by == BOB
    assert not await broken_invariants(world)


async def _cancelled_after_its_lease(process: Process) -> None:
    store: Any = process.operations.services.store
    claim = store.claim_bounty

    async def cancelled(*_arguments: Any, **_named: Any) -> Any:
        raise asyncio.CancelledError

    store.claim_bounty = cancelled
    with pytest.raises(asyncio.CancelledError):
        await process.operations.claim(BOUNTY_ID, BOB, idempotency_key="k")
    store.claim_bounty = claim


def test_a_claim_repeated_while_its_lease_is_swept_away_is_not_made_without_a_lease() -> None:
    """It is refused by the document, and another key takes a lease of its own."""
    run(_repeated_while_the_lease_is_swept())


async def _twins_of_which_one_is_refused() -> None:
    """Two processes use one key; one is refused, and the other claims just as it gives back."""
    world = await a_world()
    async with world.process() as first, world.process(seed=9) as second:
        await first.operations.create(a_bounty())
        store: Any = first.operations.services.store
        resolve = store.resolve_operation

        async def refused(*_arguments: Any, **_named: Any) -> Any:
            raise PreCommitError("the marker could not be written")

        async def claimed_right_after(*arguments: Any, **named: Any) -> Any:
            resolution = await resolve(*arguments, **named)
            with pytest.raises(BountyStateError, match="given back"):
                await second.operations.claim(BOUNTY_ID, BOB, idempotency_key="k")
            return resolution

        store.claim_bounty, store.resolve_operation = refused, claimed_right_after
        with pytest.raises(PreCommitError, match="marker"):
            await first.operations.claim(BOUNTY_ID, BOB, idempotency_key="k")
        assert not await second.operations.services.claims.active_claims()
    assert not await broken_invariants(world)


def test_a_lease_that_is_given_back_is_no_twins_to_claim_with() -> None:
    """Neither is told that it has the bounty, and neither does."""
    run(_twins_of_which_one_is_refused())


async def _create_with_a_later_deadline(*, relative: bool) -> None:
    world = await a_world()
    for wait in (0, 90):
        await asyncio.sleep(wait)
        async with world.process() as process:
            deadline = process.operations.services.clock() + timedelta(days=7)
            await process.operations.create(
                a_bounty(deadline), relative_deadline=relative, idempotency_key="k"
            )
            balance = await process.operations.services.credits.balance("alice")
            assert balance.reserved == PRICE
    assert not await broken_invariants(world)


def test_a_create_repeated_with_its_default_deadline_is_the_same_create() -> None:
    """ "In a week" is a later moment a minute later; that does not make it another operation."""
    run(_create_with_a_later_deadline(relative=True))


def test_a_create_repeated_with_another_deadline_of_its_own_is_another_operation() -> None:
    """It says so, and not that it never happened: the first one did."""
    with pytest.raises(IdempotencyMismatchError) as told:
        run(_create_with_a_later_deadline(relative=False))
    assert not isinstance(told.value, PreCommitError)
    assert told.value.other is not None
    assert told.value.other.kind == "create"
