"""Workers as processes of their own: ranges of one zone, of whom one is killed in the middle."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest

from benchmarks.harness import population
from nexus_bounty import (
    BountyOperations,
    NexusBountyStore,
    NexusClaimStore,
    NexusClient,
    Reconciler,
    ReconcileReport,
)
from nexus_bounty.ledger import Audit
from nexus_bounty.memory import MemoryContributionStore
from nexus_bounty.mock import Fault, FaultKind, MockNexus, RequestMatch
from nexus_bounty_postgres import PostgresCredits
from tests.cli.program import run, started, until
from tests.support.served import served

pytestmark = pytest.mark.thorough

ZONE = "z"
BOUNTIES, STUCK, FUNDS = 2_000, 20, 10**6
RANGE, DEAD_AFTER = 10, "2s"
SLOW = 0.02
"""How long the server takes for an answer, so that a worker is killed in the middle."""


@contextmanager
def workers(number: int, server: str, ledger: str, *more: str) -> Iterator[list[Any]]:
    """So many workers on one zone, each a process; they are gone afterwards."""
    where = ("--zones", ZONE, "--url", server, "--credits", ledger, "--commit", "conditional")
    how = (
        "--range-size",
        RANGE,
        "--dead-after",
        DEAD_AFTER,
        "--concurrency",
        2,
        "--grace",
        "0s",
        "--json",
    )
    with ExitStack() as stack:
        running = [
            stack.enter_context(started("worker", *where, *how, *more, env={}))
            for _ in range(number)
        ]
        yield running


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def rows(url: str, query: str) -> list[Any]:
    """What a query finds; nothing while its tables are still to be made."""
    with psycopg.connect(url) as connection:
        try:
            return connection.execute(query.encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return []


def at_work(url: str) -> set[int]:
    """The workers that are in the middle of a range."""
    doing = "SELECT DISTINCT worker_id FROM procrastinate_jobs WHERE status = 'doing'"
    return {row[0] for row in rows(url, f"{doing} AND task_name = 'nexus_bounty.range'")}


def abandoned(url: str) -> bool:
    """Whether a range is with a worker that was not heard of for a second."""
    query = """
        SELECT job.id FROM procrastinate_jobs AS job
        JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
        WHERE job.status = 'doing' AND job.task_name = 'nexus_bounty.range'
        AND worker.last_heartbeat < now() - interval '1 second'
    """
    return bool(rows(url, query))


def all_gone_through(url: str, bounties: int = BOUNTIES) -> bool:
    """Whether every range has been, and there are as many as there should be."""
    found = rows(url, "SELECT succeeded_at IS NOT NULL FROM nexus_bounty_ranges")
    return len(found) >= bounties // 11 // RANGE and all(done for (done,) in found)


async def put(mock: MockNexus, ledger: str, bounties: int, stuck: int) -> None:
    """Fill the zone, and the ledger with the credits of all that holds some."""
    records = [*population.at_rest(bounties), *population.stuck(stuck)]
    async with PostgresCredits(ledger) as credit:
        await credit.top_up("funds", account="creator", amount=FUNDS)
        for record in records:
            population.put(mock, ZONE, record)
        held = [each for each in records[:bounties] if each.escrow == "held"]
        of_interest = [*held, *records[bounties:]]
        await asyncio.gather(*(population.escrow(credit, each) for each in of_interest))


async def looked_at(
    server: str, ledger: str, stuck: int | None = STUCK
) -> tuple[ReconcileReport, Audit]:
    """What a dry run finds in the end, and the audit of the ledger."""
    async with NexusClient(server) as client, PostgresCredits(ledger) as credit:
        operations = BountyOperations(
            NexusBountyStore(client, ZONE, commit="conditional"),
            credits=credit,
            claims=NexusClaimStore(client, ZONE, commit="conditional"),
            contributions=MemoryContributionStore([]),
        )
        report = await Reconciler(operations, dry_run=True, grace=timedelta(0)).run_once()
        if stuck is not None:
            paid = await credit.balance(population.WORKER.agent_id)
            due = [each for each in population.stuck(stuck) if each.bounty.fulfilled_by_cid]
            assert paid.available == len(due)
        return report, await credit.verify()


def test_a_zone_in_ranges_is_repaired_once_though_a_worker_is_killed_in_the_middle(
    jobs_url: str,
) -> None:
    """By three processes: what the dead one was at, the others do; every credit is where it was."""
    mock = MockNexus("0.10-hypothetical", log_limit=10)
    mock.inject(Fault(FaultKind.DELAY, times=None, seconds=SLOW))
    asyncio.run(put(mock, jobs_url, BOUNTIES, STUCK))
    with served(mock) as server, workers(3, server, jobs_url) as running:
        until(lambda: len(at_work(jobs_url)) == 3, seconds=60)
        running[0].send_signal(signal.SIGKILL)
        running[0].wait()
        until(lambda: abandoned(jobs_url))
        until(lambda: all_gone_through(jobs_url), seconds=90)
        for process in running[1:]:
            process.send_signal(signal.SIGTERM)
        for process in running[1:]:
            out, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
            assert json.loads(out)["health"]["ranges"] > 0
        report, audit = asyncio.run(looked_at(server, jobs_url))
    assert (report.found, report.errors) == (0, [])
    assert audit.ok


def test_a_worker_that_is_stopped_finishes_the_repair_and_gives_the_range_back(
    jobs_url: str,
) -> None:
    """SIGTERM in the middle of one: others do the rest, at once; until then it says how it is."""
    mock = MockNexus("0.10-hypothetical")
    mock.inject(Fault(FaultKind.DELAY, match=RequestMatch(method="write", nth=3), seconds=1.5))
    asyncio.run(put(mock, jobs_url, 20, STUCK))
    port = free_port()
    with (
        served(mock) as server,
        workers(1, server, jobs_url, "--health", f"127.0.0.1:{port}") as (process,),
    ):
        until(lambda: any(each.fault for each in mock.requests), seconds=60)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").json() == {"alive": True}
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").json()["ready"]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
        assert json.loads(out)["health"]["failed"] == 0
        free = rows(jobs_url, "SELECT deferred_until < now() FROM nexus_bounty_ranges")
        assert free
        assert all(is_free for (is_free,) in free)
        report, audit = asyncio.run(looked_at(server, jobs_url, stuck=None))
    assert 0 < report.found < STUCK
    assert audit.ok


def test_a_worker_whose_database_is_down_says_so_and_that_nothing_is_lost() -> None:
    """In a sentence: whatever runs it starts it again."""
    ended = run("worker", "--credits", "postgresql://user:geheim@127.0.0.1:1/x")
    assert ended.returncode == 1
    assert ended.stderr.startswith("the jobs on PostgreSQL cannot be reached: connection failed")
    assert "Nothing is lost" in ended.stderr
    assert "geheim" not in ended.stderr


def test_a_worker_without_a_database_says_which_option_names_one() -> None:
    """Before anything is sent."""
    ended = run("worker", "--credits", "sqlite:///ledger.db")
    assert ended.returncode == 2
    assert "--jobs must name a PostgreSQL" in ended.stderr
