"""Money moves only on what names this ledger, this zone, this bounty, this claim and this work.

A stranger here can write to the zone, and to nothing else. The oracle counts the money in the
ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    AgentIdentity,
    BountyStateError,
    Contribution,
    CriteriaNotMetError,
    PaymentError,
    PostCommitError,
    PreCommitError,
    WrongLedgerError,
)
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.operations import BountyOperations
from nexus_bounty.reconcile import Reconciler, ReconcileReport
from nexus_bounty.testing.virtual_time import wall_clock
from tests.operations.lives import KEY, claimed, posted, refusal
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    FUNDS,
    GRACE,
    PRICE,
    LedgerFault,
    Process,
    World,
    a_bounty,
    a_world,
    document,
    with_other,
)

ZONE = ZonePaths("default")
MALLORY = AgentIdentity(agent_id="mallory")
WORK = Contribution(cid=CID, agent=BOB, tags=["sorted"], scores={"speed": 2.0})
THEIRS = Contribution(cid="cid-carol", agent=CAROL, tags=["sorted"], scores={"speed": 2.0})


def forge(world: World, bounty_id: str, document: dict[str, Any]) -> None:
    """Write a document and its marker, as anybody with access to the zone can."""
    write = world.mock.core.table.write
    write(ZONE.bounty(bounty_id), msgspec.json.encode(document))
    write(f"/zones/default/indexes/bounties/status/{document['status']}/{bounty_id}", b"")


def rewritten(world: World, **changes: Any) -> None:
    """The bounty's document, changed by a stranger."""
    standing = document(world.mock)
    assert standing is not None
    forge(world, BOUNTY_ID, {**standing, **changes})


async def reconciled(world: World) -> ReconcileReport:
    await world.later()
    async with world.process(seed=9) as process:
        return await Reconciler(process.operations, grace=GRACE).run_until_clean()


async def money(world: World) -> dict[str, tuple[int, int]]:
    """What everybody has, free and reserved."""
    names = ("alice", "bob", "carol", "mallory")
    found = {name: await world.ledger.balance(name) for name in names}
    return {name: (each.available, each.reserved) for name, each in found.items()}


UNTOUCHED = {
    "alice": (FUNDS - PRICE, PRICE),
    "bob": (0, 0),
    "carol": (0, 0),
    "mallory": (0, 0),
}


@pytest.mark.parametrize("names_ledger", [True, False], ids=["names the ledger", "of old"])
@pytest.mark.parametrize("amount", [1, PRICE])
@pytest.mark.parametrize("status", ["pending_settlement", "completed", "settled", "cancelled"])
@virtual
async def test_a_forged_bounty_moves_nobodys_reservation(
    status: str, amount: int, names_ledger: bool
) -> None:
    """It names another's reservation, and is in whatever status would move it."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
    theirs = (document(world.mock) or {})["reservationId"]
    forged = msgspec.to_builtins(a_bounty()) | {
        "bountyId": "forged",
        "status": status,
        "updatedAt": "2026-01-01T00:00:00Z",
        "amount": amount,
        "reservationId": theirs,
        "claimedBy": {"agentId": "mallory"},
        "claimId": "c-mallory",
        "fulfilledByCid": CID,
    }
    if names_ledger:
        forged["ledgerId"] = await world.ledger.identity()
    forge(world, "forged", forged)
    report = await reconciled(world)
    assert await money(world) == UNTOUCHED
    if status in ("pending_settlement", "completed"):
        assert "forged" in [each.subject for each in report.left]


@virtual
async def test_a_forged_draft_is_not_opened_on_anothers_credits() -> None:
    """It is left to a person."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
    draft = msgspec.to_builtins(a_bounty()) | {
        "bountyId": "forged",
        "status": "draft",
        "updatedAt": "2026-01-01T00:00:00Z",
        "reservationId": (document(world.mock) or {})["reservationId"],
        "creator": {"agentId": "mallory"},
    }
    forge(world, "forged", draft)
    report = await reconciled(world)
    assert [each.subject for each in report.left] == ["forged"]
    assert await money(world) == UNTOUCHED


