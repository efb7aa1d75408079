"""What has ended is compared with the ledger, too, when somebody asks for an audit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Any

import msgspec
import pytest

from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.reconcile.audit import audit_money
from nexus_bounty.reconcile.ends import AGAIN_AFTER, ContradictedEnds
from nexus_bounty.reconcile.sweep import AT_ONCE
from tests.operations.lives import claimed, settled
from tests.support.virtual import virtual
from tests.support.world import BOUNTY_ID, CID, GRACE, World, a_bounty, a_world

DOCUMENT = f"/zones/default/bounties/{BOUNTY_ID}.json"
MARKERS = "/zones/default/indexes/bounties/status"
Life = Callable[[BountyOperations], Awaitable[Any]]


async def cancelled(operations: BountyOperations) -> None:
    await claimed(operations)
    await operations.cancel(BOUNTY_ID)


async def rescued(operations: BountyOperations) -> None:
    """As an operator does it: the credits first, by hand, and then the bounty."""
    bounty = await operations.services.store.get_bounty(BOUNTY_ID)
    credit: Any = operations.services.credits
    assert bounty is not None
    await credit.rescue(bounty.reservation_id, to_account="bob", because="delivered")
    await operations.cancel(BOUNTY_ID)


def put_back(world: World, **changes: Any) -> None:
    """Change the document as whoever can write the zone can, its marker included."""
    value = msgspec.json.decode(world.mock.read_file(DOCUMENT) or b"{}") | changes
    world.mock.core.table.write(DOCUMENT, msgspec.json.encode(value))
    world.mock.core.table.write(f"{MARKERS}/{value['status']}/{BOUNTY_ID}", b"")


async def found(world: World) -> list[str]:
    await world.later()
    async with world.process(seed=9) as process:
        audit = await audit_money(process.operations, GRACE)
    return [f"{each.subject} {each.problem}" for each in audit.report.findings]


@pytest.mark.parametrize(
    ("life", "changes", "says"),
    [
        (settled, {"status": "cancelled"}, "was paid to bob for "),
        (settled, {"status": "expired"}, "was paid to bob for "),
        (settled, {"claimedBy": {"agentId": "mallory"}}, "was paid to bob for "),
        (settled, {"amount": 1}, "is for something else"),
        (settled, {"reservationId": "reservation-of-nobody"}, "is not in the ledger"),
        (cancelled, {"status": "settled"}, "is voided"),
    ],
)
@virtual
async def test_an_end_that_the_ledger_contradicts_is_found(
    life: Life, changes: dict[str, Any], says: str
) -> None:
    """Whoever has made it up; no credits move by that."""
    world = await a_world()
    async with world.process() as process:
        await life(process.operations)
    assert not await found(world)
    before = await world.ledger.balance("alice"), await world.ledger.balance("bob")
    put_back(world, **changes)
    (problem,) = await found(world)
    assert problem.startswith(f"{BOUNTY_ID} is ")
    assert says in problem
    assert before == (await world.ledger.balance("alice"), await world.ledger.balance("bob"))


class Looks:
    """A ledger whose looks take a moment: how many there were, and how many at once."""

    def __init__(self, world: World) -> None:
        self._look = world.ledger.get_reservation
        self.made = self.under_way = self.most = 0

    async def __call__(self, reservation_id: str) -> Any:
        self.made, self.under_way = self.made + 1, self.under_way + 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.01)
        self.under_way -= 1
        return await self._look(reservation_id)


MANY = 40


async def _many_ended(world: World) -> None:
    async with world.process() as process:
        for number in range(MANY):
            bounty = msgspec.structs.replace(a_bounty(), bounty_id=f"b-{number}", amount=1)
            await process.operations.create(bounty)
            await process.operations.cancel(bounty.bounty_id)


@virtual
async def test_the_ledger_is_asked_for_several_at_once_and_not_again_for_what_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that is warm asks for a few of them, lest it trusts them for ever."""
    world = await a_world()
    await _many_ended(world)
    looks = Looks(world)
    monkeypatch.setattr(world.ledger, "get_reservation", looks)
    async with world.process(seed=9) as process:
        reconciler = Reconciler(process.operations, grace=GRACE, sweeps=[ContradictedEnds()])
        await reconciler.run_once()
        assert (looks.made, looks.most) == (MANY, AT_ONCE)
        await reconciler.run_once()
    assert looks.made - MANY == ceil(MANY / AGAIN_AFTER)


@virtual
async def test_what_was_changed_after_it_was_seen_is_found_in_the_end() -> None:
    """By a reconciler that remembers how it was."""
    world = await a_world()
    async with world.process() as process:
        await settled(process.operations)
    await world.later()
    async with world.process(seed=9) as process:
        reconciler = Reconciler(process.operations, grace=GRACE, sweeps=[ContradictedEnds()])
        assert not (await reconciler.run_once()).findings
        put_back(world, status="cancelled")
        reports = [await reconciler.run_once() for _ in range(AGAIN_AFTER)]
    assert any(report.findings for report in reports)


@virtual
async def test_what_an_operator_has_decided_is_no_contradiction() -> None:
    """A rescue has its reason in the ledger, and would be reported for ever."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await rescued(process.operations)
    assert not await found(world)


@pytest.mark.parametrize(
    ("payee", "says"),
    [("carol", "its credits were paid to carol"), (None, "its credits were given back to alice")],
)
@virtual
async def test_a_payment_that_cannot_be_made_any_more_is_left_to_people(
    payee: str | None, says: str
) -> None:
    """To try it again and again would say that it may yet succeed; no operator has said why."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    (held,) = [each async for each in world.ledger.reservations()]
    if payee is None:
        await world.ledger.void(held.reservation_id)
    else:
        await world.ledger.capture(held.reservation_id, to_account=payee)
    put_back(world, status="pending_settlement", fulfilledByCid=CID)
    await world.later()
    async with world.process(seed=9) as process:
        report = await Reconciler(process.operations, grace=GRACE).run_once()
    (finding,) = [each for each in report.findings if each.sweep == "pending settlements"]
    assert (finding.left or "").startswith(says)
    assert not finding.failed
