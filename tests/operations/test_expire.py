"""Expiring what is due."""

from __future__ import annotations

import asyncio

import msgspec

from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.testing.virtual_time import EPOCH
from tests.operations.lives import SHORT
from tests.support.virtual import virtual
from tests.support.world import PRICE, a_bounty, a_world


@virtual
async def test_expiring_what_is_due_reports_each_bounty_and_lets_the_others_go_on() -> None:
    """One that cannot be expired is a failure with its outcome, not the end of all."""
    world = await a_world()
    async with world.process() as process:
        for name in ("b-1", "b-2", "b-3"):
            bounty = msgspec.structs.replace(a_bounty(EPOCH + SHORT), bounty_id=name)
            await process.operations.create(bounty)
        await asyncio.sleep(120)
        lost = RequestMatch(path="*b-2*", method="write")
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=lost, times=None, status=403))
        result = await process.operations.expire_due()
    assert {each.bounty.bounty_id for each in result.expired} == {"b-1", "b-3"}
    assert {each.credits_with for each in result.expired} == {"alice"}
    (failed,) = result.failed
    assert (failed.bounty_id, failed.outcome) == ("b-2", "pre_commit")
    assert (await world.ledger.balance("alice")).reserved == PRICE
