"""Where a server lists all names, however few are wanted, sweeps and ranges share a listing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from benchmarks.harness import population
from nexus_bounty import BountyStatus, Reconciler
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import sharing_names
from nexus_bounty.reconcile.deadlines import PastDeadlines
from nexus_bounty.reconcile.reconciler import NAMES_AGE
from tests.reconcile.test_ranges import ranges
from tests.reconcile.test_scale import PATHS, Zone, a_zone

S = BountyStatus
LISTING_WHOLE = ["0.5.6", "0.7.0", "0.9"]
PARTS = ranges(["bounty-000050", "bounty-000100"])
ACTIVE = PATHS.active_claims


@asynccontextmanager
async def known_zone(personality: str) -> AsyncIterator[Zone]:
    """More bounties than are on a page, on a server of which it is known how it lists."""
    async with a_zone(160, 9, personality=personality) as zone:
        await zone.reconciler(grace=timedelta()).run_once()  # which shares nothing
        yield zone


async def listings(zone: Zone, *reconcilers: Reconciler) -> Counter[str]:
    """How often the runs list each directory of markers."""
    before = len(zone.mock.requests)
    for each in reconcilers:
        report = await each.run_once()
        assert not report.errors
    asked = [each.path or "" for each in zone.mock.requests[before:] if each.method == "list"]
    return Counter(path for path in asked if "/status/" in path or path == ACTIVE)


def of_ranges(zone: Zone, **options: object) -> list[Reconciler]:
    return [zone.reconciler(partition=each, **options) for each in PARTS]


@pytest.mark.parametrize("personality", LISTING_WHOLE)
async def test_the_sweeps_of_a_run_list_each_directory_once(personality: str) -> None:
    """Those of one range as those of everything."""
    async with known_zone(personality) as zone:
        for part in (EVERYTHING, PARTS[1]):
            asked = await listings(zone, zone.reconciler(partition=part))
            assert set(asked) >= {ACTIVE, *map(PATHS.statuses, S)}
            assert set(asked.values()) == {1}


@pytest.mark.parametrize("personality", LISTING_WHOLE)
async def test_ranges_that_say_so_list_each_directory_once_between_them(personality: str) -> None:
    """And again in the next round: a range goes by nothing from before its last run."""
    async with known_zone(personality) as zone:
        reconcilers = of_ranges(zone, names_age=NAMES_AGE)
        for _ in range(2):
            assert set((await listings(zone, *reconcilers)).values()) == {1}


async def test_other_ranges_list_for_themselves() -> None:
    """A new reconciler looks at everything that was there when it began."""
    async with known_zone("0.7.0") as zone:
        assert set((await listings(zone, *of_ranges(zone))).values()) == {len(PARTS)}


async def test_without_grace_nothing_is_shared() -> None:
    """What was written a moment ago is not to be left to the next run then."""
    async with known_zone("0.7.0") as zone:
        at_once = of_ranges(zone, grace=timedelta(), names_age=NAMES_AGE)
        asked = await listings(zone, *at_once)
    assert asked[PATHS.statuses(S.CLAIMED)] > 2 * len(PARTS)


@pytest.mark.parametrize("personality", ["0.10", "0.10-hypothetical"])
async def test_where_pages_are_in_an_order_each_lists_what_it_needs(personality: str) -> None:
    """Before it is known that they are, too, while no directory has more than a page."""
    for bounties in (20, 160):
        async with a_zone(bounties, personality=personality) as zone:
            reconcilers = of_ranges(zone, names_age=NAMES_AGE)
            for _ in range(2):
                asked = await listings(zone, *reconcilers)
                assert asked[PATHS.statuses(S.CLAIMED)] >= 2 * len(PARTS)


# What is missed is seen by the next run


def put(zone: Zone, status: S, marked: Sequence[S], bounty_id: str = "bounty-late") -> None:
    """A bounty that is long past its deadline, as if somebody had just moved it there."""
    claimed = next(each for each in population.at_rest(100) if each.marked == (S.CLAIMED,))
    bounty = msgspec.structs.replace(
        claimed.bounty, bounty_id=bounty_id, status=status, deadline=population.PAST
    )
    for each in (S.OPEN, S.CLAIMED):
        if PATHS.marker(each, bounty_id) in zone.mock.files:
            zone.mock.core.table.remove(PATHS.marker(each, bounty_id))
    population.put(zone.mock, "z", replace(claimed, bounty=bounty, marked=tuple(marked)))


async def names(zone: Zone, status: S, part: Partition) -> list[str]:
    """What another range lists, and shares."""
    store = sharing_names(zone.operations.services.store, float("inf"))
    return [each async for each in store.walk_ids(status, partition=part)]


async def subjects(reconciler: Reconciler) -> list[str]:
    return [each.subject for each in (await reconciler.run_once()).findings]


async def test_what_is_claimed_between_two_listings_is_found_by_the_next_run() -> None:
    """The claimed ones were listed before it was claimed, the open ones afterwards."""
    async with known_zone("0.7.0") as zone:
        put(zone, S.OPEN, [S.OPEN])
        reconciler = zone.reconciler(
            sweeps=[PastDeadlines()], partition=PARTS[-1], names_age=NAMES_AGE, dry_run=True
        )
        assert "bounty-late" not in await names(zone, S.CLAIMED, PARTS[0])
        put(zone, S.CLAIMED, [S.CLAIMED])
        assert "bounty-late" not in await names(zone, S.OPEN, PARTS[0])
        assert await subjects(reconciler) == []
        assert await subjects(reconciler) == ["bounty-late"]


async def test_a_marker_that_went_after_it_was_listed_is_no_finding() -> None:
    """Such as that of a draft that a sweep before the audit has just taken back."""

    async def found(grace: timedelta) -> list[tuple[str, str]]:
        async with known_zone("0.7.0") as zone:
            await zone.add(population.stuck(18, first=9))
            report = await zone.reconciler(grace=grace).run_once()
        assert report.young == 0
        return [(each.sweep, each.subject) for each in report.findings]

    assert await found(timedelta(minutes=5)) == await found(timedelta())


async def test_a_sweep_says_how_many_requests_it_sent() -> None:
    """One that goes by what others have listed, and what it knows, sends none."""
    async with known_zone("0.7.0") as zone:
        first, *_, last = of_ranges(zone, names_age=NAMES_AGE)
        for each in (first, last, first):
            await each.run_once()
        await zone.client.flush()  # what is cleaned up later is no request of a sweep
        before = zone.mock.request_count
        report = await last.run_once()
        sent = {each.sweep: each.requests for each in report.sweeps}
    assert sum(sent.values()) == zone.mock.request_count - before
    assert sent["stuck drafts"] == 0
    assert sent["index markers"] > 0
