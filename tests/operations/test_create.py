"""Creating: what a create returns, and what it leaves when it fails on the way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    Bounty,
    BountyStatus,
    CommitUnknownError,
    InsufficientCreditsError,
    PaymentError,
)
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.outcomes import InvalidInputError, Outcome
from nexus_bounty.ports import ReservationStatus
from nexus_bounty.testing.virtual_time import EPOCH
from tests.operations.lives import DOCUMENT, KEY, SHORT, outcome, posted, refusal, when
from tests.support.virtual import virtual
from tests.support.world import (
    BOUNTY_ID,
    FUNDS,
    PRICE,
    Crash,
    CrashPlan,
    LedgerFault,
    a_bounty,
    a_world,
    broken_invariants,
    document,
)


@virtual
async def test_a_create_says_that_the_credits_are_in_escrow() -> None:
    """Done in order, nothing owed, the reservation attached."""
    world = await a_world()
    async with world.process() as process:
        result = await posted(process.operations)
    assert result.operation == "create"
    assert result.idempotency_key == "create"
    assert result.done == ("write_draft", "reserve_credits", "open_bounty")
    assert not result.owed
    assert result.bounty.status is BountyStatus.OPEN
    assert result.credits_with == f"escrow for {BOUNTY_ID}"
    assert result.reservation.status is ReservationStatus.HELD
    assert result.reservation.amount == PRICE
    assert result.bounty.reservation_id == result.reservation.reservation_id


@virtual
async def test_a_bounty_without_an_id_gets_one_from_its_key() -> None:
    """So that a repeat meets its own document."""
    world = await a_world()
    bounty = msgspec.structs.replace(a_bounty(), bounty_id=Bounty.__struct_defaults__[0])
    async with world.process() as process, world.process(seed=2) as other:
        first = await process.operations.create(bounty, idempotency_key=KEY)
        again = await other.operations.create(bounty, idempotency_key=KEY)
    assert first.bounty.bounty_id == again.bounty.bounty_id
    assert first.bounty.bounty_id.startswith("bounty-")
    assert (await world.ledger.balance("alice")).reserved == PRICE


@virtual
async def test_a_deadline_that_has_passed_is_refused_before_anything_is_written() -> None:
    """Whether it was posted before is looked up, no more."""
    world = await a_world()
    async with world.process() as process:
        error = await refusal(process.operations.create(a_bounty(EPOCH - SHORT)))
    assert isinstance(error, InvalidInputError)
    assert error.field == "deadline"
    assert not world.mock.log


@virtual
async def test_a_repeated_create_returns_the_reservation_as_the_first_did() -> None:
    """The result is the same, not only the bounty."""
    world = await a_world()
    async with world.process() as process:
        first = await posted(process.operations)
        again = await posted(process.operations)
    assert again.reservation == first.reservation


@virtual
async def test_a_create_repeated_after_its_deadline_does_not_say_that_it_never_happened() -> None:
    """It was posted, and its credits are still held."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations, SHORT)
        await asyncio.sleep(120)
        assert await outcome(posted(process.operations, SHORT)) != "pre_commit"


