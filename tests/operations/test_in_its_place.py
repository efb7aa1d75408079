"""Where a draft was taken back, somebody else may create: who knew the draft has no say in that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest

from nexus_bounty import (
    Bounty,
    BountyOperations,
    BountyStateError,
    BountyStatus,
    NexusBountyStore,
    NotAllowedError,
    OutcomeError,
    WrongLedgerError,
)
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.operations.drafts import Try
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.testing.virtual_time import wall_clock
from tests.operations.lives import refusal
from tests.support.virtual import virtual
from tests.support.world import (
    ALICE,
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    FUNDS,
    GRACE,
    World,
    a_bounty,
    with_other,
)
from tests.support.world import a_world as a_new_world

PRICE = 100
Act = Callable[[BountyOperations], Awaitable[object]]


async def money(world: World) -> list[tuple[int, int]]:
    """What alice, bob and carol have, free and reserved."""
    found = [await world.ledger.balance(each.agent_id) for each in (ALICE, BOB, CAROL)]
    return [(each.available, each.reserved) for each in found]


@asynccontextmanager
async def carols(
    world: World, *, is_claimed: bool = False, ledger: MemoryCredits | None = None
) -> AsyncIterator[BountyOperations]:
    """The operations of a process that remembers alice's draft, where carol's bounty is now."""
    await (ledger or world.ledger).top_up("carols", account="carol", amount=FUNDS)
    async with world.process() as process, world.process(seed=3) as other:
        services = process.operations.services
        draft = Try("alices", BOUNTY_ID).draft_of(a_bounty())
        draft = msgspec.structs.replace(draft, ledger_id=await services.credits.identity())
        await services.store.create_bounty(draft, idempotency_key="alices:draft")
        await world.later()
        await Reconciler(other.operations, grace=GRACE).run_once()
        offer = msgspec.structs.replace(a_bounty(), creator=CAROL)
        hers = with_other(other.operations, credits=ledger) if ledger else other.operations
        await hers.create(offer, idempotency_key="carols")
        if is_claimed:
            await other.operations.claim(BOUNTY_ID, BOB, lease=timedelta(hours=1))
        yield process.operations


UNTOUCHED = [(FUNDS, 0), (0, 0), (FUNDS - PRICE, PRICE)]


@pytest.mark.parametrize(
    ("act", "is_claimed"),
    [
        (lambda operations: operations.cancel(BOUNTY_ID, actor="alice"), False),
        (lambda operations: operations.cancel(BOUNTY_ID, actor="alice"), True),
        (lambda operations: operations.settle(BOUNTY_ID, CID, actor="alice"), True),
    ],
    ids=["cancel", "cancel what is claimed", "settle"],
)
@virtual
async def test_the_creator_of_the_draft_may_neither_cancel_nor_settle_it(
    act: Act, is_claimed: bool
) -> None:
    """Although the draft, which this process remembers, was theirs."""
    world = await a_new_world()
    async with carols(world, is_claimed=is_claimed) as operations:
        error = await refusal(act(operations))
    assert isinstance(error, NotAllowedError)
    assert error.allowed == ("carol",)
    assert await money(world) == UNTOUCHED


@pytest.mark.parametrize(
    ("act", "ends"),
    [
        (lambda operations: operations.cancel(BOUNTY_ID, actor="carol"), BountyStatus.CANCELLED),
        (lambda operations: operations.settle(BOUNTY_ID, CID, actor="carol"), BountyStatus.SETTLED),
    ],
    ids=["cancel", "settle"],
)
@virtual
async def test_its_own_creator_may(act: Act, ends: BountyStatus) -> None:
    """What is remembered of another does not stand in the way."""
    world = await a_new_world()
    async with carols(world, is_claimed=True) as operations:
        await act(operations)
        bounty = await operations.services.store.get_bounty(BOUNTY_ID)
    assert bounty is not None
    assert bounty.status is ends


@virtual
async def test_the_ledger_of_the_draft_is_not_that_of_the_bounty() -> None:
    """Carol's credits are in another one, which this process does not know."""
    world = await a_new_world()
    another = MemoryCredits(clock=wall_clock, identity="another")
    async with carols(world, ledger=another) as operations:
        error = await refusal(operations.cancel(BOUNTY_ID))
        standing = await operations.services.store.get_bounty(BOUNTY_ID)
    assert isinstance(error, WrongLedgerError)
    assert error.right_ledger_id == "another"
    assert standing is not None
    assert standing.status is BountyStatus.OPEN
    assert (await another.balance("carol")).reserved == PRICE


