"""Every sweep finds what it is for, ends it or says why not, and touches nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from nexus_bounty import (
    Bounty,
    BountyStatus,
    ClaimConflictError,
    InsufficientCreditsError,
    NexusClient,
    PreCommitError,
)
from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.mock.faults import RequestMatch
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.reconcile import Finding, Reconciler, ReconcileReport
from nexus_bounty.testing.virtual_time import EPOCH
from tests.reconcile.stranded import (
    DOCUMENT,
    ESCROW,
    MINUTE,
    PIVOT,
    STRANDED,
    ZONE,
    Hands,
    Stranded,
    grown_old,
    stranded,
)
from tests.support.virtual import virtual
from tests.support.world import (
    BOB,
    BOUNTY_ID,
    CAROL,
    CID,
    FUNDS,
    GRACE,
    PRICE,
    World,
    a_bounty,
    a_world,
    broken_invariants,
    document,
)

each_case = pytest.mark.parametrize("case", STRANDED, ids=lambda case: case.name)
CHANGES = {"write", "delete", "rename", "mkdir"}
DRAFTED = (BountyStatus.DRAFT, BountyStatus.OPEN)
"""Whose markers are written with a draft."""


async def reconciled(world: World, **options: Any) -> ReconcileReport:
    async with world.process(seed=9) as process:
        return await Reconciler(process.operations, grace=GRACE, **options).run_once()


def found_by(report: ReconcileReport, case: Stranded) -> list[Finding]:
    return [
        each
        for each in report.findings
        if each.sweep == case.sweep and each.subject.startswith(case.subject)
    ]


async def standing(world: World) -> tuple[str | None, str | None]:
    """The status of the bounty, and where its credits are."""
    bounty = document(world.mock)
    async with world.process() as process:
        return (bounty or {}).get("status"), await Hands.of(world, process).escrow()


@each_case
@virtual
async def test_each_sweep_brings_what_it_finds_to_its_right_end_or_says_why_not(
    case: Stranded,
) -> None:
    """In one run, by the sweep that is there for it."""
    world = await grown_old(case)
    report = await reconciled(world)
    (finding,) = found_by(report, case)
    assert finding.problem
    if case.left:
        assert finding.repaired is None
        assert case.left in (finding.left or "")
    else:
        assert finding.repaired
        assert finding.left is None
    assert not report.errors
    assert await standing(world) == (case.status, case.escrow)


@each_case
@virtual
async def test_what_is_ended_is_not_found_again_and_what_is_left_is_left_again(
    case: Stranded,
) -> None:
    """A second run has nothing to do, and the invariants hold."""
    world = await grown_old(case)
    await reconciled(world)
    written, moves = len(world.mock.log), await _moves(world)
    report = await reconciled(world)
    assert report.repaired == 0
    assert [bool(each.left) for each in report.findings] == [True] * bool(case.left)
    assert (len(world.mock.log), await _moves(world)) == (written, moves)
    if not case.left:
        assert not await broken_invariants(world)


@each_case
@virtual
async def test_a_dry_run_finds_the_same_and_changes_nothing(case: Stranded) -> None:
    """No file, no credits; not even a request that could."""
    world = await grown_old(case)
    written, moves = len(world.mock.log), await _moves(world)
    asked = len(world.mock.requests)
    report = await reconciled(world, dry_run=True)
    assert report.dry_run
    (finding,) = found_by(report, case)
    assert finding.left == (finding.left if case.left else "dry run")
    assert report.repaired == 0
    assert not CHANGES & {each.method for each in world.mock.requests[asked:]}
    assert (len(world.mock.log), await _moves(world)) == (written, moves)


async def _moves(world: World) -> int:
    async with world.process() as process:
        return len(await Hands.of(world, process).journal())


@each_case
@virtual
async def test_nothing_younger_than_the_grace_period_is_touched(case: Stranded) -> None:
    """Its operation may still be running."""
    world = await stranded(case)
    await asyncio.sleep(GRACE.total_seconds() - 1)
    written, moves = len(world.mock.log), await _moves(world)
    report = await reconciled(world)
    assert not found_by(report, case)
    assert report.young
    assert (len(world.mock.log), await _moves(world)) == (written, moves)


@virtual
async def test_markers_of_an_operation_under_way_are_not_touched() -> None:
    """A peer writes its marker after its document: it is about to."""
    case = next(each for each in STRANDED if each.name == "missing marker")
    world = await stranded(case)
    report = await reconciled(world)
    assert not found_by(report, case)


@each_case
@virtual
async def test_what_could_not_be_repaired_is_left_with_its_reason_and_repaired_later(
    case: Stranded,
) -> None:
    """While no write gets through, nothing is lost and the run says what failed."""
    world = await grown_old(case)
    for method in ("write", "delete"):
        refused = RequestMatch(method=method)
        world.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=refused, times=None, status=403))
    report = await reconciled(world)
    for each in found_by(report, case):
        assert each.left or each.sweep == "orphan reservations"
    world.mock.clear_faults()
    await world.later()
    if not case.left:
        assert not await world.reconcile()
        assert not await broken_invariants(world)
    status, _ = await standing(world)
    assert status == case.status or case.name == "pending"


@virtual
async def test_a_marker_that_will_not_go_is_left_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server may answer a delete and keep the file."""
    world = await grown_old(next(each for each in STRANDED if each.name == "stale marker"))

    async def keep(_client: NexusClient, paths: Sequence[str], **_named: object) -> Sequence[str]:
        return paths

    monkeypatch.setattr(NexusClient, "delete_many", keep)
    (finding,) = (await reconciled(world)).findings
    assert "draft/b-1 is still there" in (finding.left or "")


