"""A bounty past the pivot whose credits an operator gave to somebody else comes to an end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nexus_bounty import BountyStatus, ClaimStatus, PostCommitError
from nexus_bounty.ports import Reservation
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.reconcile.audit import audit_money
from nexus_bounty.reconcile.report import ReconcileReport
from tests.operations.lives import DOCUMENT, begun, claimed, refusal, settled
from tests.support.virtual import virtual
from tests.support.world import ALICE, BOUNTY_ID, CID, FUNDS, GRACE, World, a_world

PRICE = 100
WHY = "bob withdrew; carol had done the work"
PEOPLE = ("alice", "bob", "carol", "mallory")
PAYEES = [("carol", {"carol": PRICE}), (None, {"alice": FUNDS})]
"""To whom an operator gives the credits, and who has what then, besides alice's other funds."""


async def money(world: World) -> dict[str, tuple[int, int]]:
    """What everybody has, free and reserved."""
    found = {name: await world.ledger.balance(name) for name in PEOPLE}
    return {name: (each.available, each.reserved) for name, each in found.items()}


def counted(**has: int) -> dict[str, tuple[int, int]]:
    """Nothing is reserved any more, and these have this much."""
    return {name: ({"alice": FUNDS - PRICE, **has}.get(name, 0), 0) for name in PEOPLE}


async def stranded(world: World) -> Reservation:
    """The reservation of a bounty that bob is to be paid from, and whose settle died."""
    async with world.process() as process:
        await claimed(process.operations)
        await begun(process.operations)
    (held,) = [each async for each in world.ledger.reservations()]
    assert held.assignment is not None
    return held


async def rescued(world: World, payee: str | None) -> None:
    held = await stranded(world)
    await world.ledger.rescue(held.reservation_id, to_account=payee, because=WHY)


async def reconciled(world: World, seed: int = 9) -> ReconcileReport:
    await world.later()
    async with world.process(seed=seed) as process:
        return await Reconciler(process.operations, grace=GRACE).run_once()


@pytest.mark.parametrize(("payee", "has"), PAYEES)
@virtual
async def test_a_bounty_whose_credits_went_elsewhere_is_settled_without_a_payment(
    payee: str | None, has: dict[str, int]
) -> None:
    """No credits move, nobody is rewarded, the lease ends, and nobody hears of it again."""
    world = await a_world()
    await rescued(world, payee)
    report = await reconciled(world)
    (done,) = [each for each in report.findings if each.sweep == "pending settlements"]
    assert WHY in (done.repaired or "")
    assert await money(world) == counted(**has)
    async with world.process(seed=3) as process:
        services = process.operations.services
        bounty = await services.store.get_bounty(BOUNTY_ID)
        assert bounty is not None
        assert bounty.status is BountyStatus.SETTLED
        assert await services.store.list_rewards() == []
        lease = await services.claims.get(bounty.claim_id or "")
        assert lease is None or lease.status is not ClaimStatus.ACTIVE
        audit = await audit_money(process.operations, GRACE)
    assert not audit.report.findings
    assert not (await reconciled(world, seed=4)).findings


@pytest.mark.parametrize(("payee", "has"), PAYEES)
@virtual
async def test_whoever_repeats_the_settle_is_told_who_has_the_credits(
    payee: str | None, has: dict[str, int]
) -> None:
    """It goes forward, as it would have done; that nobody was paid is in what it returns."""
    world = await a_world()
    await rescued(world, payee)
    async with world.process(seed=3) as process:
        result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key="first")
    assert result.bounty.status is BountyStatus.SETTLED
    assert result.credits_with == (payee or ALICE.agent_id)
    assert result.reward is None
    assert not {"capture_payment", "record_reward"} & {*result.done}
    assert await money(world) == counted(**has)


@virtual
async def test_credits_that_an_operator_gave_to_the_claimer_are_a_payment() -> None:
    """With its reward."""
    world = await a_world()
    await rescued(world, "bob")
    await reconciled(world)
    assert await money(world) == counted(bob=PRICE)
    async with world.process(seed=3) as process:
        (reward,) = await process.operations.services.store.list_rewards()
    assert reward.recipient.agent_id == "bob"


