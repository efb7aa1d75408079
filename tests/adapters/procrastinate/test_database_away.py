"""A database that goes away while workers are at it, and comes back: they say so, and go on."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from procrastinate.exceptions import ConnectorException

from nexus_bounty.mock import Fault, FaultKind, MockNexus
from nexus_bounty.retry import RetryPolicy
from nexus_bounty_postgres import absence
from nexus_bounty_procrastinate import connector, jobs, pace, worker
from nexus_bounty_procrastinate.connector import say_it_ourselves
from nexus_bounty_procrastinate.pace import LeasedTurns
from nexus_bounty_procrastinate.schema import prepare
from nexus_bounty_procrastinate.worker import RangeWorker
from tests.adapters.procrastinate.test_ranges import ZONE
from tests.adapters.procrastinate.test_workers import (
    STUCK,
    all_gone_through,
    at_work,
    looked_at,
    put,
    rows,
    workers,
)
from tests.cli.program import started, until
from tests.reconcile.test_scale import Zone, a_zone
from tests.support.postgres_proxy import PostgresProxy
from tests.support.postgres_server import PostgresServer
from tests.support.served import served

BOUNTIES, SLOW = 1_200, 0.02
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")
LOST = "Nothing is lost: this worker goes on by itself once it can be"
TRIED = "It is tried again by itself"


def lines_of(error: str) -> Counter[str]:
    """What was said, without when."""
    return Counter(_STAMP.sub("", line) for line in error.splitlines())


def counted(said: Counter[str], *words: str) -> int:
    """How many lines have all these words."""
    return sum(number for line, number in said.items() if all(each in line for each in words))


def is_readable(said: Counter[str]) -> None:
    """Each line is one of ours: no traceback, no words of a pool, no line without a level."""
    for line in said:
        assert line.startswith("WARNING "), line
        assert "Traceback" not in line
        assert "pool" not in line


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("away", [0.0, 14.0])
def test_workers_go_on_by_themselves_when_postgresql_is_back(
    server: PostgresServer, how: str, away: float
) -> None:
    """It is killed in the middle of ranges; each repair is done once, and no credit is lost."""
    mock = MockNexus("0.10-hypothetical", log_limit=10)
    mock.inject(Fault(FaultKind.DELAY, times=None, seconds=SLOW))
    url = server.url
    asyncio.run(put(mock, url, BOUNTIES, STUCK))
    with (
        served(mock) as nexus,
        workers(2, nexus, url, "--every", "1s", "--requests-per-second", "200") as running,
    ):
        until(lambda: len(at_work(url)) == 2, seconds=60)
        getattr(server, how)()
        time.sleep(away)
        assert [each.poll() for each in running] == [None, None]
        server.start()
        until(lambda: bool(at_work(url)), seconds=60)
        until(lambda: all_gone_through(url, BOUNTIES), seconds=120)
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            _, err = process.communicate(timeout=30)
            assert process.returncode == 0, err
            said = lines_of(err)
            is_readable(said)
            assert counted(said, "with the jobs cannot be reached", LOST) <= 1
            assert counted(said, "cannot be reached") == counted(said, "can be reached again")
            if away:
                assert counted(said, "with the jobs cannot be reached", LOST) == 1
        report, audit = asyncio.run(looked_at(nexus, url))
    assert (report.found, report.errors) == (0, [])
    assert audit.ok


@pytest.mark.thorough
def test_a_reconciler_goes_on_by_itself_when_postgresql_is_back(server: PostgresServer) -> None:
    """It says in a line that it is away, and in one that it is there again; else what it missed."""
    url = server.url
    with (
        served(MockNexus("0.10-hypothetical")) as nexus,
        started(
            *("reconcile", "--watch", "--every", "1s", "--json"),
            *("--url", nexus, "--credits", url, "--commit", "conditional"),
            env={},
        ) as process,
    ):
        assert process.stdout is not None
        runs = (json.loads(line) for line in process.stdout)
        assert errors_of(next(runs)) == []
        server.kill()
        (error,) = errors_of(next(each for each in runs if errors_of(each)))[:1]
        assert error.startswith("CommitUnknownError: PostgreSQL at ")
        server.start()
        assert next(each for each in runs if not errors_of(each))
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    said = lines_of(err)
    is_readable(said)
    assert counted(said, "PostgreSQL at 127.0.0.1/postgres cannot be reached", TRIED) == 1
    assert counted(said, "PostgreSQL at 127.0.0.1/postgres can be reached again") == 1
    assert said.total() - 2 == counted(said, "was cut short: CommitUnknownError")


def errors_of(run: dict[str, Any]) -> list[str]:
    """What cut sweeps short in a run, by its report."""
    return [each["error"] for each in run["sweeps"] if each.get("error")]


# In this process: the network to the database is cut


def a_worker(url: str, zone: Zone) -> RangeWorker:
    soon = timedelta(milliseconds=200)
    return RangeWorker(url, {ZONE: zone.operations}, every=soon, dead_after=5 * soon)


def runs(url: str) -> int:
    return sum(number for (number,) in rows(url, "SELECT runs FROM nexus_bounty_ranges"))


async def eventually(number: Callable[[], int], more_than: int = 0) -> None:
    async with asyncio.timeout(60):
        while await asyncio.to_thread(number) <= more_than:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PATIENT", RetryPolicy(attempts=1_000, base=0.05, cap=0.1))
    monkeypatch.setattr(connector, "WAIT", 0.5)
    monkeypatch.setattr(jobs, "TICK", timedelta(milliseconds=100))
    monkeypatch.setattr(absence, "SAME_WITHIN", 2.0)  # a pool that comes back tries anew by and by


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.usefixtures("_impatient")
async def test_a_worker_says_that_its_database_is_away_and_goes_on_once_it_is_back(
    jobs_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Twice in its life; no traceback, and no try of a pool, is in the log."""
    with PostgresProxy(jobs_url) as proxy, caplog.at_level(logging.WARNING):
        async with a_zone(5) as zone:
            running = asyncio.create_task(a_worker(proxy.url, zone).run())
            for times in (1, 2):
                before = await asyncio.to_thread(runs, jobs_url)
                await eventually(lambda: runs(jobs_url), more_than=before)
                proxy.cut()
                await eventually(lambda: len(told(caplog)), more_than=2 * times - 2)
                await asyncio.sleep(1)
                assert not running.done()
                assert len(told(caplog)) == 2 * times - 1
                proxy.heal()
                await eventually(lambda: len(told(caplog)), more_than=2 * times - 1)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
    assert [line.partition(" with the jobs ")[2].partition(":")[0] for line in told(caplog)] == [
        "cannot be reached",
        "can be reached again",
    ] * 2
    assert all(LOST in line for line in told(caplog)[::2])
    assert not any(each.exc_info for each in caplog.records)


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("wait", [0.0, 1.5])
async def test_a_worker_whose_database_is_away_can_be_stopped(jobs_url: str, wait: float) -> None:
    """Before it has seen that, and while it waits."""
    with PostgresProxy(jobs_url) as proxy:
        async with a_zone(5) as zone:
            running = asyncio.create_task(a_worker(proxy.url, zone).run())
            await eventually(lambda: runs(jobs_url))
            proxy.cut()
            await asyncio.sleep(wait)
            running.cancel()
            done, _ = await asyncio.wait({running}, timeout=5)
            assert done
            assert running.cancelled()


