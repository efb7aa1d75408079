"""Status markers: a listing never misses a committed bounty, whatever arrives when."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from nexus_bounty import (
    BountyQuery,
    BountyStatus,
    IndexStatus,
    PostCommitError,
    PreCommitError,
)
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.testing.bounties_suite import LIFE, MOVES
from nexus_bounty.testing.builders import make_agent, make_bounty, make_bounty_in
from tests.support.sampling import sample_and_all
from tests.support.zone import Zone

S = BountyStatus
PATHS = ZonePaths("z")
DAY = timedelta(hours=24)
ALICE, BOB = make_agent("alice"), make_agent("bob")
NEVER = 10_000
"""As many further requests as no test sends: what is this late waits for `settle`."""


async def listed(store, *statuses) -> set[str]:
    return {each.bounty_id for each in await store.list_bounties(BountyQuery(status=statuses))}


async def findings(store) -> dict[BountyStatus, IndexStatus]:
    """The index statuses that are not healthy."""
    return {each.status: each for each in await store.list_index_statuses() if not each.healthy}


def late_delete(status: BountyStatus, kind: FaultKind = FaultKind.LATE, name: str = "b-1") -> Fault:
    """The next delete of a marker of `status` waits until the mock settles."""
    match = RequestMatch(
        path=f"*/status/{status}/{name}",
        predicate=lambda request: request.method in ("delete", "delete_batch"),
    )
    return Fault(kind, match=match, after_requests=NEVER, lost="drop")


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.method)
async def test_the_new_marker_is_written_before_the_commit_and_the_old_removed_after(
    zone, store, move
):
    """So that at no moment a listing can miss the bounty."""
    source = next(each for each in BountyStatus if each in move.sources)
    await store.create_bounty(make_bounty_in(source))
    start = len(zone.mock.log)
    after = await move.make(store)
    steps = [
        "document" if change.path.endswith(".json") else "mark" if change.etag_after else "unmark"
        for change in zone.mock.log[start:]
    ]
    assert steps == sorted(steps, key=["mark", "document", "unmark"].index)
    assert steps.count("document") == 1
    committed = start + steps.index("document")
    needed = zone.paths.marker(after.status, "b-1")
    assert any(change.path == needed for change in zone.mock.log[:committed])


async def test_a_release_writes_a_marker_of_its_own_generation_and_keeps_that_of_the_claim(
    zone, store
):
    """The plain one is written besides, for the peer."""
    await store.create_bounty(make_bounty())
    await store.claim_bounty("b-1", ALICE, "c-1")
    await store.release_bounty("b-1", ALICE)
    assert zone.markers(S.OPEN) == {"b-1", "b-1%@3"}
    assert zone.markers(S.CLAIMED) == {"b-1"}


async def test_a_renewal_writes_no_marker(zone, store):
    """The bounty stays where it was."""
    await store.create_bounty(make_bounty())
    await store.claim_bounty("b-1", ALICE, "c-1")
    start = len(zone.mock.log)
    await store.claim_bounty("b-1", ALICE, "c-2")
    assert [change.path for change in zone.mock.log[start:]] == [zone.paths.bounty("b-1")]


async def test_a_whole_life_leaves_one_marker(zone, store):
    """That of the status in which it ended."""
    await store.create_bounty(make_bounty(status=S.DRAFT))
    for method in LIFE:
        await next(move for move in MOVES if move.method == method).make(store)
    assert {status: names for status in S if (names := zone.markers(status))} == {
        S.SETTLED: {"b-1"}
    }


@pytest.mark.parametrize("kind", [FaultKind.LATE, FaultKind.DUPLICATE_LATE])
async def test_a_delete_that_arrives_late_hides_no_released_bounty(zone, store, kind):
    """The claim's delete of the old marker lands after the release needs a new one.

    The peer, which knows no generations, misses it until the plain one is found missing.
    """
    await store.create_bounty(make_bounty())
    zone.mock.inject(late_delete(S.OPEN, kind))
    await store.claim_bounty("b-1", ALICE, "c-1")
    await store.release_bounty("b-1", ALICE)
    await zone.mock.settle()
    assert "b-1" not in zone.markers(S.OPEN)
    assert await listed(store, S.OPEN) == {"b-1"}
    assert {status: each.missing for status, each in (await findings(store)).items()} == {
        S.OPEN: ["b-1"]
    }
    await store.repair_index()
    assert zone.markers(S.OPEN) == {"b-1", "b-1%@3"}
    assert await findings(store) == {}


@pytest.mark.parametrize("kind", [FaultKind.LATE, FaultKind.DUPLICATE_LATE])
async def test_late_deletes_of_every_generation_hide_no_released_bounty(zone, store, kind):
    """Three claims and releases, and all their deletes, one request each, after them."""
    await store.create_bounty(make_bounty())
    for number in range(3):
        zone.mock.inject(late_delete(S.OPEN, kind))
        await store.claim_bounty("b-1", ALICE, f"c-{number}")
        await store.release_bounty("b-1", ALICE)
    assert zone.mock.late_count == 3
    await zone.mock.settle()
    assert await listed(store, S.OPEN) == {"b-1"}


@pytest.mark.parametrize("kind", [FaultKind.LATE, FaultKind.DUPLICATE_LATE])
async def test_a_delete_by_repair_that_arrives_late_hides_no_released_bounty(zone, store, kind):
    """What repair found stale does not become needed before the delete has landed."""
    await store.create_bounty(make_bounty())
    await store.claim_bounty("b-1", ALICE, "c-1")
    await (await zone.peer()).mark("open", "b-1")
    zone.mock.inject(late_delete(S.OPEN, kind))
    await store.repair_index()
    await store.release_bounty("b-1", ALICE)
    await zone.mock.settle()
    assert await listed(store, S.OPEN) == {"b-1"}


@pytest.mark.parametrize("life", [(S.OPEN,), (S.DRAFT, S.OPEN)], ids=["open", "funded"])
async def test_a_delete_that_arrives_late_hides_no_bounty_created_over_a_tombstone(
    zone, store, life
):
    """Repair removes the marker of an aborted create, late; meanwhile the id is used again."""
    await (await zone.peer()).mark("open", "b-1")
    await store.resolve_operation("b-1", "died")
    zone.mock.inject(late_delete(S.OPEN, FaultKind.DUPLICATE_LATE))
    await store.repair_index()
    await store.create_bounty(make_bounty(status=life[0]))
    if S.DRAFT in life:
        await store.fund_bounty("b-1", "r-1")
    await zone.mock.settle()
    assert await listed(store, S.OPEN) == {"b-1"}


async def test_a_marker_that_arrives_late_makes_no_listing_lie(zone, store):
    """Listings ask the document; the marker is stale, and repair removes it."""
    await store.create_bounty(make_bounty())
    match = RequestMatch("write", "*/status/claimed/*")
    late = Fault(FaultKind.DUPLICATE_LATE, match=match, after_requests=NEVER)
    zone.mock.inject(late)
    await store.claim_bounty("b-1", ALICE, "c-1")
    await store.complete_bounty("b-1", "cid-1")
    await zone.mock.settle()
    assert await listed(store, S.CLAIMED) == set()
    assert set(await findings(store)) == {S.CLAIMED}
    await store.repair_index()
    assert await findings(store) == {}


async def test_a_marker_that_could_not_be_removed_is_owed(zone, store):
    """The transition is committed, listings tell the truth, and repair pays."""
    await store.create_bounty(make_bounty())
    gone = Fault(FaultKind.STATUS_BEFORE, match=RequestMatch("delete"), times=None)
    zone.mock.inject(gone)
    with pytest.raises(PostCommitError) as committed:
        await store.claim_bounty("b-1", ALICE, "c-1")
    zone.mock.clear_faults()
    assert committed.value.pending == ("remove_stale_marker",)
    assert committed.value.bounty == await store.get_bounty("b-1")
    assert await listed(store, S.OPEN) == set()
    assert await listed(store, S.CLAIMED) == {"b-1"}
    stale = await findings(store)
    assert {status: each.stale for status, each in stale.items()} == {S.OPEN: ["b-1"]}
    await store.repair_index()
    assert await findings(store) == {}


async def test_a_marker_that_cannot_be_written_keeps_the_commit_from_being_tried(zone, store):
    """No commit without its marker: it did not happen."""
    before = await store.create_bounty(make_bounty())
    match = RequestMatch("write", "*/status/*")
    zone.mock.inject(Fault(FaultKind.STATUS_BEFORE, status=403, match=match, times=None))
    with pytest.raises(PreCommitError):
        await store.claim_bounty("b-1", ALICE, "c-1")
    assert await store.get_bounty("b-1") == before


# Inspecting and repairing


async def test_inspecting_changes_nothing(zone, store):
    """Whatever is wrong."""
    await store.create_bounty(make_bounty())
    await (await zone.peer()).mark("settled", "b-1")
    await (await zone.peer()).mark("draft", "b-1")
    applied = len(zone.mock.log)
    await store.list_index_statuses()
    assert len(zone.mock.log) == applied


async def test_every_status_has_its_report_with_its_number_of_markers(zone, store):
    """In the order of a bounty's life."""
    for status in (S.OPEN, S.SETTLED):
        for number in range(2):
            bounty_id = f"{status.value}-{number}"
            await store.create_bounty(make_bounty_in(status, bounty_id=bounty_id))
    reports = await store.list_index_statuses()
    assert [report.status for report in reports] == list(BountyStatus)
    assert {report.status: report.markers for report in reports if report.markers} == {
        S.OPEN: 2,
        S.SETTLED: 2,
    }


