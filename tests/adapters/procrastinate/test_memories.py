"""What is remembered of a range outlives its worker, and misleads nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from nexus_bounty import Reconciler
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.partition import encode_segment
from nexus_bounty.ports import KeepsNotes
from nexus_bounty_procrastinate.ranges import Range
from nexus_bounty_procrastinate.reconcilers import Reconcilers
from nexus_bounty_procrastinate.worker import RangeWorker
from tests.adapters.procrastinate.test_ranges import ZONE, a_worker, table
from tests.reconcile.past import (
    ENDED,
    LEFTOVERS,
    NOTES,
    a_zone_with_a_past,
    has_reward,
    lose_a_reward,
)
from tests.reconcile.test_closed_days import ended, lacking_a_reward
from tests.reconcile.test_scale import Zone, a_zone

A_NEW_NOTE = 1


def restart(worker: RangeWorker, zone: Zone) -> None:
    """Forget what the process knows, as a new one does, or another worker."""
    worker._reconcilers = Reconcilers({ZONE: zone.operations}, timedelta(minutes=5))


async def requests(worker: RangeWorker, zone: Zone, lo: str = "") -> int:
    """How many a run through a range takes, which goes well, leftovers aside."""
    before = len(zone.mock.requests)
    await worker.go_through(ZONE, lo)
    assert all(not failures for *_, failures in await table(worker._conninfo))
    return sum(not (each.path or "").endswith(LEFTOVERS) for each in zone.mock.requests[before:])


async def warm(worker: RangeWorker, zone: Zone) -> int:
    """The requests of a run when the same worker has gone through everything before."""
    for _ in range(3):
        await requests(worker, zone)
    return await requests(worker, zone)


def change(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def column(url: str, name: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        query = f"SELECT {name} FROM nexus_bounty_ranges ORDER BY lo"
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


async def test_a_worker_that_restarts_is_warm(jobs_url: str) -> None:
    """As is one that gets the range of another; without what is kept with it, it is cold."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        cold = await requests(worker, zone)
        usual = await warm(worker, zone)
        restart(worker, zone)
        assert await requests(worker, zone) <= usual
        restart(worker, zone)
        change(jobs_url, "UPDATE nexus_bounty_ranges SET memory = NULL")
        assert await requests(worker, zone) > 2 * usual
        assert cold > 2 * usual


async def test_both_parts_of_a_range_that_is_split_are_warm(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of all of it is known of each."""
    monkeypatch.setattr("nexus_bounty_procrastinate.worker.SPLIT_EVERY", timedelta())
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        usual = await warm(worker, zone)
        found = await worker.jobs.ranges.get(ZONE, "", split_every=timedelta())
        assert found is not None
        at = "bounty-000300"
        memory = await worker._reconcilers.remembered_after(found, at)
        await worker.jobs.ranges.split(found, at, memory)
        restart(worker, zone)
        for lo in ("", at):
            assert await requests(worker, zone, lo) <= usual + A_NEW_NOTE


@pytest.mark.thorough
async def test_workers_that_take_turns_end_a_walk_between_them(jobs_url: str) -> None:
    """Each goes on with what the other has seen, though no run of either sees all."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone, history=40) as worker:
        for _ in range(ENDED // 10):
            await requests(worker, zone)
            restart(worker, zone)
        (memory,) = column(jobs_url, "memory")
        assert set(memory["sweeps"]) == {"missing rewards", "index markers"}
        assert all("since" in each for each in memory["sweeps"].values())


@pytest.mark.thorough
async def test_what_was_left_by_one_worker_is_looked_at_by_the_next(jobs_url: str) -> None:
    """Its day is not closed by a walk that somebody else ends."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone, history=40) as worker:
        lost = lose_a_reward(zone, which=-1)  # of the first day that is gone through
        refused = RequestMatch(path="*reward*", predicate=lambda each: "write" in each.method)
        zone.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=refused, times=None, status=403))
        for _ in range(ENDED // 10):
            await requests(worker, zone)
            restart(worker, zone)
        zone.mock.clear_faults()
        for _ in range(ENDED // 10):
            await requests(worker, zone)
        assert has_reward(zone, lost)


async def test_a_range_that_another_worker_splits_meanwhile_is_looked_at_to_its_end(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both want to split it, at different ids: what neither has gone through, neither remembers."""
    monkeypatch.setattr("nexus_bounty_procrastinate.worker.SPLIT_EVERY", timedelta())
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        settled = [each.bounty.bounty_id for each in ended(ENDED) if each.rewarded]
        early, lost, late = sorted(settled)[10:40:10]
        cut = worker._cut

        async def overtaken(found: Range) -> tuple[str, None]:
            monkeypatch.setattr(worker, "_cut", cut)
            await worker.jobs.ranges.split(found, late)
            return early, None

        await warm(worker, zone)  # it has learnt that the zone is laid out by days
        change(jobs_url, "UPDATE nexus_bounty_ranges SET memory = NULL, cursor = '{}'")
        restart(worker, zone)
        lose_a_reward(zone, settled.index(lost))
        monkeypatch.setattr(worker, "_cut", overtaken)
        for _ in range(4):
            await requests(worker, zone)
        assert [row[:2] for row in await table(jobs_url)] == [("", late), (late, None)]
        assert has_reward(zone, lost)


# What is remembered may not be so


async def test_in_a_zone_that_was_restored_everything_is_looked_at(jobs_url: str) -> None:
    """What was repaired since the backup is repaired again, by a new worker and by an old one."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        lost = lose_a_reward(zone)
        backup = zone.mock.core.table.copy()
        await warm(worker, zone)
        assert has_reward(zone, lost)
        for begin in (restart, lambda *_: None):
            zone.mock.core.table.restore(backup)
            assert not has_reward(zone, lost)
            begin(worker, zone)
            await requests(worker, zone)
            assert has_reward(zone, lost)


async def test_an_old_worker_sees_that_another_began_anew(jobs_url: str) -> None:
    """What it knew itself of the zone before the restore it forgets, too."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        lost = await lacking_a_reward(zone, datetime.now(UTC) - timedelta(hours=23))
        backup = zone.mock.core.table.copy()
        await warm(worker, zone)
        old = worker._reconcilers
        zone.mock.core.table.restore(backup)
        refused = RequestMatch(path="*reward*", predicate=lambda each: "write" in each.method)
        zone.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=refused, times=None, status=403))
        restart(worker, zone)
        await requests(worker, zone)
        zone.mock.clear_faults()
        worker._reconcilers = old
        await requests(worker, zone)
        assert has_reward(zone, lost)


