"""Ranges: what several reconcilers find between them is what one finds of everything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from benchmarks.harness import population
from nexus_bounty import BountyStatus
from nexus_bounty.models import Claim
from nexus_bounty.operations.services import target_of
from nexus_bounty.outcomes import Outcome
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import JournaledOperation
from nexus_bounty.reconcile import ReconcileReport
from nexus_bounty.reconcile.reconciler import NAMES_AGE
from tests.reconcile.test_scale import PATHS, Zone, a_zone, lose_markers, lose_rewards

BOUNTIES, STUCK = 120, 27
GRACE = timedelta(minutes=5)
CUTS = ("bounty-000040", "bounty-000080", "stuck-000009", "stuck-000018")


def ranges(cuts: Sequence[str] = CUTS) -> list[Partition]:
    parts, rest = [], EVERYTHING
    for cut in cuts:
        part, rest = rest.split(cut)
        parts.append(part)
    return [*parts, rest]


async def spoil(zone: Zone) -> None:
    """Everything that can be wrong with what belongs to bounties, in every range."""
    lose_markers(zone, BOUNTIES)
    lose_rewards(zone, BOUNTIES)
    for number in range(0, BOUNTIES, 30):
        bounty_id = f"bounty-{number:06}"
        await zone.credits.begin_operation(
            JournaledOperation(
                key=f"key-{number}",
                zone_id="z",
                kind="claim",
                bounty_id=bounty_id,
                fingerprint="",
                decided_by=f"key-{number}:claim",
                began_at=population.PAST,
            )
        )
        await zone.credits.reserve(
            f"second-{number}", account="creator", amount=1, reference=f"zone:z/bounty:{bounty_id}"
        )
        lapse(zone, f"bounty-{number + 1:06}")


def lapse(zone: Zone, bounty_id: str) -> None:
    """A lease of old on a bounty, which ran out and was never ended."""
    claim = Claim(
        claim_id=f"lapsed-{bounty_id}",
        target_ref=target_of(bounty_id),
        agent=population.WORKER,
        intent_summary="",
        heartbeat_at=population.PAST,
        lease_expires_at=population.PAST + timedelta(hours=1),
        created_at=population.PAST,
    )
    write = zone.mock.core.table.write
    write(PATHS.claim(claim.claim_id), msgspec.json.encode(claim))
    write(PATHS.active_claim(claim.target_ref, claim.claim_id), b"")


def found(*reports: ReconcileReport) -> list[tuple[str, str, str]]:
    for report in reports:
        assert not report.errors
    return sorted(
        (each.sweep, each.subject, each.problem) for report in reports for each in report.findings
    )


async def in_ranges(
    zone: Zone, parts: Sequence[Partition], **options: bool
) -> list[ReconcileReport]:
    return [await zone.reconciler(partition=part, **options).run_once() for part in parts]


async def test_ranges_find_between_them_what_one_reconciler_finds() -> None:
    """Each thing in the range of its bounty, and none of it twice, by every sweep."""
    async with a_zone(BOUNTIES, STUCK) as zone:
        await spoil(zone)
        whole = found(await zone.reconciler(dry_run=True).run_once())
        parts = await in_ranges(zone, ranges(), dry_run=True)
        assert found(*parts) == whole
        assert all(report.found for report in parts)
        repaired = await in_ranges(zone, ranges())
        again = await zone.reconciler(dry_run=True).run_once()
    assert {sweep for sweep, _, _ in whole} >= {
        *("stuck drafts", "pending settlements", "completed, not settled", "past deadlines"),
        *("orphan reservations", "orphan claims", "open operations", "missing rewards"),
        "index markers",
    }
    leftovers = [each for each in found(*repaired) if each[0] == "leftovers"]
    assert len(leftovers) == BOUNTIES // 30
    assert [each for each in found(*repaired) if each[0] != "leftovers"] == whole
    left = {each.subject for report in repaired for each in report.left}
    assert {each.subject for each in again.findings} == left


@pytest.mark.parametrize("personality", ["0.7.0", "0.9.26"])
async def test_ranges_are_right_where_pages_and_bulk_reads_differ(personality: str) -> None:
    """A server whose listings come whole, and one whose commits are slots."""
    async with a_zone(60, 9, personality=personality) as zone:
        whole = found(await zone.reconciler(dry_run=True).run_once())
        parts = await in_ranges(zone, ranges(["bounty-000020", "stuck-000004"]), dry_run=True)
    assert found(*parts) == whole
    assert len(whole) == 9


async def test_a_range_costs_what_is_in_it() -> None:
    """Ten ranges cost little more than all at once: no page is read by all of them."""
    async with a_zone(1000) as zone:
        whole = await zone.requests(zone.reconciler(), None)
        cuts = [f"bounty-{number:06}" for number in range(99, 999, 100)]
        parts = [
            await zone.requests(zone.reconciler(partition=each), None) for each in ranges(cuts)
        ]
    in_parts = sum(each.total() for each in parts)
    a_page_a_directory = 40
    assert max(each.total() for each in parts) < whole.total() / 10 + a_page_a_directory
    assert in_parts < whole.total() + len(parts) * a_page_a_directory


async def test_ranges_share_the_names_of_documents_where_each_would_list_them_all() -> None:
    """Unless nothing is young enough to be left to the next round."""
    cuts = ["bounty-000015", "bounty-000030", "bounty-000045"]

    async def listings(grace: timedelta, parts: Sequence[Partition]) -> int:
        async with a_zone(60, personality="0.7.0") as zone:
            await zone.reconciler().run_once()  # which pins how it is written
            before = len(zone.mock.requests)
            for part in parts:
                reconciler = zone.reconciler(partition=part, grace=grace, names_age=NAMES_AGE)
                await reconciler.run_once()
            asked = [each.path for each in zone.mock.requests[before:] if each.method == "list"]
            return asked.count(PATHS.bounties)

    whole, number = await listings(GRACE, [EVERYTHING]), len(ranges(cuts))
    assert await listings(GRACE, ranges(cuts)) == whole
    assert await listings(timedelta(0), ranges(cuts)) == whole * number


async def test_what_belongs_to_no_bounty_is_seen_to_with_the_first_range() -> None:
    """Old entries of the journal, and what commits left behind; the others do not look for it."""
    async with a_zone(20) as zone:
        operation = JournaledOperation(
            key="old",
            zone_id="z",
            kind="claim",
            bounty_id="zz",
            fingerprint="",
            decided_by="old:claim",
            began_at=population.PAST,
        )
        await zone.credits.begin_operation(operation)
        await zone.credits.end_operation("z", "old", Outcome.COMMITTED, "done")
        first, rest = EVERYTHING.split("bounty-000010")
        await zone.reconciler(partition=rest).run_once()
        assert await zone.credits.find_operation("z", "old") is not None
        await zone.reconciler(partition=first).run_once()
        assert await zone.credits.find_operation("z", "old") is None


async def test_a_range_that_remembers_finds_what_ends_in_it_and_nothing_else() -> None:
    """Warm runs of two ranges, and a bounty that is cancelled in one of them."""
    async with a_zone(100) as zone:
        first, rest = ranges(["bounty-000050"])
        at_once = timedelta(0)
        reconcilers = [zone.reconciler(partition=each, grace=at_once) for each in (first, rest)]
        for each in reconcilers:
            assert (await each.run_once()).found == 0
        store = zone.operations.services.store
        opened = [each async for each in store.walk_ids(BountyStatus.OPEN)]
        await store.cancel_bounty(opened[0])
        await zone.client.cleanup.flush()
        reports = [await each.run_once() for each in reconcilers]
    about = [{each.sweep for each in report.findings} for report in reports]
    assert about == [{"orphan reservations"}, set()]
    assert opened[0] in first