@virtual
async def test_a_bounty_that_names_the_rescued_credits_of_another_is_left_to_people() -> None:
    """What an operator decided about one bounty says nothing of another."""
    world = await a_world()
    await rescued(world, "carol")
    await reconciled(world)
    forged = msgspec.json.decode(world.mock.read_file(DOCUMENT) or b"{}")
    forged |= {"bountyId": "forged", "status": "pending_settlement"}
    write = world.mock.core.table.write
    write(DOCUMENT.replace(BOUNTY_ID, "forged"), msgspec.json.encode(forged))
    write("/zones/default/indexes/bounties/status/pending_settlement/forged", b"")
    report = await reconciled(world, seed=5)
    assert "forged" in [each.subject for each in report.left]
    async with world.process(seed=6) as process:
        error = await refusal(process.operations.settle("forged", CID))
    assert isinstance(error, PostCommitError)  # it is past the pivot, as far as its document says
    assert await money(world) == counted(carol=PRICE)


@virtual
async def test_a_rescue_that_is_only_a_transfer_of_that_name_decides_nothing() -> None:
    """A transfer may be called like a reservation, and its note may say anything."""
    world = await a_world()
    held = await stranded(world)
    await world.ledger.transfer(
        held.reservation_id,
        from_account="alice",
        to_account="mallory",
        amount=1,
        memo=f"{held.reference}: because I say so",
    )
    await world.ledger.void(held.reservation_id, despite="first:begin")
    report = await reconciled(world)
    assert [each.sweep for each in report.left] == ["pending settlements"]


def put(world: World, **changes: Any) -> None:
    value = msgspec.json.decode(world.mock.read_file(DOCUMENT) or b"{}") | changes
    world.mock.core.table.write(DOCUMENT, msgspec.json.encode(value))
    marker = f"/zones/default/indexes/bounties/status/{value['status']}/{BOUNTY_ID}"
    world.mock.core.table.write(marker, b"")


FORGED = {"status": "settled", "claimedBy": {"agentId": "mallory"}, "fulfilledByCid": CID}


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        (FORGED, "held"),
        (FORGED, "voided"),
        (FORGED, "paid to bob"),
        (FORGED | {"reservationId": "reservation-of-nobody"}, "held"),
        (FORGED | {"claimedBy": {"agentId": "bob"}, "fulfilledByCid": "cid-2"}, "paid to bob"),
    ],
)
@virtual
async def test_a_document_alone_makes_no_reward(changes: dict[str, Any], ends: str) -> None:
    """A reward says that somebody was paid: the ledger has to say so."""
    world = await a_world()
    async with world.process() as process:
        await (settled if ends == "paid to bob" else claimed)(process.operations)
        (held,) = [each async for each in world.ledger.reservations()]
        if ends == "voided":
            await world.ledger.void(held.reservation_id)
        rewards = await process.operations.services.store.list_rewards()
    before = await money(world)
    put(world, **changes)
    report = await reconciled(world)
    async with world.process(seed=3) as process:
        assert await process.operations.services.store.list_rewards() == rewards
    assert await money(world) == before
    assert report.left or rewards  # one is on record already: nothing is missing


@virtual
async def test_a_document_that_names_the_payment_of_another_bounty_makes_no_reward() -> None:
    """The ledger has paid bob for that very work, and for another bounty."""
    world = await a_world()
    async with world.process() as process:
        await settled(process.operations)
    forged = msgspec.json.decode(world.mock.read_file(DOCUMENT) or b"{}") | {"bountyId": "forged"}
    write = world.mock.core.table.write
    write(DOCUMENT.replace(BOUNTY_ID, "forged"), msgspec.json.encode(forged))
    write("/zones/default/indexes/bounties/status/settled/forged", b"")
    report = await reconciled(world)
    assert [each.subject for each in report.left] == ["forged"]
    async with world.process(seed=3) as process:
        (reward,) = await process.operations.services.store.list_rewards()
    assert reward.bounty_id == BOUNTY_ID