@virtual
async def test_a_pivot_that_only_a_document_tells_of_pays_nobody() -> None:
    """The ledger has nobody on record: a person has to decide."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
    rewritten(
        world,
        status="pending_settlement",
        claimedBy={"agentId": "mallory"},
        claimId="c",
        fulfilledByCid=CID,
    )
    report = await reconciled(world)
    (left,) = report.left
    assert "nobody on record" in (left.left or "")
    assert await money(world) == UNTOUCHED


@pytest.mark.parametrize("change", [{"claimedBy": {"agentId": "mallory"}}, {"fulfilledByCid": "x"}])
@virtual
async def test_a_settlement_under_way_pays_whom_the_ledger_has_on_record(
    change: dict[str, Any],
) -> None:
    """A document rewritten after the pivot is reported, not paid."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await _only_the_pivot(process)
    rewritten(world, **change)
    report = await reconciled(world)
    (left,) = report.left
    assert "bob" in (left.left or "")
    assert await money(world) == UNTOUCHED


@pytest.mark.parametrize("change", [{"amount": 1}, {"creator": {"agentId": "carol"}}])
@virtual
async def test_a_settlement_under_way_is_not_paid_from_credits_held_for_something_else(
    change: dict[str, Any],
) -> None:
    """The document names another amount, or another creator, than the credits are held for."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await _only_the_pivot(process)
    rewritten(world, **change)
    report = await reconciled(world)
    assert any("is 100 of alice" in (each.left or "") for each in report.left)
    assert await money(world) == UNTOUCHED


async def _only_the_pivot(process: Process, cid: str = CID) -> None:
    services = process.operations.services
    ledger = services.credits

    async def down(*_: Any, **__: Any) -> Any:
        raise PaymentError("the ledger is closed for today")

    capture, ledger.capture = ledger.capture, down  # type: ignore[method-assign]
    await refusal(process.operations.settle(BOUNTY_ID, cid, idempotency_key=KEY))
    ledger.capture = capture  # type: ignore[method-assign]


@virtual
async def test_a_claimer_rewritten_before_the_settle_is_not_paid_for_anothers_work() -> None:
    """The contribution says whose it is."""
    world = await a_world()
    world.contributions = type(world.contributions)([WORK])
    async with world.process() as process:
        await claimed(process.operations)
    rewritten(world, claimedBy={"agentId": "mallory"})
    async with world.process(seed=3) as process:
        error = await refusal(process.operations.settle(BOUNTY_ID, CID))
    assert isinstance(error, CriteriaNotMetError)
    assert "bob" in str(error)
    assert await money(world) == UNTOUCHED


@virtual
async def test_work_of_one_agent_does_not_pay_the_next_claimer() -> None:
    """Bob delivers, his claim is given back, Carol claims; the creator settles Bob's work."""
    world = await a_world()
    world.contributions = type(world.contributions)([WORK, THEIRS])
    async with world.process() as process, world.process(seed=3) as other:
        await claimed(process.operations)
        await other.operations.release(BOUNTY_ID, BOB)
        await other.operations.claim(BOUNTY_ID, CAROL)
        for who in (process, other):  # one remembers Bob's claim, one knows of Carol's
            error = await refusal(who.operations.settle(BOUNTY_ID, CID))
            assert isinstance(error, PreCommitError)
        assert await money(world) == UNTOUCHED
        paid = await process.operations.settle(BOUNTY_ID, THEIRS.cid)
    assert paid.credits_with == "carol"


@pytest.mark.parametrize("author", [BOB, None], ids=["signed work", "anonymous work"])
@virtual
async def test_a_claimer_that_changes_between_check_and_pivot_is_not_paid(
    author: AgentIdentity | None,
) -> None:
    """The pivot names the claim that was looked at."""
    world = await a_world()
    world.contributions = type(world.contributions)([msgspec.structs.replace(WORK, agent=author)])
    async with world.process() as process, world.process(seed=3) as other:
        await claimed(process.operations)
        store: Any = process.operations.services.store
        begin = store.begin_settlement

        async def claimed_anew(*arguments: Any, **named: Any) -> Any:
            await other.operations.release(BOUNTY_ID, BOB)
            await other.operations.claim(BOUNTY_ID, CAROL)
            store.begin_settlement = begin
            return await begin(*arguments, **named)

        store.begin_settlement = claimed_anew
        error = await refusal(process.operations.settle(BOUNTY_ID, CID))
    assert isinstance(error, PreCommitError)
    assert (document(world.mock) or {})["status"] == "claimed"
    assert await money(world) == UNTOUCHED