# Drafts


@virtual
async def test_a_draft_is_opened_under_the_key_of_its_create() -> None:
    """So that a repeat of the create finds that it was done."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        await hands.posted()
        await hands.client.cleanup.flush()
        # the same bounty, before it was opened
        content = world.mock.history(DOCUMENT)[0].content or b""
        await hands.client.write(DOCUMENT, content)
        await hands.client.write(ZONE.marker(BountyStatus.DRAFT, BOUNTY_ID), b"")
    await world.later()
    await reconciled(world)
    async with world.process(seed=3) as process:
        written = len(world.mock.history(DOCUMENT))
        result = await process.operations.create(a_bounty(), idempotency_key="create")
    assert result.bounty.status is BountyStatus.OPEN
    assert len(world.mock.history(DOCUMENT)) == written


@pytest.mark.parametrize("status", ["held elsewhere", "somebody else's"])
@virtual
async def test_a_draft_is_never_opened_on_credits_that_are_held_for_something_else(
    status: str,
) -> None:
    """Two bounties with one escrow: one of them would never be paid."""
    world = await a_world()
    await world.ledger.top_up("bob", account="bob", amount=FUNDS)
    async with world.process() as process:
        hands = Hands.of(world, process)
        await hands.put(BountyStatus.DRAFT)
        if status == "held elsewhere":
            await hands.reserve(reference="b-2")
        else:
            await world.ledger.reserve(ESCROW, account="bob", amount=PRICE, reference=BOUNTY_ID)
    await world.later()
    await reconciled(world)
    assert (document(world.mock) or {})["status"] != "open"


@virtual
async def test_a_cancelled_bounty_gives_back_no_credits_that_are_held_for_another() -> None:
    """It names the other one's reservation, by mistake or on purpose."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        await hands.reserve(reference="b-2")
        await hands.put(BountyStatus.DRAFT, deadline=a_bounty().created_at + MINUTE)
    await world.later()
    await reconciled(world)
    reservation = await world.ledger.get_reservation(ESCROW)
    assert reservation is not None
    assert reservation.status.value == "held"


# Settlements


@virtual
async def test_a_bounty_of_the_peer_without_escrow_is_settled_and_nobody_is_said_to_be_paid() -> (
    None
):
    """Grove completed it, without a reservation and without our evidence."""
    world = await _completed_by_the_peer()
    report = await reconciled(world)
    (finding,) = [each for each in report.findings if each.sweep == "completed, not settled"]
    assert f"paid {PRICE}" not in (finding.repaired or "")
    assert not [path for path in world.mock.files if "/rewards/" in path]


@virtual
async def test_a_bounty_of_the_peer_without_escrow_moves_no_credits() -> None:
    """It is settled as it is, and everything that the peer wrote is kept."""
    world = await _completed_by_the_peer()
    await reconciled(world)
    bounty = msgspec.json.decode(world.mock.read_file(DOCUMENT) or b"")
    assert bounty["status"] == "settled"
    assert bounty["grove"] == {"mood": "good"}
    assert (await world.ledger.balance("alice")).available == FUNDS
    assert (await world.ledger.balance("bob")).available == 0
    assert not await world.reconcile()


