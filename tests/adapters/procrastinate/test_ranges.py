"""Ranges: each is with one worker at a time, split when it holds too much, and waits its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import psycopg
import pytest

from benchmarks.harness import population
from nexus_bounty import BountyStatus, events
from nexus_bounty.events import RangeEnded, SweepEnded
from nexus_bounty.lifecycle import is_bounty_terminal
from nexus_bounty.mock import Fault, FaultKind, RequestMatch
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.reconcile import ReconcileReport, SweepReport
from nexus_bounty_procrastinate.ranges import Range
from nexus_bounty_procrastinate.schema import prepare
from nexus_bounty_procrastinate.worker import RangeWorker
from tests.reconcile.test_scale import Zone, a_zone
from tests.support.clients import LongestPause

ZONE, HOUR, NOW = "z", timedelta(hours=1), timedelta()
_SUMS = """
    SELECT count(succeeded_at), max(failed_in_a_row), sum(found), sum(repaired)
    FROM nexus_bounty_ranges
"""


@asynccontextmanager
async def a_worker(url: str, zone: Zone, **how: Any) -> AsyncIterator[RangeWorker]:
    """A worker on the zone that has begun, and does a job only when it is told to."""
    await prepare(url)
    worker = RangeWorker(url, {ZONE: zone.operations}, **{"every": NOW, **how})
    async with worker.jobs.app.open_async():
        await worker.jobs.ranges.begin([ZONE])
        yield worker


async def due(worker: RangeWorker) -> list[str]:
    found = await worker.jobs.ranges.due([ZONE], again_after=HOUR)
    return sorted(lo for _, lo in found)


async def table(url: str) -> list[tuple[str, str | None, int, int]]:
    """Beginning, end, runs and failures in a row of each range, in their order."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute(
            "SELECT lo, hi, runs, failed_in_a_row FROM nexus_bounty_ranges ORDER BY lo"
        )
        return await found.fetchall()


async def go_through_all(worker: RangeWorker, url: str) -> None:
    """Do what is due, and what that makes due, until every range has been gone through."""
    await worker.jobs.plan()
    for _ in range(20):
        await worker.jobs.app.run_worker_async(
            wait=False, install_signal_handlers=False, listen_notify=False, delete_jobs="always"
        )
        if all(runs for _, _, runs, _ in await table(url)):
            return
    raise AssertionError("it never ends")


async def names_in(zone: Zone, partition: Partition) -> int:
    store = zone.operations.services.store
    ids = [
        [each async for each in store.walk_ids(status, partition=partition)]
        for status in BountyStatus
        if not is_bounty_terminal(status)
    ]
    return max(map(len, ids))


async def test_a_zone_is_divided_by_what_a_page_holds(jobs_url: str) -> None:
    """The ranges meet, hold a page of each status at most, and what is stuck is found once."""
    async with a_zone(400, 9) as zone, a_worker(jobs_url, zone, page=8) as worker:
        await go_through_all(worker, jobs_url)
        found = await table(jobs_url)
        assert [hi for _, hi, _, _ in found[:-1]] == [lo for lo, _, _, _ in found[1:]]
        assert (found[0][0], found[-1][1]) == ("", None)
        held = [await names_in(zone, Partition(lo, hi)) for lo, hi, _, _ in found]
        assert max(held) == 8
        assert len(found) == 5
        with psycopg.connect(jobs_url) as connection:
            sums = connection.execute(_SUMS).fetchone()
        assert sums == (len(found), 0, 9, 9)
        assert (await zone.reconciler(dry_run=True).run_once()).found == 0