async def test_a_database_that_was_restored_is_not_believed(jobs_url: str) -> None:
    """Its token is an earlier one: it may be of a time when another zone stood there."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        usual = await warm(worker, zone)
        (before,) = column(jobs_url, "memory::text")
        change(jobs_url, "UPDATE nexus_bounty_ranges SET memory = NULL")
        await requests(worker, zone)
        change(jobs_url, f"UPDATE nexus_bounty_ranges SET memory = '{before}'")
        restart(worker, zone)
        lost = lose_a_reward(zone)
        assert await requests(worker, zone) > 2 * usual
        assert has_reward(zone, lost)


@pytest.mark.parametrize("memory", ["{}", "[1]", '{"token": 1, "sweeps": {}}'])
async def test_what_is_no_memory_is_none(jobs_url: str, memory: str) -> None:
    """Such as what another release has put there."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        await warm(worker, zone)
        restart(worker, zone)
        change(jobs_url, f"UPDATE nexus_bounty_ranges SET memory = '{memory}'")
        lost = lose_a_reward(zone)
        await requests(worker, zone)
        assert has_reward(zone, lost)


async def test_while_the_note_cannot_be_read_nothing_is_believed_and_nothing_lost(
    jobs_url: str,
) -> None:
    """The run goes by nothing, and the next one by what was remembered before."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        usual = await warm(worker, zone)
        restart(worker, zone)
        note = RequestMatch(path=f"{NOTES}*")
        zone.mock.inject(Fault(FaultKind.STATUS_BEFORE, match=note, times=None, status=403))
        lost = lose_a_reward(zone)
        await requests(worker, zone)
        assert has_reward(zone, lost)
        zone.mock.clear_faults()
        assert await requests(worker, zone) <= usual + A_NEW_NOTE


async def test_what_another_program_did_on_a_day_that_is_over_is_found_by_who_remembers_nothing(
    jobs_url: str,
) -> None:
    """That is each `nexus-bounty reconcile`; a missing marker the look at all documents finds."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        await warm(worker, zone)
        restart(worker, zone)
        lost = lose_a_reward(zone)
        await requests(worker, zone)
        assert not has_reward(zone, lost)
        report = await Reconciler(zone.operations).run_once()
        assert [each.subject for each in report.findings] == [lost]
        assert (await zone.credits.verify()).ok


async def test_a_flat_zone_has_no_note(jobs_url: str) -> None:
    """Nothing of what ended there is spared, and nothing of ours is written for it."""
    async with a_zone(60) as zone, a_worker(jobs_url, zone) as worker:
        await warm(worker, zone)
        assert not [path for path in zone.mock.files if path.startswith(NOTES)]
        assert column(jobs_url, "memory") == [None]


async def test_a_note_of_a_range_is_named_after_where_it_begins() -> None:
    """Whatever its ids are made of."""
    async with a_zone(0) as zone:
        store = zone.operations.services.store
        assert isinstance(store, KeepsNotes)
        await store.leave_note("reconciled after a/b%", "x")
        assert f"{NOTES}{encode_segment('reconciled after a/b%')}" in zone.mock.files
        assert await store.find_note("reconciled after a/b%") == "x"
        assert await store.find_note("reconciled after a") is None


async def test_what_a_worker_has_seen_whose_clock_was_ahead_misleads_no_other(
    jobs_url: str,
) -> None:
    """It took days for closed that are still open, or to come."""
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:
        services = zone.operations.services
        zone.operations.services = replace(
            services, clock=lambda: datetime.now(UTC) + timedelta(days=30)
        )
        await warm(worker, zone)
        zone.operations.services = services
        restart(worker, zone)
        lost = lose_a_reward(zone)
        for _ in range(3):
            await requests(worker, zone)
        assert has_reward(zone, lost)


@pytest.mark.parametrize("days", [2, 30])
async def test_what_ended_while_a_workers_clock_was_ahead_is_found_once_that_time_has_come(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """The server's clock was right: no day was closed that it had not come to."""
    no_minute = timedelta()  # has passed in this test, in which days have
    monkeypatch.setattr("nexus_bounty_procrastinate.reconcilers.NAMES_AGE", no_minute)
    async with a_zone_with_a_past() as zone, a_worker(jobs_url, zone) as worker:

        def let_it_be(ours: timedelta, theirs: timedelta) -> None:
            zone.operations.services = replace(
                zone.operations.services, clock=lambda: datetime.now(UTC) + ours
            )
            zone.mock.date = lambda: datetime.now(UTC) + theirs
            restart(worker, zone)

        let_it_be(timedelta(days=days), timedelta())
        await warm(worker, zone)
        lost = await lacking_a_reward(zone, datetime.now(UTC) - timedelta(hours=1))
        later = timedelta(days=days + 2)
        let_it_be(later, later)
        for _ in range(3):
            await requests(worker, zone)
        assert has_reward(zone, lost)
