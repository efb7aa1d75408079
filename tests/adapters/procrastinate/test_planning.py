"""Whoever plans marks no range without deferring its job; what is lost is made good."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from nexus_bounty_procrastinate import jobs
from nexus_bounty_procrastinate.worker import RangeWorker
from tests.adapters.procrastinate.test_ranges import HOUR, NOW, ZONE, a_worker
from tests.reconcile.test_scale import a_zone

RANGES = 7
_DIVIDE = """
    INSERT INTO nexus_bounty_ranges (server, zone_id, lo, hi)
    SELECT %s, %s, CASE n WHEN 1 THEN '' ELSE 'b' || n END, 'b' || n + 1
    FROM generate_series(1, %s) AS n
"""
_MARKED = "SELECT count(*) FROM nexus_bounty_ranges WHERE deferred_until > now()"
_RUNS = "SELECT sum(runs) FROM nexus_bounty_ranges"
_WAITING = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"


async def number(url: str, query: str) -> int:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await (await connection.execute(query.encode())).fetchone()
        return int(found[0]) if found else 0


async def divide(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        gone = await connection.execute("DELETE FROM nexus_bounty_ranges RETURNING server")
        (server,) = await gone.fetchone() or ("",)
        await connection.execute(_DIVIDE, (server, ZONE, RANGES))


@asynccontextmanager
async def a_divided_zone(url: str, **how: Any) -> AsyncIterator[RangeWorker]:
    async with a_zone(0) as zone, a_worker(url, zone, **how) as worker:
        await divide(url)
        yield worker


async def stopped_in_the_middle(
    worker: RangeWorker, monkeypatch: pytest.MonkeyPatch
) -> asyncio.Task[None]:
    """Someone who plans, and is in the middle of it."""
    defer, reached = worker.jobs.defer, asyncio.Event()
    left = [None] * 2

    async def stopping(*what: Any) -> None:
        if not left:
            reached.set()
            await asyncio.Event().wait()
        left.pop()
        await defer(*what)

    monkeypatch.setattr(worker.jobs, "defer", stopping)
    planning = asyncio.create_task(worker.jobs.plan())
    await reached.wait()
    monkeypatch.setattr(worker.jobs, "defer", defer)
    return planning


@pytest.mark.parametrize("at_once", [1, 2, RANGES, 100])
async def test_all_that_is_due_is_planned_however_much_at_once(
    jobs_url: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By several at the same time, too: each range has one job."""
    monkeypatch.setattr(jobs, "AT_ONCE", at_once)
    async with a_divided_zone(jobs_url) as worker:
        await asyncio.gather(*(worker.jobs.plan() for _ in range(3)))
        assert await number(jobs_url, _WAITING) == RANGES
        assert await number(jobs_url, _MARKED) == RANGES