async def _completed_by_the_peer() -> World:
    world = await a_world()
    bounty = msgspec.structs.replace(
        a_bounty(),
        status=BountyStatus.COMPLETED,
        claimed_by=BOB,
        fulfilled_by_cid=CID,
        updated_at=EPOCH,
    )
    value = msgspec.to_builtins(bounty) | {"grove": {"mood": "good"}}
    async with world.process() as process:
        client = Hands.of(world, process).client
        await client.write(DOCUMENT, msgspec.json.encode(value))
        await client.write(ZONE.marker(BountyStatus.COMPLETED, BOUNTY_ID), b"")
    await asyncio.sleep(2 * GRACE.total_seconds())
    return world


@pytest.mark.parametrize("lost", ["voided", "gone"])
@virtual
async def test_a_settlement_whose_credits_are_gone_is_left_to_people(lost: str) -> None:
    """There is no way back and none forward; it is not called settled."""
    world = await a_world()
    async with world.process() as process:
        hands = Hands.of(world, process)
        if lost == "gone":
            await hands.put(BountyStatus.OPEN)
            await hands.store.claim_bounty(BOUNTY_ID, BOB, "c-1")
            await hands.store.begin_settlement(BOUNTY_ID, CID)
        else:
            await hands.pending()
            bounty = await hands.store.get_bounty(BOUNTY_ID)
            assert bounty is not None
            await world.ledger.void(bounty.reservation_id or "", despite=PIVOT)
    await world.later()
    report = await reconciled(world)
    (left,) = report.left
    assert left.sweep == "pending settlements"
    assert "nobody can be paid any more" in (left.left or "")
    assert not left.failed
    assert (document(world.mock) or {})["status"] == "pending_settlement"
    assert (await world.ledger.balance("bob")).available == 0


# Reservations


@virtual
async def test_credits_held_for_no_bounty_at_all_are_nobodys_business() -> None:
    """The ledger serves others, too: without a reference it is not even reported."""
    world = await a_world()
    await world.ledger.reserve("theirs", account="alice", amount=1)
    await world.later()
    report = await reconciled(world)
    assert report.found == 0


@pytest.mark.parametrize("state", ["posted", "claimed", "pending"])
@virtual
async def test_credits_that_a_living_bounty_needs_are_not_even_found(state: str) -> None:
    """Open, claimed: their escrow stays; being paid: it goes to the claimer."""
    world = await a_world()
    async with world.process() as process:
        await getattr(Hands.of(world, process), state)()
    await world.later()
    report = await reconciled(world)
    assert not [each for each in report.findings if each.sweep == "orphan reservations"]
    assert not await broken_invariants(world)


# Claims


@virtual
async def test_a_claim_that_is_kept_alive_keeps_its_bounty() -> None:
    """The claimer heartbeats; the reconciler leaves both alone for as long as it does."""
    world = await a_world()
    async with world.process() as process:
        await Hands.of(world, process).claimed()
        for _ in range(5):
            await asyncio.sleep(3000)
            await process.operations.renew(BOUNTY_ID, BOB, lease=timedelta(hours=1))
            report = await reconciled(world)
            assert report.found == 0
    assert not await broken_invariants(world)


@virtual
async def test_an_abandoned_bounty_past_its_deadline_is_expired_not_opened() -> None:
    """One end, not two."""
    world = await a_world()
    async with world.process() as process:
        await Hands.of(world, process).posted(2 * MINUTE)
        await process.operations.claim(BOUNTY_ID, BOB, lease=MINUTE)
    await world.later()
    await reconciled(world)
    assert await standing(world) == ("expired", "voided")
    assert "open" not in _statuses_since_claimed(world)


def _statuses_since_claimed(world: World) -> list[str]:
    written = [msgspec.json.decode(each.content or b"{}") for each in world.mock.history(DOCUMENT)]
    statuses = [each["status"] for each in written]
    return statuses[statuses.index("claimed") :]