@virtual
async def test_work_under_another_id_than_was_asked_for_is_not_paid() -> None:
    """What answers for the contribution is a manifest of something else."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)

        async def crossed(cid: str) -> Contribution | None:
            return msgspec.structs.replace(WORK, cid="cid-other")

        world.contributions.get = crossed  # type: ignore[method-assign]
        error = await refusal(process.operations.settle(BOUNTY_ID, CID))
    assert isinstance(error, CriteriaNotMetError)
    assert "another one, 'cid-other'" in str(error)
    assert await money(world) == UNTOUCHED


@virtual
async def test_one_contribution_pays_one_bounty() -> None:
    """Unless the operations are told that work may be shared."""
    world = await a_world()
    second = msgspec.structs.replace(a_bounty(), bounty_id="b-2")
    async with world.process() as process:
        operations = process.operations
        await claimed(operations)
        await operations.create(second)
        await operations.claim("b-2", BOB)
        await operations.settle(BOUNTY_ID, CID)
        error = await refusal(operations.settle("b-2", CID))
        assert isinstance(error, PaymentError)
        assert (await world.ledger.balance("bob")).available == PRICE
        services = with_other(operations, allow_shared_work=True)
        await services.settle("b-2", CID)
    assert (await world.ledger.balance("bob")).available == 2 * PRICE


Act = Callable[[BountyOperations], Awaitable[object]]
WITH_ANOTHER_LEDGER: dict[str, tuple[Act, Act]] = {
    "create": (posted, lambda o: o.create(a_bounty(), idempotency_key="create")),
    "claim": (posted, lambda o: o.claim(BOUNTY_ID, BOB)),
    "renew": (claimed, lambda o: o.renew(BOUNTY_ID, BOB)),
    "release": (claimed, lambda o: o.release(BOUNTY_ID, BOB)),
    "settle": (claimed, lambda o: o.settle(BOUNTY_ID, CID)),
    "cancel": (posted, lambda o: o.cancel(BOUNTY_ID)),
    "expire": (posted, lambda o: o.expire(BOUNTY_ID)),
}


@pytest.mark.parametrize("name", WITH_ANOTHER_LEDGER)
@virtual
async def test_with_another_ledger_nothing_is_written_and_the_right_one_is_named(name: str) -> None:
    """Neither to the zone nor to either ledger; a create that has happened is not denied."""
    before, act = WITH_ANOTHER_LEDGER[name]
    world = await a_world()
    other = MemoryCredits(clock=wall_clock, identity="another")
    await other.top_up("funds", account="alice", amount=FUNDS)
    async with world.process() as process:
        await before(process.operations)
        await process.operations.services.store._client.cleanup.flush()  # type: ignore[attr-defined]
        if name == "expire":
            rewritten(world, deadline="2026-01-01T00:00:00Z")
        applied = len(world.mock.log)
        error: BaseException | None = await refusal(
            act(with_other(process.operations, credits=other))
        )
    if name == "create":
        assert isinstance(error, PostCommitError)
        error = error.__cause__
    assert isinstance(error, WrongLedgerError)
    assert (error.ledger_id, error.right_ledger_id) == ("another", "ledger")
    assert len(world.mock.log) == applied
    assert (document(world.mock) or {})["ledgerId"] == "ledger"
    assert [each async for each in other.reservations()] == []
    assert await money(world) == UNTOUCHED


@pytest.mark.parametrize("act", ["cancel", "expire", "settle"])
@virtual
async def test_a_bounty_of_old_is_not_ended_with_a_ledger_that_lacks_its_credits(act: str) -> None:
    """It names no ledger, and this one does not know its reservation."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        standing = document(world.mock) or {}
        standing.pop("ledgerId")
        forge(world, BOUNTY_ID, standing)
    other = MemoryCredits(clock=wall_clock, identity="another")
    async with world.process(seed=3) as process:
        operations = with_other(process.operations, credits=other)
        if act == "expire":
            rewritten(world, deadline="2026-01-01T00:00:00Z")
        arguments = (BOUNTY_ID, CID) if act == "settle" else (BOUNTY_ID,)
        error = await refusal(getattr(operations, act)(*arguments))
    assert isinstance(error, WrongLedgerError)
    assert (document(world.mock) or {})["status"] == "claimed"
    assert await money(world) == UNTOUCHED