@pytest.mark.parametrize("at_once", [3, 100])
async def test_a_planner_that_is_stopped_leaves_no_range_without_a_job(
    jobs_url: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one defers them at once."""
    monkeypatch.setattr(jobs, "AT_ONCE", at_once)
    async with a_divided_zone(jobs_url) as worker:
        planning = await stopped_in_the_middle(worker, monkeypatch)
        planning.cancel()
        await asyncio.wait({planning})
        assert await number(jobs_url, _MARKED) == await number(jobs_url, _WAITING)
        await worker.jobs.plan()
        assert await number(jobs_url, _WAITING) == RANGES


async def test_a_planner_that_is_cut_off_bars_its_ranges_for_no_longer_than_it_is_awaited(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells the server that it is gone: the transaction ends of the silence."""
    async with a_divided_zone(jobs_url, dead_after=timedelta(seconds=1)) as worker:
        planning = await stopped_in_the_middle(worker, monkeypatch)
        await worker.jobs.plan()
        assert await number(jobs_url, _WAITING) == 0
        await asyncio.sleep(1.5)
        await worker.jobs.plan()
        assert await number(jobs_url, _WAITING) == RANGES
        planning.cancel()
        await asyncio.wait({planning})


async def test_a_range_whose_job_waits_already_takes_none_of_the_others_with_it(
    jobs_url: str,
) -> None:
    """Somebody deferred it and did not mark it, such as an earlier release."""
    async with a_divided_zone(jobs_url) as worker:
        await worker.jobs.defer(ZONE, "b3")
        await worker.jobs.plan()
        assert await number(jobs_url, _WAITING) == RANGES
        assert await number(jobs_url, _MARKED) == RANGES


async def test_a_range_whose_job_is_lost_is_due_again(jobs_url: str) -> None:
    """It failed, and nobody could write down why; those that have a job are left to it."""
    async with a_divided_zone(jobs_url) as worker:
        await worker.jobs.plan()
        async with await psycopg.AsyncConnection.connect(jobs_url, autocommit=True) as connection:
            await connection.execute("DELETE FROM procrastinate_jobs WHERE args->>'lo' = 'b3'")
        await worker.jobs.retry_abandoned()
        assert await worker.jobs.ranges.due([ZONE], again_after=HOUR) == [(ZONE, "b3")]


async def test_a_job_that_is_taken_again_is_due_whatever_the_clock_of_its_worker_says(
    jobs_url: str,
) -> None:
    """By one that is ahead it would be due then, and its range with it."""
    async with a_zone(0) as zone, a_worker(jobs_url, zone, dead_after=NOW) as worker:
        manager = worker.jobs.app.job_manager
        await worker.jobs.defer(ZONE, "")
        dead = await manager.register_worker()
        assert await manager.fetch_job(queues=None, worker_id=dead) is not None
        await worker.jobs.retry_abandoned()
        (job,) = await manager.list_jobs_async()
        assert job.scheduled_at is not None
        assert job.scheduled_at < datetime.now(UTC) - timedelta(days=365)


@pytest.mark.parametrize("column", ["due_at", "split_at"])
async def test_a_range_waits_for_no_time_that_a_wrong_clock_of_the_database_named(
    jobs_url: str, column: str
) -> None:
    """It is due, and may have grown; what is a day ahead, another worker may have meant."""
    async with a_divided_zone(jobs_url) as worker:
        for ahead, is_due in (("30 days", True), ("20 hours", column == "split_at")):
            change = f"UPDATE nexus_bounty_ranges SET {column} = now() + interval '{ahead}'"
            async with await psycopg.AsyncConnection.connect(jobs_url, autocommit=True) as link:
                await link.execute(change.encode())
            found = await worker.jobs.ranges.get(ZONE, "b3", split_every=HOUR)
            assert (found is not None and found.may_have_grown) is is_due
            planned = await worker.jobs.ranges.due([ZONE], again_after=NOW)
            assert len(planned) == (RANGES if is_due else 0)


async def test_what_is_with_a_job_for_longer_than_can_be_is_due(jobs_url: str) -> None:
    """A wrong clock of the database put it off; what may be so is not told to another."""
    async with a_divided_zone(jobs_url) as worker:
        for ahead, is_due in (("59 minutes", False), ("30 days", True)):
            await change(
                jobs_url,
                f"UPDATE nexus_bounty_ranges SET deferred_until = now() + interval '{ahead}'",
            )
            planned = await worker.jobs.ranges.due([ZONE], again_after=HOUR)
            assert len(planned) == (RANGES if is_due else 0)
        assert await number(jobs_url, _MARKED) == RANGES
        assert await worker.jobs.ranges.due([ZONE], again_after=HOUR) == []


async def test_a_worker_that_died_in_the_future_leaves_its_ranges_to_others(jobs_url: str) -> None:
    """The clock of the database was ahead when it was heard of last, and was set back since."""
    soon = timedelta(milliseconds=200)
    async with a_zone(0) as zone, a_worker(jobs_url, zone, dead_after=soon) as worker:
        manager = worker.jobs.app.job_manager
        await worker.jobs.plan()
        dead, alive = [await manager.register_worker() for _ in range(2)]
        assert await manager.fetch_job(queues=None, worker_id=dead) is not None
        ahead = "UPDATE procrastinate_workers SET last_heartbeat = now() + interval '30 days'"
        await change(jobs_url, ahead)
        await worker.jobs.tick()
        assert await manager.fetch_job(queues=None, worker_id=alive) is None
        await asyncio.sleep(0.3)
        await worker.jobs.tick()
        assert await manager.fetch_job(queues=None, worker_id=alive) is not None


async def test_a_look_that_fails_in_whatever_way_is_not_the_last(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose planner has ended would go on, and nothing be planned by it any more."""
    monkeypatch.setattr(jobs, "TICK", timedelta(milliseconds=10))
    async with a_divided_zone(jobs_url) as worker:
        tick, failed = worker.jobs.tick, list[str]()

        async def fails_at_first() -> None:
            if not failed:
                failed.append("it did")
                raise RuntimeError("nobody thought of it")
            await tick()

        monkeypatch.setattr(worker.jobs, "tick", fails_at_first)
        ticking = asyncio.create_task(worker.jobs.tick_forever())
        try:
            async with asyncio.timeout(10):
                while await number(jobs_url, _WAITING) < RANGES:
                    assert not ticking.done(), ticking.exception()
                    await asyncio.sleep(0.02)
        finally:
            ticking.cancel()
            await asyncio.wait({ticking})
        assert failed


async def change(url: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(statement.encode())


async def test_of_workers_that_tick_at_once_one_does(jobs_url: str) -> None:
    """What one of them has taken from a dead worker no other takes from who has it then."""
    async with a_divided_zone(jobs_url) as worker, a_zone(0) as zone:
        async with (
            a_worker(jobs_url, zone) as other,
            other.jobs.ranges.alone([ZONE], HOUR) as alone_in,
        ):
            assert alone_in == [ZONE]
            await worker.jobs.tick()
            assert await number(jobs_url, _WAITING) == 0
        await worker.jobs.tick()
        assert await number(jobs_url, _WAITING) == RANGES


async def test_a_worker_plans_whatever_its_clock_does(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set a month ahead, and back: it neither does what it missed, nor waits for that month."""
    monkeypatch.setattr(jobs, "TICK", timedelta(milliseconds=50))
    async with a_divided_zone(jobs_url) as worker:
        right = time.time
        running = asyncio.create_task(worker.run())
        for ahead in (0, 30 * 86_400, 0):
            monkeypatch.setattr(time, "time", lambda ahead=ahead: right() + ahead)
            before = await number(jobs_url, _RUNS)
            await change(jobs_url, "UPDATE nexus_bounty_ranges SET due_at = now()")
            async with asyncio.timeout(20):
                while await number(jobs_url, _RUNS) <= before:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.wait({running})
