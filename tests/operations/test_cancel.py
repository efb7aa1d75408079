"""Cancelling: the credits and the target are given back."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_bounty.operations.services import target_of
from nexus_bounty.outcomes import Outcome
from nexus_bounty.ports import ReservationStatus
from tests.operations.lives import KEY, Act, claimed, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import BOUNTY_ID, FUNDS, PRICE, LedgerFault, a_world, broken_invariants


@pytest.mark.parametrize("state", [posted, claimed])
@virtual
async def test_a_cancel_gives_the_credits_and_the_target_back(state: Act) -> None:
    """To the creator, whoever had claimed it."""
    world = await a_world()
    async with world.process() as process:
        await state(process.operations)
        result: Any = await process.operations.cancel(BOUNTY_ID, idempotency_key=KEY)
        held = await process.operations.services.claims.active_claims(target_of(BOUNTY_ID))
    assert result.done == ("commit_cancelled", "void_reservation", "release_lease")
    assert result.credits_with == "alice"
    assert result.reservation.status is ReservationStatus.VOIDED
    assert not held
    assert (await world.ledger.balance("alice")).available == FUNDS


@virtual
async def test_of_credits_that_somebody_was_paid_nobody_is_told_that_they_were_given_back() -> None:
    """An operator has paid bob; the bounty ends, and says who has its credits."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        (held,) = [each async for each in world.ledger.reservations()]
        await world.ledger.rescue(held.reservation_id, to_account="bob", because="delivered")
        result: Any = await process.operations.cancel(BOUNTY_ID, idempotency_key=KEY)
    assert result.done == ("commit_cancelled", "release_lease")
    assert result.credits_with == "bob"
    assert (await world.ledger.balance("alice")).available == FUNDS - PRICE


@virtual
async def test_what_could_not_be_given_back_is_owed_by_name() -> None:
    """A cancel that is committed says so, and its repeat gives the credits back."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    async with world.process(fault=LedgerFault("refused", 1)) as process:
        error: Any = await refusal(process.operations.cancel(BOUNTY_ID, idempotency_key=KEY))
        assert error.outcome is Outcome.POST_COMMIT
        assert error.pending[:2] == ("void_reservation", "release_lease")
        assert not (await process.operations.cancel(BOUNTY_ID, idempotency_key=KEY)).owed
    assert not await broken_invariants(world)
