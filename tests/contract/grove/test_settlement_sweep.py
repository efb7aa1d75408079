"""Grove's sweep of settlements: it takes a bounty to its end, whoever began, and asks no ledger.

Written after `src/core/settlement-sweep.ts`. Run by a program that has no credits service, it moves
what is `pending_settlement`, and what is `completed` with a contribution, on to `settled`. Where
the credits are in our ledger, nobody has been paid by that.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from nexus_bounty import BountyStateError, BountyStatus, CriteriaNotMetError, NexusClient
from nexus_bounty.models import Contribution
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations.escrow import record_payee
from nexus_bounty.operations.services import known_bounty
from nexus_bounty.reconcile import Reconciler
from tests.operations.lives import begun, claimed, paid, refusal
from tests.support.virtual import virtual
from tests.support.world import (
    BOUNTY_ID,
    CAROL,
    CID,
    GRACE,
    PRICE,
    Process,
    World,
    a_world,
    stranded,
)
from tests.support.world import broken_invariants as broken

PATHS = ZonePaths("default")


async def grove_writes(world: World, status: str, **changes: Any) -> None:
    """Document, then the old marker away, then the new one."""
    async with NexusClient("http://nexus", transport=world.mock.transport()) as client:
        document = json.loads(world.mock.read_file(PATHS.bounty(BOUNTY_ID)) or b"")
        moved = document | {"status": status} | changes
        await client.write(PATHS.bounty(BOUNTY_ID), json.dumps(moved).encode())
        await client.delete(PATHS.marker(BountyStatus(document["status"]), BOUNTY_ID))
        await client.write(PATHS.marker(BountyStatus(status), BOUNTY_ID), b"")


async def grove_sweeps(world: World, *, up_to: str = "settled") -> None:
    """`resumeSettlement` without a credits service."""
    for status in ("completed", "settled") if up_to == "settled" else (up_to,):
        await grove_writes(world, status)


async def reconciled(world: World) -> list[str]:
    """What the reconciler could not end."""
    await world.later()
    async with world.process(seed=99) as process:
        report = await Reconciler(process.operations, grace=GRACE).run_until_clean()
    return [str(each.left) for each in stranded(report)] + report.errors


@virtual
@pytest.mark.parametrize("up_to", ["completed", "settled"])
async def test_what_we_began_to_settle_is_paid_whoever_took_it_to_its_end(up_to: str) -> None:
    """The payee was on record before the pivot."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await begun(process.operations)
    await grove_sweeps(world, up_to=up_to)
    assert await reconciled(world) == []
    assert await paid(world) == PRICE
    assert not await broken(world)


async def settled_by_grove(process: Process, world: World, cid: str = CID) -> None:
    """Grove alone has settled it, for that work."""
    await claimed(process.operations)
    await process.operations.services.store.begin_settlement(BOUNTY_ID, cid)
    await grove_sweeps(world)


@virtual
async def test_what_grove_alone_settled_is_reported_and_paid_once_its_work_was_looked_at() -> None:
    """By a settle of ours; a repeat pays nobody again."""
    world = await a_world()
    async with world.process() as process:
        await settled_by_grove(process, world)
    [left] = await reconciled(world)
    assert "nobody on record to be paid" in left
    assert await paid(world) == 0
    async with world.process(seed=2) as process:
        for _ in range(2):
            result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key="ours")
            assert result.credits_with == "bob"
        again = await refusal(process.operations.settle(BOUNTY_ID, CID, idempotency_key="another"))
        assert isinstance(again, BountyStateError)
    assert await paid(world) == PRICE
    assert await reconciled(world) == []
    assert not await broken(world)


@virtual
async def test_what_grove_alone_settled_for_poor_work_is_not_paid() -> None:
    """Nor is other work, of which its document does not speak."""
    world = await a_world()
    world.contributions.add(Contribution(cid="poor", tags=[], scores={"speed": 0.1}))
    async with world.process() as process:
        await settled_by_grove(process, world, "poor")
        poor = await refusal(process.operations.settle(BOUNTY_ID, "poor"))
        other = await refusal(process.operations.settle(BOUNTY_ID, CID))
    assert isinstance(poor, CriteriaNotMetError)
    assert isinstance(other, BountyStateError)
    assert await paid(world) == 0


@virtual
async def test_whom_grove_let_do_the_work_is_paid_though_we_had_begun_to_pay_another() -> None:
    """A settlement for bob's work died before its pivot; Grove gave the bounty to carol."""
    world = await a_world()
    hers = Contribution(cid="hers", agent=CAROL, tags=["sorted"], scores={"speed": 3.0})
    world.contributions.add(hers)
    async with world.process() as process:
        await claimed(process.operations)
        services = process.operations.services
        await record_payee(services, await known_bounty(services, BOUNTY_ID), CID, "bobs:begin")
    await grove_writes(world, "claimed", claimedBy={"agentId": "carol"}, claimId="of-carol")
    await grove_writes(world, "pending_settlement", fulfilledByCid="hers")
    await grove_sweeps(world)
    async with world.process(seed=2) as process:
        result = await process.operations.settle(BOUNTY_ID, "hers")
    assert result.credits_with == "carol"
    assert (await paid(world), await paid(world, CAROL)) == (0, PRICE)
    assert await reconciled(world) == []
    assert not await broken(world)


@pytest.mark.parametrize(
    ("status", "work", "said"),
    [
        ("completed", None, "was completed and does not say with which work"),
        ("completed", "other", "was completed with 'other'"),
        ("pending_settlement", None, "already, and does not say with which contribution"),
        ("pending_settlement", "other", "already, with contribution 'other'"),
    ],
)
@virtual
async def test_the_refusal_of_other_work_says_which_the_bounty_names(
    status: str, work: str | None, said: str
) -> None:
    """Or that it names none."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    await grove_writes(world, status, **({} if work is None else {"fulfilledByCid": work}))
    async with world.process(seed=2) as process:
        error = await refusal(process.operations.settle(BOUNTY_ID, CID))
        assert isinstance(error, BountyStateError)
        assert said in error.message
        assert "None" not in error.message
