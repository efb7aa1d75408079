"""A range that fails before its run begins has failed, too; its zone waits if Nexus is down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from nexus_bounty import events
from nexus_bounty.events import RangeEnded
from nexus_bounty.mock import Fault, FaultKind
from nexus_bounty_procrastinate import reconcilers
from nexus_bounty_procrastinate.worker import RangeWorker
from tests.adapters.procrastinate.test_planning import divide
from tests.adapters.procrastinate.test_ranges import HOUR, ZONE, a_worker, due
from tests.reconcile.test_scale import Zone, a_zone
from tests.support.clients import LongestPause

EVERY = timedelta(seconds=10)


@asynccontextmanager
async def where_nexus_is_down(url: str) -> AsyncIterator[tuple[Zone, RangeWorker]]:
    """Ranges of which nobody has seen how much they hold, and a worker that has just begun."""
    async with a_zone(0) as zone, a_worker(url, zone, every=EVERY) as worker:
        worker._back_off = replace(worker._back_off, random=LongestPause())
        await divide(url)
        zone.mock.inject(Fault(FaultKind.REFUSE, times=None))
        yield zone, worker


def rows(url: str, what: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        query = f"SELECT {what} FROM nexus_bounty_ranges ORDER BY lo"
        return [row[0] for row in connection.execute(query.encode()).fetchall()]


async def wait_until_all_are_due(url: str, worker: RangeWorker) -> None:
    """As if the zone had waited its time."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "UPDATE nexus_bounty_ranges SET due_at = now(), deferred_until = now()"
        )
    worker._closed_until[ZONE] = 0


async def test_a_range_whose_size_cannot_be_seen_has_failed(jobs_url: str) -> None:
    """Its row says why, and so does the stream of events; the others send nothing meanwhile."""
    told: list[events.Event] = []
    async with where_nexus_is_down(jobs_url) as (zone, worker):
        first, *others = await due(worker)
        with events.register(events.only(told.append, RangeEnded)):
            await worker.go_through(ZONE, first)
        zone.mock.reset_counts()
        for lo in others:
            await worker.go_through(ZONE, lo)
        assert zone.mock.request_count == 0
        assert await due(worker) == []
    (ended,) = [each for each in told if isinstance(each, RangeEnded)]
    assert ended.error == "NexusError: never_sent: no connection"  # without a server's words
    (why,) = [each for each in rows(jobs_url, "error") if each]
    assert why.startswith("NexusError: list ")
    assert "never_sent: no connection" in why
    assert sorted(rows(jobs_url, "failed_in_a_row")) == [0] * len(others) + [1]
    assert worker.health == {"ranges": 1, "found": 0, "repaired": 0, "failed": 1}


async def test_the_zone_waits_longer_each_time_whichever_range_is_met_first(jobs_url: str) -> None:
    """Each of them fails for the first time; several that were under way are one time."""
    async with where_nexus_is_down(jobs_url) as (zone, worker):
        waits = []
        for lo in (await due(worker))[:3]:
            await worker.go_through(ZONE, lo)
            waits += [max(rows(jobs_url, "extract(epoch FROM due_at - now())"))]
            found = await worker.jobs.ranges.get(ZONE, "b7", split_every=HOUR)
            assert found is not None
            await worker._split(found)
            await wait_until_all_are_due(jobs_url, worker)
        assert [round(each, -1) for each in waits] == [20, 40, 80]
        zone.mock.clear_faults()
        await worker.go_through(ZONE, "b6")
        zone.mock.inject(Fault(FaultKind.REFUSE, times=None))
        await worker.go_through(ZONE, "b4")
        assert round(rows(jobs_url, "extract(epoch FROM due_at - now())")[3], -1) == 20


async def test_a_range_goes_on_where_it_was_once_its_size_is_seen(jobs_url: str) -> None:
    """That it could not be seen takes nothing away of what is known of it."""
    async with where_nexus_is_down(jobs_url) as (_, worker):
        async with await psycopg.AsyncConnection.connect(jobs_url, autocommit=True) as connection:
            await connection.execute(
                """UPDATE nexus_bounty_ranges SET cursor = '{"missing rewards": null}',"""
                """ memory = '{"token": "t", "sweeps": {}}' WHERE lo = 'b3'"""
            )
        before = rows(jobs_url, "cursor"), rows(jobs_url, "memory")
        await worker.go_through(ZONE, "b3")
        assert (rows(jobs_url, "cursor"), rows(jobs_url, "memory")) == before
        assert rows(jobs_url, "failed_in_a_row")[2] == 1


async def test_a_store_with_errors_of_its_own_fails_a_run_and_no_job(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot say whether it bears out what is remembered: the run goes by nothing."""

    async def away(*_: object) -> bool:
        raise OSError("the store is away")

    monkeypatch.setattr(reconcilers, "is_borne_out", away)
    async with a_zone(0) as zone, a_worker(jobs_url, zone) as worker:
        async with await psycopg.AsyncConnection.connect(jobs_url, autocommit=True) as connection:
            await connection.execute(
                """UPDATE nexus_bounty_ranges SET memory = '{"token": "t", "sweeps": {}}'"""
            )
        await worker.go_through(ZONE, "")
        assert rows(jobs_url, "succeeded_at IS NOT NULL") == [True]
