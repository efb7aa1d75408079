"""Workers that see to different zones, or to different servers, on one database of jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from nexus_bounty import BountyOperations, NexusBountyStore, NexusClaimStore, NexusClient
from nexus_bounty.events.types import Place
from nexus_bounty.memory import MemoryContributionStore, MemoryCredits
from nexus_bounty.mock import MockNexus
from nexus_bounty.ports import CreditsService
from nexus_bounty_procrastinate import jobs
from nexus_bounty_procrastinate.jobs import queue_of
from nexus_bounty_procrastinate.ranges import lock_of
from nexus_bounty_procrastinate.schema import prepare
from nexus_bounty_procrastinate.worker import RangeWorker
from tests.adapters.procrastinate.test_ranges import HOUR, NOW

HERE, THERE = "http://here:2026", "http://there:2026"
SOON = timedelta(milliseconds=100)
_OLD = """
    DROP TABLE nexus_bounty_ranges;
    CREATE TABLE nexus_bounty_ranges (
        zone_id text COLLATE "C" NOT NULL, lo text COLLATE "C" NOT NULL, hi text COLLATE "C",
        cursor jsonb NOT NULL DEFAULT '{}',
        due_at timestamptz NOT NULL DEFAULT now(),
        deferred_until timestamptz NOT NULL DEFAULT '-infinity',
        split_at timestamptz NOT NULL DEFAULT '-infinity',
        runs bigint NOT NULL DEFAULT 0, found bigint NOT NULL DEFAULT 0,
        repaired bigint NOT NULL DEFAULT 0, left_at_last bigint NOT NULL DEFAULT 0,
        failed_in_a_row integer NOT NULL DEFAULT 0, succeeded_at timestamptz, error text,
        PRIMARY KEY (zone_id, lo)
    );
    INSERT INTO nexus_bounty_ranges (zone_id, lo, hi, deferred_until)
    VALUES ('east', '', 'b', now() + interval '59 minutes'), ('east', 'b', NULL, now());
    INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args)
    VALUES ('nexus-bounty', 'nexus_bounty.range', 'nexus-bounty:east:', 'nexus-bounty:east:',
        '{"zone_id": "east", "lo": ""}')
"""
"""What a checkout that knew no servers left: one range with a job that waits."""
_OLD_BEGIN = """
    INSERT INTO nexus_bounty_ranges (zone_id, lo) SELECT zone.id, ''
    FROM unnest(ARRAY['west']) AS zone (id) ON CONFLICT DO NOTHING
