"""A run that looks at a part of the history costs what is alive, however much has ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from benchmarks.harness import population
from nexus_bounty import BountyStatus, NexusBountyStore
from nexus_bounty.reconcile import Reconciler
from nexus_bounty.reconcile.reservations import OrphanReservations
from nexus_bounty.reconcile.rewards import MissingRewards
from nexus_bounty.testing import ManualClock
from tests.reconcile.test_scale import PAGE, PATHS, Zone, a_zone

ALIVE = 30


def ended(number: int, first: int) -> list[population.Record]:
    """Bounties that have ended in each way, as many of each in every ninety."""
    records = population.at_rest(2 * (first + number))
    return [each for each in records if each.escrow != "held"][first : first + number]


def alive(number: int) -> list[population.Record]:
    records = population.at_rest(20 * number)
    return [each for each in records if each.escrow == "held"][:number]


async def warm_run_of(zone: Zone, reconciler: Reconciler) -> Counter[str]:
    for _ in range(2):
        await zone.requests(reconciler, PAGE)
    return await zone.requests(reconciler, PAGE)


async def test_a_warm_run_costs_the_same_however_many_bounties_have_ended() -> None:
    """Eight times as many that are settled, cancelled and expired: not one request more."""
    costs = []
    async with a_zone(0) as zone:
        await zone.add(alive(ALIVE))
        reconciler, so_far = zone.reconciler(), 0
        for number in (200, 1600):
            await zone.add(ended(number - so_far, first=so_far))
            so_far = number
            costs.append(await warm_run_of(zone, reconciler))
        assert (await zone.reconciler().run_once()).found == 0
    few, many = costs
    assert many == few
    assert many.total() < 50


async def test_settled_bounties_that_are_known_count_as_looked_at() -> None:
    """Their names cost pages of a listing: a run passes over no more than its part of them."""
    async with a_zone(600) as zone:
        reconciler = zone.reconciler(sweeps=[MissingRewards()])
        await zone.requests(reconciler, None)
        assert (await zone.requests(reconciler, PAGE))["list"] <= 3
        assert reconciler.cursor["missing rewards"]


async def orphaned(zone: Zone, *, markers: tuple[BountyStatus, ...]) -> str:
    """End the first open bounty under its reconciler's feet, leaving its credits held."""
    store = zone.operations.services.store
    bounty_id = [each async for each in store.walk_ids(BountyStatus.OPEN)][-1]
    await store.cancel_bounty(bounty_id)
    await zone.client.cleanup.flush()
    for status in markers:
        zone.mock.core.table.write(PATHS.marker(status, bounty_id), b"")
    return f"escrow-{bounty_id}"


async def test_what_ends_is_found_by_the_next_run_though_nothing_that_ended_is_walked() -> None:
    """It has no marker of a status any more in which it needs its credits."""
    async with a_zone(0) as zone:
        await zone.add(alive(3 * ALIVE))
        run = zone.reconciler(page=4, sweeps=[OrphanReservations()], grace=timedelta(0))
        await run.run_once(history=PAGE)
        subject = await orphaned(zone, markers=())
        zone.mock.reset_counts()
        report = await run.run_once(history=PAGE)
        listed = [each.path or "" for each in zone.mock.requests if each.method == "list"]
    assert [each.subject for each in report.findings] == [subject]
    assert not [path for path in listed if path.endswith(("settled", "expired", "cancelled"))]


async def test_what_ended_in_a_process_that_died_before_it_removed_the_marker_is_found() -> None:
    """The old marker speaks for it, so each run also looks at the oldest page again."""
    async with a_zone(0) as zone:
        await zone.add(alive(ALIVE))
        run = zone.reconciler(page=4, sweeps=[OrphanReservations()], grace=timedelta(0))
        await run.run_once(history=PAGE)
        subject = await orphaned(zone, markers=(BountyStatus.OPEN,))
        found = []
        for _ in range(ALIVE // 4 + 1):
            report = await run.run_once(history=PAGE)
            found += [each.subject for each in report.findings]
        assert found == [subject]


async def test_a_whole_run_finds_it_at_once() -> None:
    """It goes through what has ended."""
    async with a_zone(0) as zone:
        await zone.add(alive(ALIVE))
        run = zone.reconciler(page=4, sweeps=[OrphanReservations()], grace=timedelta(0))
        await run.run_once()
        subject = await orphaned(zone, markers=(BountyStatus.OPEN,))
        report = await run.run_once()
    assert [each.subject for each in report.findings] == [subject]


async def test_leftovers_of_the_zone_are_looked_for_once_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not by every run: they are as many as there were commits lately."""
    clock, looked = ManualClock(), []

    async def collect(_store: NexusBountyStore) -> list[str]:
        looked.append(clock.now)
        return []

    monkeypatch.setattr(NexusBountyStore, "collect_leftovers", collect)
    async with a_zone(0) as zone:
        run = zone.reconciler(sweeps=[])
        run._services = replace(run._services, clock=clock)
        for minutes, times in [(0, 1), (1, 1), (58, 1), (1, 2), (1, 2)]:
            clock.advance(timedelta(minutes=minutes))
            await run.run_once(history=PAGE)
            assert len(looked) == times
        await run.run_once()
        assert len(looked) == 3