@virtual
async def test_a_reconciler_with_another_ledger_touches_no_bounty_and_says_so() -> None:
    """One word for all of them, whatever they need."""
    world = await a_world()
    other = MemoryCredits(clock=wall_clock, identity="another")
    async with world.process() as process:
        await claimed(process.operations)
        await _only_the_pivot(process)
        await process.operations.create(msgspec.structs.replace(a_bounty(), bounty_id="b-2"))
        await process.operations.create(msgspec.structs.replace(a_bounty(), bounty_id="b-3"))
    await world.later()
    standing = document(world.mock)
    async with world.process(seed=3) as process:
        operations = with_other(process.operations, credits=other)
        report = await Reconciler(operations, grace=GRACE).run_once()
    assert not report.errors
    (left,) = report.left
    assert (left.sweep, left.subject) == ("missing escrow", "ledger")
    assert "2 bounties" in left.problem
    assert document(world.mock) == standing
    assert (await world.ledger.balance("alice")).reserved == 3 * PRICE


@virtual
async def test_a_ledger_of_an_older_backup_is_noticed_before_anybody_works_for_nothing() -> None:
    """Its reservation is gone: the reconciler says so, nothing is paid or called given back."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    restored = MemoryCredits(clock=wall_clock, identity="ledger")
    await restored.top_up("funds", account="alice", amount=FUNDS)
    await world.later()
    async with world.process(seed=3) as process:
        operations = with_other(process.operations, credits=restored)
        report = await Reconciler(operations, grace=GRACE).run_once()
        (left,) = [each for each in report.left if each.sweep == "missing escrow"]
        assert "not in the ledger" in left.problem
        error = await refusal(operations.settle(BOUNTY_ID, CID))
        assert isinstance(error, PaymentError)
        assert (document(world.mock) or {})["status"] == "claimed"
        result = await operations.cancel(BOUNTY_ID)
    assert "void_reservation" not in result.done
    assert result.credits_with is None
    assert (await restored.balance("alice")).available == FUNDS


@virtual
async def test_reservations_of_other_zones_are_none_of_this_ones() -> None:
    """A ledger may serve a thousand."""
    world = await a_world()
    for number in range(20):
        await world.ledger.reserve(
            f"r-{number}", account="alice", amount=1, reference=f"zone:other/bounty:b-{number}"
        )
    report = await reconciled(world)
    assert report.found == 0


async def _dies_before_its_pivot(operations: BountyOperations) -> None:
    store: Any = operations.services.store

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "begin_settlement", never)
        settling = operations.settle(BOUNTY_ID, CID, idempotency_key="died")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(settling, 1)


@virtual
async def test_a_settle_that_died_before_its_pivot_does_not_stand_in_the_way() -> None:
    """What it wrote down in the ledger is displaced once its pivot provably never comes."""
    world = await a_world()
    world.contributions = type(world.contributions)([WORK, THEIRS])
    async with world.process() as process:
        await claimed(process.operations)
        await _dies_before_its_pivot(process.operations)
    async with world.process(seed=3) as process:
        await process.operations.release(BOUNTY_ID, BOB)
        found = await world.ledger.get_reservation((document(world.mock) or {})["reservationId"])
        assert found is not None
        assert found.assignment is None
        await process.operations.claim(BOUNTY_ID, CAROL)
        result = await process.operations.settle(BOUNTY_ID, THEIRS.cid)
    assert result.credits_with == "carol"


@pytest.mark.parametrize("then", ["settle anew", "cancel"])
@virtual
async def test_an_assignment_without_its_pivot_is_fenced_off_by_who_comes_next(then: str) -> None:
    """Another settlement, or the cancel that gives the credits back."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await _dies_before_its_pivot(process.operations)
    async with world.process(seed=3) as process:
        if then == "cancel":
            result = await process.operations.cancel(BOUNTY_ID)
            assert result.credits_with == "alice"
            assert (await world.ledger.balance("alice")).available == FUNDS
        else:
            result = await process.operations.settle(BOUNTY_ID, CID, idempotency_key="next")
            assert result.credits_with == "bob"
        history = await process.operations.services.store.get_history(BOUNTY_ID)
    assert [each.aborted for each in history if each.key == "died:begin"] == [True]