@pytest.mark.parametrize("end", ["cancel_bounty", "expire_bounty"])
@virtual
async def test_what_is_created_between_look_and_commit_is_not_ended(end: str) -> None:
    """The reservation says which one was looked at."""
    world = await a_new_world()
    async with carols(world) as operations:
        store = operations.services.store
        looked_at = Try("alices", BOUNTY_ID).reservation_id
        act = getattr(store, end)
        error = await refusal(act(BOUNTY_ID, reservation_id=looked_at))
        assert isinstance(error, BountyStateError)
        standing = await store.get_bounty(BOUNTY_ID)
        assert standing is not None
        assert standing.status is BountyStatus.OPEN
        await act(BOUNTY_ID, reservation_id=standing.reservation_id)


@virtual
async def test_an_expire_that_looked_at_the_draft_does_not_end_the_bounty() -> None:
    """It was past its deadline; the one that is there now is not."""
    world = await a_new_world()
    async with carols(world) as operations:
        draft = Try("alices", BOUNTY_ID).draft_of(a_bounty(wall_clock() - timedelta(days=1)))

        async def looked_at(*_: object, **__: object) -> Bounty:
            return draft

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(operations.services.store, "get_bounty", looked_at)
            error = await refusal(operations.expire(BOUNTY_ID))
        standing = await operations.services.store.get_bounty(BOUNTY_ID)
    assert isinstance(error, BountyStateError)
    assert standing is not None
    assert standing.status is BountyStatus.OPEN


async def created(operations: BountyOperations, bounty_id: str, key: str) -> Bounty:
    bounty = msgspec.structs.replace(a_bounty(), bounty_id=bounty_id)
    return (await operations.create(bounty, idempotency_key=key)).bounty


@virtual
async def test_names_and_keys_that_look_alike_together_have_credits_of_their_own() -> None:
    """A colon may be in both, and the second try of a create is no other bounty."""
    world = await a_new_world()
    names = [("a", "b:c"), ("a:b", "c"), ("a:b%3Ac", "d"), ("a:b:c", "2"), ("a:b:c%n2", "e")]
    async with world.process() as process:
        made = [await created(process.operations, name, key) for key, name in names]
    again = Try("a:b", "c", 2).reservation_id
    assert len({*(each.reservation_id for each in made), again}) == len(names) + 1
    assert (await world.ledger.balance("alice")).reserved == PRICE * len(names)


@virtual
async def test_one_key_may_make_one_bounty_in_each_zone_of_a_ledger() -> None:
    """A key names an operation of a zone; so does the reservation that follows from it."""
    world = await a_new_world()
    async with world.process() as process:
        services = process.operations.services
        await created(process.operations, BOUNTY_ID, "k")
        client = services.store._client  # type: ignore[attr-defined]
        operations = BountyOperations(
            NexusBountyStore(client, "elsewhere", clock=wall_clock),
            credits=services.credits,
            claims=services.claims,
            contributions=services.contributions,
            clock=wall_clock,
        )
        bounty = await created(operations, BOUNTY_ID, "k")
        assert bounty.status is BountyStatus.OPEN
        assert await created(operations, BOUNTY_ID, "k") == bounty
        await operations.cancel(BOUNTY_ID)
    assert (await world.ledger.balance("alice")).reserved == PRICE


@virtual
async def test_a_bounty_that_nobody_knew_is_not_cancelled_by_a_stranger_who_was_early() -> None:
    """Asked for before it is there, and committed once it is."""
    world = await a_new_world()
    async with world.process() as process:
        store = process.operations.services.store
        look = store.get_bounty

        async def then_created(bounty_id: str, *, fresh: bool = True) -> Bounty | None:
            found = await look(bounty_id, fresh=fresh)
            if found is None:
                await created(process.operations, BOUNTY_ID, "k")
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "get_bounty", then_created)
            for act in (
                process.operations.cancel(BOUNTY_ID, actor="mallory"),
                process.operations.settle(BOUNTY_ID, CID, actor="mallory"),
            ):
                with pytest.raises(OutcomeError):
                    await act
        standing = await store.get_bounty(BOUNTY_ID)
    assert standing is not None
    assert standing.status is BountyStatus.OPEN