async def test_a_range_that_grew_is_split_when_it_is_time_to_look(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it costs no request to know that it holds little."""
    async with a_zone(20) as zone, a_worker(jobs_url, zone, page=15) as worker:
        await go_through_all(worker, jobs_url)
        await zone.add([each for each in population.at_rest(200) if each.escrow == "held"])
        await worker.go_through(ZONE, "")
        assert len(await table(jobs_url)) == 1
        monkeypatch.setattr("nexus_bounty_procrastinate.worker.SPLIT_EVERY", NOW)
        await worker.go_through(ZONE, "")
        assert len(await table(jobs_url)) == 2


async def test_each_range_that_is_due_is_told_to_one_caller(jobs_url: str) -> None:
    """Whoever plans at the same time gets the others; one that nobody returns is due again."""
    async with a_zone(10) as zone, a_worker(jobs_url, zone) as worker:
        ranges = worker.jobs.ranges
        told = await asyncio.gather(*(due(worker) for _ in range(4)))
        assert sorted(told) == [[], [], [], [""]]
        assert await due(worker) == []
        found = await ranges.get(ZONE, "", split_every=HOUR)
        assert found is not None
        assert found.partition == EVERYTHING
        await ranges.give_back(found)
        assert await ranges.due([ZONE], again_after=NOW) == [(ZONE, "")]
        assert await due(worker) == [""]


async def test_two_jobs_that_split_the_same_range_make_one_cut(jobs_url: str) -> None:
    """Of two workers that both believe to have it, the later one changes nothing."""
    async with a_zone(0) as zone, a_worker(jobs_url, zone) as worker:
        ranges = worker.jobs.ranges
        found = await ranges.get(ZONE, "", split_every=HOUR)
        assert found is not None
        assert await ranges.split(found, "b-2") is not None
        assert await ranges.split(found, "b-1") is None
        assert [row[:2] for row in await table(jobs_url)] == [("", "b-2"), ("b-2", None)]


async def test_one_job_waits_for_a_range_however_often_it_is_deferred(jobs_url: str) -> None:
    """A planner that was slow and one that was quick ask for the same."""
    async with a_zone(0) as zone, a_worker(jobs_url, zone) as worker:
        for _ in range(3):
            await worker.jobs.defer(ZONE, "")
        waiting = await worker.jobs.app.job_manager.list_jobs_async(status="todo")
        assert len(list(waiting)) == 1


async def test_a_job_that_was_abandoned_ends_if_another_waits_for_its_range(jobs_url: str) -> None:
    """Else nobody would ever go through the range again: one at a time does."""
    async with a_zone(0) as zone, a_worker(jobs_url, zone, dead_after=NOW) as worker:
        manager = worker.jobs.app.job_manager
        await worker.jobs.defer(ZONE, "")
        dead = await manager.register_worker()
        abandoned = await manager.fetch_job(queues=None, worker_id=dead)
        assert abandoned is not None
        await worker.jobs.defer(ZONE, "")
        await worker.jobs.retry_abandoned()
        (left,) = await manager.list_jobs_async()
        assert left.id != abandoned.id
        assert await manager.fetch_job(queues=None, worker_id=dead) is not None


@pytest.mark.parametrize("personality", ["0.7.0", "0.10-hypothetical"])
async def test_while_nexus_is_down_its_zone_waits_longer_each_time(
    jobs_url: str, personality: str
) -> None:
    """The ranges of the zone that come next send nothing; it goes on once the server is up."""
    second = timedelta(seconds=1)
    async with (
        a_zone(60, personality=personality) as zone,
        a_worker(jobs_url, zone, page=2, every=second) as worker,
    ):
        worker._back_off = replace(worker._back_off, random=LongestPause())
        await go_through_all(worker, jobs_url)
        zone.mock.inject(Fault(FaultKind.REFUSE, times=None))
        await asyncio.sleep(1.1)
        first, *others = await due(worker)
        await worker.go_through(ZONE, first)
        zone.mock.reset_counts()
        for lo in others:
            await worker.go_through(ZONE, lo)
        assert zone.mock.request_count == 0
        assert {failures for *_, failures in await table(jobs_url)} == {0, 1}
        assert await due(worker) == []
        closed_for = worker._closed_until[ZONE] - asyncio.get_running_loop().time()
        assert closed_for > 1
        zone.mock.clear_faults()
        worker._closed_until[ZONE] = 0
        async with await psycopg.AsyncConnection.connect(jobs_url) as connection:
            await connection.execute("UPDATE nexus_bounty_ranges SET due_at = now()")
        await worker.go_through(ZONE, first)
        assert [row[3] for row in await table(jobs_url) if row[0] == first] == [0]
        assert ZONE not in worker._closed_until


async def test_a_range_that_knows_nearly_all_that_it_needs_sees_that_nexus_is_down(
    jobs_url: str,
) -> None:
    """Most of its sweeps go well by what another range has listed; they have asked for nothing."""
    async with a_zone(200, personality="0.7.0") as zone, a_worker(jobs_url, zone) as worker:
        found = await worker.jobs.ranges.get(ZONE, "", split_every=HOUR)
        assert found is not None
        await worker.jobs.ranges.split(found, "bounty-000100")
        for lo in ("", "bounty-000100", ""):
            await worker.go_through(ZONE, lo)
        zone.mock.inject(Fault(FaultKind.REFUSE, times=None))
        ended: list[events.Event] = []
        with events.register(events.only(ended.append, SweepEnded)):
            await worker.go_through(ZONE, "bounty-000100")
        failed = [each for each in ended if isinstance(each, SweepEnded) and each.error]
        assert 0 < 2 * len(failed) < len(ended)
        assert ZONE in worker._closed_until


def a_range(failed_in_a_row: int = 0) -> Range:
    return Range(
        zone_id=ZONE,
        partition=EVERYTHING,
        cursor={},
        memory=None,
        failed_in_a_row=failed_in_a_row,
        may_have_grown=False,
    )


def a_run(**of_its_sweep: Any) -> ReconcileReport:
    at, sweep = population.PAST, SweepReport(sweep="stuck drafts", **of_its_sweep)
    return ReconcileReport(started_at=at, finished_at=at, dry_run=False, sweeps=[sweep])


def test_a_run_that_asked_for_nothing_does_not_say_that_nexus_is_up() -> None:
    """Another range may have seen meanwhile that it is down."""
    worker = RangeWorker("postgresql://nowhere", {})
    for requests, is_closed in ((0, True), (1, False)):
        worker._closed_until[ZONE] = 1.0
        worker._pause(a_range(), a_run(requests=requests))
        assert (ZONE in worker._closed_until) is is_closed


def test_a_pause_has_jitter_up_to_twice_as_long_with_each_failure_up_to_a_bound() -> None:
    """Never shorter than how often a range is gone through."""
    worker = RangeWorker("postgresql://nowhere", {}, every=timedelta(minutes=1))
    worker._back_off = replace(worker._back_off, random=Random(11))
    for failures, longest in enumerate((120, 240, 480, 900, 900, 900)):
        found, run = a_range(failures), a_run(error="NexusError: gone")
        pauses = {worker._pause(found, run).total_seconds() for _ in range(50)}
        assert len(pauses) > 20
        assert 60 <= min(pauses) < longest * 0.6
        assert longest * 0.9 < max(pauses) <= longest


async def until_delayed(zone: Zone) -> None:
    while not any(each.fault for each in zone.mock.requests):  # noqa: ASYNC110 - the mock's list
        await asyncio.sleep(0.01)


async def test_a_run_that_is_cut_short_is_gone_on_with_from_where_it_got(jobs_url: str) -> None:
    """By whoever takes the range next, at once."""
    async with a_zone(300) as zone, a_worker(jobs_url, zone, history=2000) as worker:
        (lo,) = await due(worker)
        the_audit = RequestMatch(method="list", path="*/status/draft", nth=3)
        zone.mock.inject(Fault(FaultKind.DELAY, match=the_audit, seconds=60))
        job = asyncio.ensure_future(worker.go_through(ZONE, lo))
        async with asyncio.timeout(10):
            await until_delayed(zone)
        job.cancel()
        await asyncio.wait({job})
        assert job.cancelled()
        assert await due(worker) == [lo]
        found = await worker.jobs.ranges.get(ZONE, lo, split_every=HOUR)
        assert found is not None
        assert found.cursor["missing rewards"] is None


async def test_what_is_found_and_how_far_the_ranges_are_is_told(jobs_url: str) -> None:
    """On the stream of events, with what the sweeps tell."""
    told: list[events.Event] = []
    async with a_zone(10, 9) as zone, a_worker(jobs_url, zone) as worker:
        with events.register(told.append):
            await worker.go_through(ZONE, "")
    (ended,) = [each for each in told if isinstance(each, RangeEnded)]
    assert (ended.zone_id, ended.lo, ended.hi) == (ZONE, "", None)
    assert ended.server == zone.operations.services.place.server != ""
    assert (ended.found, ended.repaired, ended.error) == (9, 9, None)
    repaired = [each for each in told if isinstance(each, events.ProblemRepaired)]
    assert len(repaired) == 9
    assert worker.health == {"ranges": 1, "found": 9, "repaired": 9, "failed": 0}


async def test_a_worker_that_is_stopped_begins_nothing_and_gives_back(jobs_url: str) -> None:
    """The range is there for another one at once."""
    async with a_zone(10) as zone, a_worker(jobs_url, zone) as worker:
        (lo,) = await due(worker)
        async with worker.at_rest():
            await worker.go_through(ZONE, lo)
            assert zone.mock.request_count == 0
        assert await due(worker) == [lo]


async def test_several_processes_that_start_at_once_make_the_tables_once(
    empty_postgres_url: str,
) -> None:
    """And those that come later find them."""
    await asyncio.gather(*(prepare(empty_postgres_url) for _ in range(4)))
    await prepare(empty_postgres_url)