def _take_all_for_dead(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM procrastinate_workers")


@pytest.mark.usefixtures("_impatient")
async def test_a_worker_that_others_took_for_dead_begins_anew(
    jobs_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was silent for too long, and one that began meanwhile has removed it."""
    async with a_zone(5) as zone:
        running = asyncio.create_task(a_worker(jobs_url, zone).run())
        for _ in range(2):
            before = await asyncio.to_thread(runs, jobs_url)
            await eventually(lambda: runs(jobs_url), more_than=before)
            await asyncio.to_thread(_take_all_for_dead, jobs_url)  # its rows may be locked just now
        await eventually(lambda: len(told(caplog)))
        before = await asyncio.to_thread(runs, jobs_url)
        await eventually(lambda: runs(jobs_url), more_than=before)
        assert not running.done()
        running.cancel()
        await asyncio.wait({running})
    assert set(told(caplog)) == {"other workers took this one for dead; it begins anew"}


async def test_what_gets_no_answer_keeps_no_worker_from_beginning_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network that is silent: what was cancelled rolls back, and that is not answered either."""
    monkeypatch.setattr(worker, "_LET_GO", 0.05)

    async def silent() -> None:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(silent())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await worker._let_go(task)
    assert not task.done()
    task.cancel()
    await asyncio.wait({task})


async def test_what_is_wrong_with_a_database_otherwise_ends_the_worker(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting would not mend it, and whoever runs it is told."""
    async with a_zone(0) as zone:
        worker = a_worker(jobs_url, zone)

        async def refused(*_: object) -> None:
            raise ConnectorException from psycopg.errors.InsufficientPrivilege("not for you")

        monkeypatch.setattr(worker.jobs.ranges, "begin", refused)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="not for you"):
            await worker.run()


def test_other_users_of_procrastinate_are_shown_their_tracebacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only those of a worker's own tasks are told by us; and of those, only that it is away."""
    log = logging.getLogger("procrastinate.worker")
    errors = {
        "away": ConnectorException(),
        "other": ValueError("a mistake of ours"),
    }
    errors["away"].__cause__ = psycopg.OperationalError("gone")

    def say() -> None:
        for what, error in errors.items():
            log.error(what, exc_info=error)

    def ours() -> None:
        say_it_ourselves()
        say()

    contextvars.copy_context().run(ours)
    assert [each.getMessage() for each in caplog.records] == ["other"]
    caplog.clear()
    say()
    assert [each.getMessage() for each in caplog.records] == ["away", "other"]


def test_a_job_that_was_taken_from_a_slow_worker_is_nothing_to_be_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """asyncio would, with a traceback; of jobs of others it does."""
    say_it_ourselves()
    taken = ConnectorException()
    taken.__cause__ = psycopg.errors.RaiseException("Job was not found")
    said = "Task exception was never retrieved\nfuture: <Task name='process job {}[1]'>"
    for name in ("nexus_bounty.range", "theirs"):
        logging.getLogger("asyncio").error(said.format(name), exc_info=taken)
    (record,) = caplog.records
    assert "theirs" in record.getMessage()


async def test_a_pace_whose_row_cannot_be_read_says_so_once(
    jobs_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it asks, and that it goes on by itself."""
    monkeypatch.setattr(pace, "_PATIENT", RetryPolicy(attempts=1_000, base=0.01, cap=0.02))
    await prepare(jobs_url)
    with PostgresProxy(jobs_url) as proxy, caplog.at_level(logging.WARNING):
        turns = LeasedTurns(proxy.url, "nexus:2026")
        await turns.lease(0.1)
        proxy.cut()
        waiting = asyncio.create_task(turns.lease(0.1))
        await asyncio.sleep(0.5)
        assert len(told(caplog)) == 1
        proxy.heal()
        assert await waiting < 1
        await turns.close()
    away, again = told(caplog)
    assert "No request is sent until it is there again, which is waited for" in away
    assert again.endswith("can be reached again")