@virtual
async def test_a_settlement_that_committed_is_not_displaced() -> None:
    """Whoever comes with other work is told of the one that stands."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        await _only_the_pivot(process)
    async with world.process(seed=3) as process:
        error = await refusal(process.operations.settle(BOUNTY_ID, "cid-2"))
    assert isinstance(error, BountyStateError)
    assert not await _wrong_after(world)


async def _wrong_after(world: World) -> list[str]:
    report = await reconciled(world)
    assert (await world.ledger.balance("bob")).available == PRICE
    return report.errors


@virtual
async def test_the_creator_is_the_one_whose_credits_are_held() -> None:
    """A creator that was rewritten gets nothing back."""
    world = await a_world()
    async with world.process() as process:
        await posted(process.operations)
    rewritten(world, creator={"agentId": "mallory"})
    async with world.process(seed=3) as process:
        result = await process.operations.cancel(BOUNTY_ID)
    assert result.credits_with is None
    assert await money(world) == UNTOUCHED


@pytest.mark.parametrize("kind", ["lost_always", "refused"])
@virtual
async def test_a_ledger_that_does_not_record_the_payee_leaves_the_bounty_as_it_was(
    kind: str,
) -> None:
    """The pivot was not tried: it was not settled, and can be again."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
    fault = LedgerFault(kind, at=1 if kind == "refused" else 0, of="assign")
    async with world.process(seed=3, fault=fault) as process:
        error = await refusal(process.operations.settle(BOUNTY_ID, CID, idempotency_key=KEY))
    assert isinstance(error, PreCommitError)
    assert (document(world.mock) or {})["status"] == "claimed"
    async with world.process(seed=4) as process:
        assert (await process.operations.settle(BOUNTY_ID, CID)).credits_with == "bob"


@virtual
async def test_a_repeated_release_leaves_the_settlement_of_the_next_claimer_on_record() -> None:
    """Carol's is past its pivot and not paid yet; Bob only asks what became of his release."""
    world = await a_world()
    world.contributions = type(world.contributions)([WORK, THEIRS])
    async with world.process() as process:
        await claimed(process.operations)
        await process.operations.release(BOUNTY_ID, BOB, idempotency_key="bobs")
        await process.operations.claim(BOUNTY_ID, CAROL)
        await _only_the_pivot(process, THEIRS.cid)
    async with world.process(seed=3) as process:
        again = await process.operations.release(BOUNTY_ID, BOB, idempotency_key="bobs")
        assert again.bounty.claimed_by == CAROL
    report = await reconciled(world)
    assert not report.left
    assert (await world.ledger.balance("carol")).available == PRICE


@virtual
async def test_a_release_that_is_overtaken_by_a_settlement_leaves_it_on_record() -> None:
    """It is claimed and settled anew between the release and what is tidied up after it."""
    world = await a_world()
    world.contributions = type(world.contributions)([WORK, THEIRS])
    async with world.process() as process, world.process(seed=3) as other:
        await claimed(process.operations)
        ledger: Any = process.operations.services.credits
        look = ledger.get_reservation

        async def after_the_pivot(reservation_id: str) -> Any:
            ledger.get_reservation = look
            await other.operations.claim(BOUNTY_ID, CAROL)
            await _only_the_pivot(other, THEIRS.cid)
            return await look(reservation_id)

        ledger.get_reservation = after_the_pivot
        await process.operations.release(BOUNTY_ID, BOB)
    report = await reconciled(world)
    assert not report.left
    assert (await world.ledger.balance("carol")).available == PRICE


@virtual
async def test_a_payment_that_the_ledger_only_says_it_made_is_not_settled() -> None:
    """Its answer is of a reservation that is still held."""
    world = await a_world()
    async with world.process() as process:
        await claimed(process.operations)
        ledger: Any = process.operations.services.credits

        async def only_said(reservation_id: str, **_: Any) -> Any:
            return await ledger.get_reservation(reservation_id)

        ledger.capture = only_said
        error = await refusal(process.operations.settle(BOUNTY_ID, CID))
    assert error.outcome == "post_commit"
    assert (document(world.mock) or {})["status"] == "pending_settlement"