@virtual
async def test_a_committed_create_asked_again_on_a_dead_network_is_not_called_undone() -> None:
    """This very process has seen it committed."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=RequestMatch(), times=None))
        assert await outcome(posted(process.operations)) != "pre_commit"


@virtual
async def test_without_enough_credits_nothing_is_posted_and_nothing_is_held() -> None:
    """The draft is taken back; when there are credits by then, a repeat posts it."""
    world = await a_world()
    dear = msgspec.structs.replace(a_bounty(), amount=FUNDS + 1)
    async with world.process() as process, world.process(seed=3) as other:
        error = await refusal(process.operations.create(dear, idempotency_key=KEY))
        assert isinstance(error, InsufficientCreditsError)
        assert (error.available, error.required) == (FUNDS, FUNDS + 1)
        assert (document(world.mock) or {})["status"] == "cancelled"
        assert (await world.ledger.balance("alice")).available == FUNDS
        await world.ledger.top_up("more", account="alice", amount=FUNDS)
        for each in (process, other):
            again = await each.operations.create(dear, idempotency_key=KEY)
            assert again.idempotency_key == KEY
            assert again.bounty.status is BountyStatus.OPEN
    assert (await world.ledger.balance("alice")).reserved == FUNDS + 1
    await world.later()
    assert not await world.reconcile()


@virtual
async def test_a_create_that_cannot_take_its_draft_back_is_unknown_until_somebody_can() -> None:
    """The ledger refuses, and the server is gone: the draft may still be there for all to see."""
    world = await a_world()
    drafted = RequestMatch(predicate=when(world, "draft"))
    world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=drafted, times=None))
    async with world.process(fault=LedgerFault("refused", 1)) as process:
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=drafted, times=None))
        error = await refusal(process.operations.create(a_bounty(), idempotency_key=KEY))
    assert error.outcome is Outcome.UNKNOWN
    assert "closed for today" in str(error)
    assert (document(world.mock) or {})["status"] == "draft"
    await world.later()
    assert not await world.reconcile()
    assert (document(world.mock) or {})["status"] == "cancelled"


@virtual
async def test_a_create_whose_reservation_was_given_back_meanwhile_is_not_posted() -> None:
    """A reservation that is there is not enough: it has to be held."""
    world = await a_world()
    async with world.process(CrashPlan(at=8)) as process:
        with suppress(Crash):
            await process.operations.create(a_bounty(), idempotency_key=KEY)
    (reservation,) = [each async for each in world.ledger.reservations()]
    assert (document(world.mock) or {})["status"] == "draft"
    await world.ledger.void(reservation.reservation_id)
    async with world.process() as process:
        error = await refusal(process.operations.create(a_bounty(), idempotency_key=KEY))
    assert isinstance(error, PaymentError)
    assert (document(world.mock) or {})["status"] == "cancelled"
    assert not await broken_invariants(world)


@virtual
async def test_a_create_that_could_not_open_its_bounty_gives_the_credits_back_at_once() -> None:
    """Pre-commit, and nothing is left for the reconciler."""
    world = await a_world()
    second = RequestMatch(method="write", path=DOCUMENT, nth=2)
    world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=second))
    async with world.process(impatient=True) as process:
        assert await outcome(posted(process.operations)) == "pre_commit"
    assert (await world.ledger.balance("alice")).available == FUNDS
    assert not await broken_invariants(world)


@virtual
async def test_two_bounties_for_the_price_of_one_end_with_one_posted() -> None:
    """Both created at once: the ledger decides, and the loser holds nothing."""
    world = await a_world()
    offers = [
        msgspec.structs.replace(a_bounty(), bounty_id=name, amount=FUNDS) for name in ("b-1", "b-2")
    ]
    async with world.process() as process:
        ended = await asyncio.gather(
            *(
                outcome(process.operations.create(each, idempotency_key=each.bounty_id))
                for each in offers
            )
        )
    assert sorted(ended) == ["committed", "pre_commit"]
    assert (await world.ledger.balance("alice")).reserved == FUNDS


@virtual
async def test_a_failed_create_ends_in_an_outcome_even_where_nothing_is_remembered() -> None:
    """Whatever fails while giving up, callers need only know `OutcomeError`."""
    world = await a_world()
    async with world.process(fault=LedgerFault("refused", 1)) as process:
        store: Any = process.operations.services.store
        store._memory._capacity = 0
        gone = RequestMatch(method="read", path=DOCUMENT, predicate=when(world, "cancelled"))
        world.mock.inject(Fault(FaultKind.DROP_BEFORE, match=gone, times=None))
        assert await outcome(process.operations.create(a_bounty(), idempotency_key=KEY)) in (
            "pre_commit",
            "unknown",
        )


@pytest.mark.parametrize("lie", [{"creator": {"agentId": "bob"}}, {"amount": 1}])
@virtual
async def test_credits_are_set_aside_as_was_asked_whatever_the_draft_says_by_then(
    lie: dict[str, Any],
) -> None:
    """Nobody's but the creator's, and no more and no less, however often it is asked again."""
    world = await a_world()
    await world.ledger.top_up("bob's", account="bob", amount=FUNDS)
    async with world.process() as process:

        async def lost(*_: Any, **__: Any) -> Any:
            raise CommitUnknownError("the answer was lost")

        process.credits.reserve = lost  # type: ignore[method-assign]
        act = process.operations.create(a_bounty(), idempotency_key=KEY)
        assert await outcome(act) == "unknown"
    draft = document(world.mock) or {}
    world.mock.core.table.write(DOCUMENT, msgspec.json.encode(draft | lie))
    async with world.process(seed=2) as process:
        await outcome(process.operations.create(a_bounty(), idempotency_key=KEY))
    assert (await world.ledger.balance("bob")).available == FUNDS
    assert (await world.ledger.balance("alice")).available == FUNDS