"""


@asynccontextmanager
async def a_worker(
    url: str,
    *zone_ids: str,
    server: str = HERE,
    credit: CreditsService | None = None,
    **how: Any,
) -> AsyncIterator[RangeWorker]:
    """A worker on zones that are empty, which does a job only when it is told to."""
    await prepare(url)
    mock = MockNexus("0.10-hypothetical")
    async with NexusClient(server, transport=mock.transport()) as client:
        credit = credit or MemoryCredits()
        zones = {
            each: BountyOperations(
                NexusBountyStore(client, each, commit="conditional"),
                credits=credit,
                claims=NexusClaimStore(client, each, commit="conditional"),
                contributions=MemoryContributionStore([]),
            )
            for each in zone_ids
        }
        worker = RangeWorker(url, zones, **{"every": NOW, **how})
        async with worker.jobs.app.open_async():
            yield worker


async def rows(url: str, query: str) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def change(url: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(statement.encode())


async def do_what_waits(worker: RangeWorker) -> None:
    """The jobs that this worker gets, as it asks for them."""
    await worker.jobs.app.run_worker_async(
        queues=worker.jobs.queues,
        wait=False,
        install_signal_handlers=False,
        listen_notify=False,
        delete_jobs="always",
    )


async def waiting(url: str) -> list[str]:
    """The zones of the jobs that wait."""
    found = await rows(url, "SELECT args->>'zone_id' FROM procrastinate_jobs ORDER BY 1")
    return [zone_id for (zone_id,) in found]


async def gone_through(url: str) -> dict[tuple[str, str], int]:
    """How often each range was, by its server and zone; each has one here."""
    found = await rows(url, "SELECT server, zone_id, runs FROM nexus_bounty_ranges")
    return {(server, zone_id): runs for server, zone_id, runs in found}


async def test_a_worker_gets_no_job_of_a_zone_that_it_does_not_see_to(jobs_url: str) -> None:
    """Whoever was there first: the job stays for those who do."""
    async with a_worker(jobs_url, "east") as east, a_worker(jobs_url, "west", "both") as west:
        await west.jobs.tick()
        await do_what_waits(east)
        assert await waiting(jobs_url) == ["both", "west"]
        await east.jobs.tick()
        assert await waiting(jobs_url) == ["both", "east", "west"]
        await do_what_waits(west)
        await do_what_waits(east)
        assert await waiting(jobs_url) == []
        runs = await gone_through(jobs_url)
        assert runs == {(HERE, "east"): 1, (HERE, "west"): 1, (HERE, "both"): 1}


async def test_a_worker_plans_its_zones_while_another_ticks_in_others(jobs_url: str) -> None:
    """In the zones that both see to, one of them does."""
    async with a_worker(jobs_url, "east", "both") as east, a_worker(jobs_url, "west", "both") as w:
        async with east.jobs.ranges.alone(["east", "both"], HOUR) as alone_in:
            assert alone_in == ["east", "both"]
            await w.jobs.tick()
            assert await waiting(jobs_url) == ["west"]
        await w.jobs.tick()
        assert await waiting(jobs_url) == ["both", "west"]


async def test_what_was_abandoned_in_a_zone_is_taken_by_those_who_see_to_it(jobs_url: str) -> None:
    """To others it is as if it were not there."""
    async with (
        a_worker(jobs_url, "east", dead_after=NOW) as east,
        a_worker(jobs_url, "west", dead_after=NOW) as west,
    ):
        await west.jobs.tick()
        manager = west.jobs.app.job_manager
        dead = await manager.register_worker()
        assert await manager.fetch_job(queues=west.jobs.queues, worker_id=dead) is not None
        state = "SELECT status::text FROM procrastinate_jobs WHERE args->>'zone_id' = 'west'"
        await east.jobs.tick()
        assert await rows(jobs_url, state) == [("doing",)]
        await west.jobs.tick()
        assert await rows(jobs_url, state) == [("todo",)]


async def test_workers_that_run_with_zones_of_their_own_starve_none(
    jobs_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two for one zone and one for another: all go on, and none fails."""
    monkeypatch.setattr(jobs, "TICK", SOON)
    caplog.set_level(logging.WARNING)
    async with (
        a_worker(jobs_url, "east", every=SOON) as first,
        a_worker(jobs_url, "east", every=SOON) as second,
        a_worker(jobs_url, "west", every=SOON) as third,
    ):
        running = [asyncio.create_task(each.run()) for each in (first, second, third)]
        async with asyncio.timeout(60):
            while len(runs := await gone_through(jobs_url)) < 2 or min(runs.values()) < 8:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for each in running:
            each.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*running)
    assert not caplog.records
    assert max(runs.values()) < 4 * min(runs.values())


async def test_zones_of_one_name_on_two_servers_are_two(jobs_url: str) -> None:
    """Each is gone through on its server, though the jobs are in one database."""
    async with (
        a_worker(jobs_url, "twin", server=HERE) as here,
        a_worker(jobs_url, "twin", server=THERE) as there,
    ):
        await here.jobs.tick()
        await there.jobs.tick()
        assert await waiting(jobs_url) == ["twin", "twin"]
        await do_what_waits(here)
        assert await gone_through(jobs_url) == {(HERE, "twin"): 1, (THERE, "twin"): 0}
        found = await there.jobs.ranges.get("twin", "", split_every=HOUR)
        assert found is not None
        await there.jobs.ranges.split(found, "b")
        await do_what_waits(there)
        cut = await rows(jobs_url, "SELECT server, lo, hi, runs FROM nexus_bounty_ranges")
        assert sorted(cut) == [
            (HERE, "", None, 1),
            (THERE, "", "b", 1),
            (THERE, "b", None, 0),
        ]


def test_places_that_differ_have_queues_and_locks_that_differ() -> None:
    """However alike they look; and the name by which PostgreSQL tells of a job is short enough."""
    places = [
        (Place("http://h", "z"), "a"),
        (Place("http://h", "z:a"), ""),
        (Place("http://h/z", "a"), ""),
        (Place("http://h/z", "z"), "a"),
        (Place("", "z"), "a"),
        (Place("http://" + "long" * 50, "z" * 200), "a"),
    ]
    assert len({lock_of(*each) for each in places}) == len(places)
    assert len({queue_of(place) for place, _ in places}) == len(places)
    assert all(len("procrastinate_queue_v1#" + queue_of(place)) < 64 for place, _ in places)


async def test_what_a_checkout_left_that_knew_no_servers_is_begun_with_anew(
    empty_postgres_url: str,
) -> None:
    """Its jobs are gone; a worker of it that still runs can make no range of nowhere."""
    url = empty_postgres_url
    await prepare(url)
    await change(url, _OLD)
    async with a_worker(url, "east") as worker:
        assert await waiting(url) == []
        with pytest.raises(psycopg.errors.NotNullViolation):
            await change(url, _OLD_BEGIN)
        await worker.jobs.tick()
        await do_what_waits(worker)
        await prepare(url)
        found = await rows(url, "SELECT server, zone_id, lo, hi, runs FROM nexus_bounty_ranges")
        assert found == [(HERE, "east", "", None, 1)]