@pytest.mark.parametrize("status", list(BountyStatus))
async def test_a_missing_marker_is_reported_and_written(zone, store, status):
    """The peer may die between document and marker; repair makes the listing whole."""
    peer = await zone.peer()
    await peer.create(make_bounty_in(status))
    await peer.unmark(status.value, "b-1")
    assert (await findings(store))[status].missing == ["b-1"]
    found = await store.repair_index()
    assert next(each for each in found if each.status is status).missing == ["b-1"]
    assert await listed(store, status) == {"b-1"}
    assert await findings(store) == {}


async def test_a_missing_generation_is_written_again(zone, store):
    """Its plain marker would not do: a delete of that may be under way."""
    await store.create_bounty(make_bounty())
    await store.claim_bounty("b-1", ALICE, "c-1")
    await store.release_bounty("b-1", ALICE)
    peer = await zone.peer()
    for name in ("b-1", "b-1%@3"):
        await peer.rpc("delete", path=f"{zone.paths.statuses(S.OPEN)}/{name}")
    assert (await findings(store))[S.OPEN].missing == ["b-1"]
    await store.repair_index()
    assert zone.markers(S.OPEN) == {"b-1", "b-1%@3"}


@pytest.mark.parametrize(
    ("status", "marked"),
    [
        (S.OPEN, S.DRAFT),
        (S.CLAIMED, S.OPEN),
        (S.PENDING_SETTLEMENT, S.CLAIMED),
        (S.COMPLETED, S.EXPIRED),
        (S.SETTLED, S.COMPLETED),
        (S.CANCELLED, S.SETTLED),
    ],
)
async def test_a_stale_marker_is_reported_and_removed(zone, store, status, marked):
    """One of a status to which no way leads."""
    await store.create_bounty(make_bounty_in(status))
    await (await zone.peer()).mark(marked.value, "b-1")
    assert (await findings(store))[marked].stale == ["b-1"]
    await store.repair_index()
    assert zone.markers(marked) == set()
    assert await findings(store) == {}
    assert await listed(store, status) == {"b-1"}


