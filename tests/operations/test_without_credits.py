"""Operations without a credits service: bounties without escrow, and no touch of anybody's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    FROM_IDEMPOTENCY_KEY,
    BountyOperations,
    BountyStatus,
    PaymentError,
    PreCommitError,
    WrongLedgerError,
)
from nexus_bounty.mock import ALL_FAULTS, Fault, RequestMatch
from nexus_bounty.operations.without_credits import WithoutCredits
from nexus_bounty.ports import CreditsService
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import EPOCH
from tests.operations.lives import claimed, outcome, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CID,
    GRACE,
    World,
    a_bounty,
    a_world,
    document,
    with_other,
)


@asynccontextmanager
async def without_credits(world: World, **options: Any) -> AsyncIterator[BountyOperations]:
    """A process without a ledger."""
    async with world.process() as process:
        random = process.operations.services.random
        yield with_other(process.operations, credits=None, random=random, **options)


def status(world: World) -> str | None:
    return (document(world.mock) or {}).get("status")


@virtual
async def test_a_whole_life_needs_no_ledger() -> None:
    """Posted in one step, claimed, settled; nobody had, held or was paid anything."""
    world = World()
    async with without_credits(world) as operations:
        created = await posted(operations)
        assert created.done == ("open_bounty",)
        assert (created.reservation, created.credits_with) == (None, None)
        assert created.bounty.status is BountyStatus.OPEN
        assert created.bounty.reservation_id is None
        await operations.claim(BOUNTY_ID, BOB)
        await operations.renew(BOUNTY_ID, BOB)
        settled = await operations.settle(BOUNTY_ID, CID)
    assert settled.bounty.status is BountyStatus.SETTLED
    assert (settled.reservation, settled.reward) == (None, None)
    assert [each async for each in world.ledger.history()] == []


ENDS: dict[str, Callable[[BountyOperations], Awaitable[Any]]] = {
    "cancelled": lambda operations: operations.cancel(BOUNTY_ID),
    "expired": lambda operations: operations.expire(BOUNTY_ID),
}


@pytest.mark.parametrize("end", ENDS)
@virtual
async def test_a_bounty_without_escrow_is_ended_like_any_other(end: str) -> None:
    """There is nothing to give back."""
    world = World()
    async with without_credits(world) as operations:
        await posted(operations, deadline=timedelta(hours=1))
        await asyncio.sleep(2 * 3600)
        result = await ENDS[end](operations)
    assert result.bounty.status.value == end
    assert not result.owed


OTHERS = {
    "settle": lambda operations: operations.settle(BOUNTY_ID, CID),
    "cancel": lambda operations: operations.cancel(BOUNTY_ID),
    "expire": lambda operations: operations.expire(BOUNTY_ID),
}


@pytest.mark.parametrize("act", OTHERS)
@virtual
async def test_whose_credits_are_in_a_ledger_is_refused_before_anything_is_written(
    act: str,
) -> None:
    """Its document and its credits stay as they are, for whoever has the ledger."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations, timedelta(hours=1))
    await asyncio.sleep(2 * 3600)
    before, written = document(world.mock), len(world.mock.log)
    async with without_credits(world) as operations:
        error = await refusal(OTHERS[act](operations))
    assert isinstance(error, WrongLedgerError)
    assert (document(world.mock), len(world.mock.log)) == (before, written)
    held = [each.status.value async for each in world.ledger.reservations()]
    assert held == ["held"]


@virtual
async def test_a_reconciler_without_credits_moves_none_and_finishes_what_needs_none() -> None:
    """A settle that died after its pivot; bounties of a ledger are for whoever has it."""
    world = await a_world()
    async with world.process() as process:
        other = msgspec.structs.replace(a_bounty(), bounty_id="escrowed")
        await process.operations.create(other)
    async with without_credits(world) as operations:
        await claimed(operations)
        await operations.services.store.begin_settlement(BOUNTY_ID, CID)
        await asyncio.sleep(3 * GRACE.total_seconds())
        report = await Reconciler(operations, grace=GRACE).run_once()
        assert not report.errors
    assert status(world) == "settled"
    assert [each.status.value async for each in world.ledger.reservations()] == ["held"]


@virtual
async def test_a_key_of_a_create_with_escrow_is_not_one_of_a_create_without() -> None:
    """It stands for another operation, which has happened."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
    async with without_credits(world) as operations:
        error = await refusal(posted(operations))
    assert not isinstance(error, PreCommitError)
    assert status(world) == "open"


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=str)
@pytest.mark.parametrize("at", [1, 2, 3])
@virtual
async def test_whatever_goes_wrong_what_is_said_is_so_and_a_repeat_posts_it_once(
    fault: Fault, at: int
) -> None:
    """At every request of a create."""
    world = World()
    async with without_credits(world) as operations:
        world.mock.inject(replace(fault, match=RequestMatch(nth=at)))
        said = await outcome(posted(operations))
        world.mock.clear_faults()
        await world.mock.settle()
        if said == "pre_commit":
            assert status(world) in (None, "cancelled")  # a fence is a cancelled bounty to others
            return
        assert said == "unknown" or status(world) == "open"
        again = await posted(operations)
    assert again.bounty.status is BountyStatus.OPEN


async def test_what_stands_for_no_ledger_is_a_credits_service_that_moves_nothing() -> None:
    """Every method of the protocol; what would move credits is refused before it could."""
    nothing: CreditsService = WithoutCredits()
    assert isinstance(nothing, CreditsService)
    assert await nothing.get_reservation("r") is None
    assert [each async for each in nothing.reservations()] == []
    assert (await nothing.balance("alice")).available == 0
    for moving in (
        nothing.reserve("r", account="alice", amount=1),
        nothing.capture("r", to_account="bob"),
        nothing.void("r"),
        nothing.transfer("t", from_account="alice", to_account="bob", amount=1),
        nothing.top_up("t", account="alice", amount=1),
        nothing.unassign("r", "k"),
    ):
        with pytest.raises(PaymentError):
            await moving
    await nothing.close()


@virtual
async def test_equal_offers_without_keys_are_one_where_that_is_wished() -> None:
    """Whenever they are due; another creator, amount or text makes another, and so does a key."""
    world = await a_world()
    async with world.process() as process:
        operations = with_other(process.operations, same_content_once=True)
        offer = msgspec.structs.replace(a_bounty(), bounty_id=FROM_IDEMPOTENCY_KEY)
        first = await operations.create(offer)
        later = EPOCH + timedelta(days=9)
        again = await operations.create(msgspec.structs.replace(offer, deadline=later))
        assert again.bounty == first.bounty
        keyed = await operations.create(offer, idempotency_key="another")
        dearer = await operations.create(msgspec.structs.replace(offer, amount=offer.amount - 1))
        usual = await process.operations.create(offer)
        ids = {each.bounty.bounty_id for each in (first, again, keyed, dearer, usual)}
    assert len(ids) == 4
