"""A bounty whose reservation a stranger took out of it is not ended without its credits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nexus_bounty import PaymentError
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.reconcile import Reconciler
from tests.operations.lives import begun, claimed, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import BOB, BOUNTY_ID, CID, FUNDS, GRACE, PRICE, World, a_world, document

ZONE = ZonePaths("default")


def take_out(world: World, **changes: Any) -> None:
    """Write the document without its reservation, its marker as it is."""
    value = (document(world.mock) or {}) | changes
    del value["reservationId"]
    world.mock.core.table.write(ZONE.bounty(BOUNTY_ID), msgspec.json.encode(value))


async def is_held(world: World) -> bool:
    """Whether alice's credits are where they were, and bob has none."""
    alice, bob = [await world.ledger.balance(each) for each in ("alice", "bob")]
    return (alice.available, alice.reserved, bob.available) == (FUNDS - PRICE, PRICE, 0)


@pytest.mark.parametrize("act", ["claim", "cancel", "expire", "settle"])
@virtual
async def test_nobody_works_for_nothing_and_no_operation_ends_it(act: str) -> None:
    """A settle that said it was done would have paid nobody."""
    world = await a_world()
    async with world.process() as process:
        await (posted if act == "claim" else claimed)(process.operations)
    take_out(world, **({"deadline": "2026-01-01T00:00:00Z"} if act == "expire" else {}))
    before = document(world.mock)
    async with world.process(seed=3) as process:
        operations: Any = process.operations
        arguments = {"settle": (BOUNTY_ID, CID), "claim": (BOUNTY_ID, BOB)}.get(act, (BOUNTY_ID,))
        error = await refusal(getattr(operations, act)(*arguments))
    assert isinstance(error, PaymentError)
    assert document(world.mock) == before
    assert await is_held(world)


@virtual
async def test_a_settlement_under_way_is_left_to_people() -> None:
    """The reconciler settles nothing without a payment that the ledger could still make."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await begun(process.operations)
    take_out(world)
    await world.later()
    async with world.process(seed=9) as process:
        report = await Reconciler(process.operations, grace=GRACE).run_once()
    assert BOUNTY_ID in [each.subject for each in report.left]
    assert (document(world.mock) or {})["status"] == "pending_settlement"
    assert await is_held(world)