@pytest.mark.parametrize(
    ("status", "marked"),
    [
        (S.DRAFT, S.OPEN),
        (S.OPEN, S.CLAIMED),
        (S.OPEN, S.EXPIRED),
        (S.CLAIMED, S.PENDING_SETTLEMENT),
        (S.PENDING_SETTLEMENT, S.SETTLED),
    ],
)
async def test_a_marker_that_may_announce_a_commit_is_left_alone(zone, store, status, marked):
    """Its writer may be about to commit; repairing now would make a listing miss that."""
    await store.create_bounty(make_bounty_in(status))
    await (await zone.peer()).mark(marked.value, "b-1")
    await store.repair_index()
    assert zone.markers(marked) == {"b-1"}
    assert await findings(store) == {}


async def test_a_generation_still_to_come_is_left_alone(zone, store):
    """It announces a release that has not committed yet; once it is past, it is stale."""
    await store.create_bounty(make_bounty())
    await store.claim_bounty("b-1", ALICE, "c-1")
    await (await zone.peer()).write(zone.paths.marker(S.OPEN, "b-1", 3), b"")
    await store.repair_index()
    assert zone.markers(S.OPEN) == {"b-1%@3"}
    await store.claim_bounty("b-1", ALICE, "c-2")
    await store.repair_index()
    assert zone.markers(S.OPEN) == set()


async def test_one_bounty_is_repaired_alone(zone, store):
    """What is wrong with the others is left as it is, and not reported."""
    peer = await zone.peer()
    for bounty_id in ("b-1", "b-2"):
        await store.create_bounty(make_bounty(bounty_id=bounty_id))
        await peer.mark("draft", bounty_id)
    found = await store.repair_index("b-1")
    assert [each.stale for each in found if each.stale] == [["b-1"]]
    assert zone.markers(S.DRAFT) == {"b-2"}