@virtual
async def test_leases_on_other_targets_are_left_alone() -> None:
    """Claims are not for bounties only."""
    world = await a_world()
    async with world.process() as process:
        claims = Hands.of(world, process).claims
        await claims.claim_or_renew("task:1", BOB, claim_id="c", lease=timedelta(days=1))
        await claims.claim_or_renew("bounty:gone", BOB, claim_id="d", lease=timedelta(days=1))
        await world.later()
        await reconciled(world)
        held = await claims.active_claims()
    assert {each.claim_id for each in held} == {"c", "d"}


# Leftovers


@virtual
async def test_a_lease_that_ran_out_is_ended_in_the_store_once_the_grace_period_is_over() -> None:
    """What has run out holds nothing, and says so after a while."""
    world = await a_world()
    async with world.process() as process:
        claims = Hands.of(world, process).claims
        await claims.claim_or_renew("task:1", BOB, claim_id="c", lease=MINUTE)
        await asyncio.sleep(120)
        early = await reconciled(world)
        await asyncio.sleep(2 * GRACE.total_seconds())
        late = await reconciled(world)
        claim = await claims.get("c")
    assert early.found == 0
    assert [(each.sweep, each.subject) for each in late.findings] == [("leftovers", "c")]
    assert claim is not None
    assert claim.status.value == "expired"


@pytest.mark.parametrize("release", [None, "0.7.0", "0.10"])
@virtual
async def test_the_marker_of_a_lease_taken_in_vain_is_removed_once_no_repeat_needs_it(
    release: str | None,
) -> None:
    """It was written while the lease was still to be won; who holds the target keeps theirs."""
    world = await a_world(release)
    zone = ZonePaths("default")
    ours, vain = (zone.active_claim("task:1", each) for each in ("c", "d"))
    async with world.process() as process, world.process(seed=3) as other:
        first, second = Hands.of(world, process).claims, Hands.of(world, other).claims
        await first.claim_or_renew("task:1", BOB, claim_id="c", lease=timedelta(days=90))
        with pytest.raises(ClaimConflictError):
            await second.claim_or_renew("task:1", CAROL, claim_id="d", lease=MINUTE)
    await world.later()
    assert not (await reconciled(world)).findings
    assert {ours, vain} <= set(world.mock.files)
    await asyncio.sleep(48 * 3600)
    report = await reconciled(world)
    assert vain in {each.subject for each in report.findings if each.sweep == "leftovers"}
    assert ours in world.mock.files
    assert vain not in world.mock.files


@virtual
async def test_a_tombstone_stays_and_shows_nothing() -> None:
    """Two days later: no delete can be conditional, and a late one would take what comes after."""
    world = await a_world()
    no_id = msgspec.structs.replace(a_bounty(), bounty_id=Bounty.__struct_defaults__[0])
    async with world.process(impatient=True) as process:
        created = RequestMatch(method="write", path="*/bounties/bounty-*.json")
        world.mock.inject(Fault(FaultKind.RPC_ERROR_BEFORE, match=created))
        with pytest.raises(PreCommitError, match="fenced off"):
            await process.operations.create(no_id, idempotency_key="k")
    await asyncio.sleep(48 * 3600)
    report = await reconciled(world)
    assert not report.findings
    assert len(_bounties(world.mock)) == 1
    async with world.process() as process:
        assert not await process.operations.services.store.list_bounties()


@virtual
async def test_the_markers_of_a_draft_that_was_just_taken_back_are_left_to_whoever_did_it() -> None:
    """Their removal is under way; after the grace period it was a crash that left them."""
    world = await a_world()
    dear = msgspec.structs.replace(a_bounty(), amount=FUNDS + 1)
    async with world.process() as process:
        with pytest.raises(InsufficientCreditsError):
            await process.operations.create(dear)
        left = [ZonePaths("default").marker(each, BOUNTY_ID) for each in DRAFTED]
        store: Any = process.operations.services.store
        await store._client.write_many(dict.fromkeys(left, b""))  # the removal has not begun
        early = await reconciled(world)
        await asyncio.sleep(2 * GRACE.total_seconds())
        await store._client.write_many(dict.fromkeys(left, b""))  # nor did it ever
        late = await reconciled(world)
    assert not early.findings
    assert early.young == len(DRAFTED)
    assert {each.sweep for each in late.findings} == {"index markers"}
    assert not late.left
    assert not [path for path in left if world.mock.read_file(path) is not None]


def _bounties(mock: MockNexus) -> list[str]:
    return [path for path in mock.files if path.startswith(ZonePaths("default").bounties + "/")]