async def test_repairing_again_finds_nothing(zone, store):
    """Whatever was wrong with however many."""
    peer = await zone.peer()
    for number, status in enumerate(BountyStatus):
        await peer.create(make_bounty_in(status, bounty_id=f"b-{number}"))
        await peer.unmark(status.value, f"b-{number}")
        await peer.mark("draft", f"b-{number}")
    assert not all(each.healthy for each in await store.repair_index())
    applied = len(zone.mock.log)
    assert all(each.healthy for each in await store.repair_index())
    assert len(zone.mock.log) == applied


async def test_the_marker_of_an_unreadable_document_is_left_alone(zone, store):
    """Nothing is known of it, and so nothing is stale."""
    peer = await zone.peer()
    await peer.write(zone.paths.bounty("b-1"), b"\x00 no document")
    await peer.mark("open", "b-1")
    zone.clock.advance(10 * DAY)
    await store.repair_index()
    assert zone.markers(S.OPEN) == {"b-1"}


# Markers without a document


async def test_a_young_marker_without_a_document_is_left_alone(zone, store):
    """It may announce a create that is under way."""
    await (await zone.peer()).mark("open", "b-1")
    zone.clock.advance(DAY)
    await store.repair_index()
    assert zone.markers(S.OPEN) == {"b-1"}
    assert await listed(store, S.OPEN) == set()
    assert await findings(store) == {}


async def test_an_old_marker_without_a_document_is_left_alone_too(zone, store):
    """Its bounty may be created at any time, and no delete could tell that it was too late."""
    await (await zone.peer()).mark("open", "b-1")
    zone.clock.advance(10 * DAY)
    start = len(zone.mock.log)
    await store.repair_index()
    assert len(zone.mock.log) == start
    assert await listed(store, S.OPEN) == set()


async def test_a_create_that_arrives_a_day_late_is_listed(zone, store):
    """Whatever was repaired meanwhile."""
    match = RequestMatch("write", "*/bounties/b-1.json")
    zone.mock.inject(Fault(FaultKind.LATE, match=match, after_requests=NEVER, lost="drop"))
    dead_after_its_commit_is_on_the_way = await zone.store(zone.interrupted(3, _die))
    with pytest.raises(_DiedError):
        await dead_after_its_commit_is_on_the_way.create_bounty(make_bounty())
    assert zone.mock.late_count == 1
    zone.clock.advance(2 * DAY)
    await store.repair_index()
    await zone.mock.settle()
    assert await listed(store, S.OPEN) == {"b-1"}


class _DiedError(BaseException):
    """The process is gone."""


async def _die() -> None:
    raise _DiedError


async def test_a_tombstone_is_kept_for_good(zone, store):
    """No delete on Nexus can be conditional: a late one would take what is created there later."""
    await store.resolve_operation("b-1", "k-1")
    zone.clock.advance(10 * DAY)
    assert await store.collect_leftovers() == []
    assert zone.mock.read_file(zone.paths.bounty("b-1")) is not None


async def _requests_of_repair() -> int:
    """How many requests the repair of one old marker without a document sends."""
    async with Zone() as zone:
        await (await zone.peer()).mark("open", "b-1")
        zone.clock.advance(2 * DAY)
        store = await zone.store()
        zone.mock.reset_counts()
        await store.repair_index()
        return zone.mock.request_count


async def test_a_bounty_created_while_its_old_marker_is_repaired_is_listed():
    """Just before any of the requests of the repair: its marker stays, or it gets another."""
    missed = []
    for at in range(1, await _requests_of_repair() + 1):
        async with Zone() as zone:
            await (await zone.peer()).mark("open", "b-1")
            zone.clock.advance(2 * DAY)
            creator = await zone.store()
            repairer = await zone.store(
                zone.interrupted(at, partial(creator.create_bounty, make_bounty()))
            )
            await repairer.repair_index()
            if await listed(creator, S.OPEN) != {"b-1"}:
                missed.append(at)
    assert missed == []


@sample_and_all
@pytest.mark.parametrize("source", [S.DRAFT, S.OPEN, S.CLAIMED, S.PENDING_SETTLEMENT])
async def test_a_bounty_that_moves_while_the_index_is_repaired_is_listed(source, sample):
    """Each move, just before any of the requests of a repair that has something to do."""
    missed = []
    for move in MOVES:
        for at in range(1, 14, 4 if sample else 1) if source in move.sources else ():
            async with Zone() as zone:
                mover = await zone.store()
                await mover.create_bounty(make_bounty_in(source))
                for marked in ("draft", "open", "claimed", "expired"):
                    await (await zone.peer()).mark(marked, "b-1")
                transport = zone.interrupted(at, partial(move.make, mover))
                await (await zone.store(transport)).repair_index()
                expected = {"b-1"} if transport.carried >= at else set()
                if await listed(mover, move.target) < expected:
                    missed.append((move.method, at))
    assert missed == []
