"""The bound on requests in a second is one for all workers, whoever of them has work."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import psycopg
import pytest

from nexus_bounty import NexusClient, NexusSettings
from nexus_bounty.mock import MockNexus
from nexus_bounty.retry import RetryPolicy
from nexus_bounty_procrastinate import pace
from nexus_bounty_procrastinate.pace import FleetPace, LeasedTurns
from nexus_bounty_procrastinate.schema import prepare
from tests.adapters.procrastinate.test_workers import put, workers
from tests.cli.program import until
from tests.support.served import served
from tests.support.virtual import virtual

PER_SECOND = 20


class SharedRow:
    """The row that all lease from, in virtual time."""

    def __init__(self) -> None:
        self.next_at = 0.0

    async def lease(self, seconds: float) -> float:
        now = asyncio.get_running_loop().time()
        begins_at = max(self.next_at, now)
        self.next_at = begins_at + seconds
        return begins_at - now


async def read_many(number: int, mock: MockNexus, pace: FleetPace, sent: list[float]) -> None:
    """So many reads at once, by one worker."""
    clock = asyncio.get_running_loop().time
    settings = NexusSettings(retry_attempts=1)
    async with NexusClient(
        "http://nexus", settings=settings, transport=mock.transport(), pace=pace
    ) as client:

        async def read(each: int) -> None:
            await client.read(f"/zones/z/{each}")
            sent.append(clock())

        await asyncio.gather(*(read(each) for each in range(number)))


@virtual
async def test_two_workers_send_together_what_one_may() -> None:
    """In no second more than the bound, and no less while both have something to send."""
    mock, row, sent = MockNexus("0.10-hypothetical"), SharedRow(), list[float]()
    began = asyncio.get_running_loop().time()
    await asyncio.gather(
        *(read_many(50, mock, FleetPace(PER_SECOND, row.lease), sent) for _ in range(2))
    )
    assert mock.request_count == 100
    in_each_second = Counter(int(at - began + 1e-6) for at in sent)
    assert max(in_each_second.values()) == PER_SECOND
    assert len(in_each_second) == 100 / PER_SECOND


@virtual
async def test_who_has_nothing_to_send_leaves_its_turns_to_the_others() -> None:
    """And has not saved any: what was missed is gone."""
    mock, row, sent = MockNexus("0.10-hypothetical"), SharedRow(), list[float]()
    idle, busy = (FleetPace(PER_SECOND, row.lease) for _ in range(2))
    await idle.turn()
    await asyncio.sleep(10)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(read_many(1, mock, idle, sent), read_many(40, mock, busy, sent))
    assert max(sent) - began < 41 / PER_SECOND + 2 * pace.LEASED_FOR
    assert max(Counter(int(at - began + 1e-6) for at in sent).values()) <= PER_SECOND


async def test_turns_that_are_late_are_not_used_at_once() -> None:
    """Whoever stood still has missed its own; in no second more leave than the bound and one."""
    row, used = SharedRow(), list[float]()

    async def use(pace: FleetPace) -> None:
        await pace.turn()
        used.append(asyncio.get_running_loop().time())

    async def stand_still() -> None:
        for _ in range(3):
            await asyncio.sleep(0.3)
            time.sleep(0.4)  # noqa: ASYNC251 - nothing else runs in this process meanwhile

    paces = [FleetPace(PER_SECOND, row.lease) for _ in range(2)]
    await asyncio.gather(stand_still(), *(use(pace) for pace in paces for _ in range(25)))
    in_a_second = [sum(began <= at < began + 1 for at in used) for began in used]
    assert max(in_a_second) <= PER_SECOND + 1


async def test_turns_that_one_took_are_not_given_to_another(jobs_url: str) -> None:
    """By the clock of the database, whatever those of the workers say."""
    await prepare(jobs_url)
    with psycopg.connect(jobs_url, autocommit=True) as connection:
        connection.execute("TRUNCATE nexus_bounty_paces")
    one, two = (LeasedTurns(jobs_url, "nexus:2026") for _ in range(2))
    other = LeasedTurns(jobs_url, "another:2026")
    begin = [await each.lease(1_000) for each in (one, two, one, two)]
    assert [round(each, -2) for each in begin] == [0, 1_000, 2_000, 3_000]
    assert await other.lease(1_000) < 500
    for each in (one, two, other):
        await each.close()


@pytest.mark.parametrize(("ahead", "waits"), [("30 days", False), ("15 seconds", True)])
async def test_turns_that_nobody_can_have_are_dropped(
    jobs_url: str, ahead: str, *, waits: bool
) -> None:
    """The clock of the database was ahead, and was set back; what many may have taken stands."""
    await prepare(jobs_url)
    turns = LeasedTurns(jobs_url, "nexus:2026")
    await turns.lease(1)
    with psycopg.connect(jobs_url, autocommit=True) as connection:
        connection.execute(
            f"UPDATE nexus_bounty_paces SET next_at = now() + interval '{ahead}'".encode()
        )
    begins_in = await turns.lease(1)
    assert 14 < begins_in < 15.1 if waits else begins_in == 0
    assert (await turns.lease(1) > 14) is waits
    await turns.close()


async def test_nothing_leaves_while_nobody_can_say_when(
    jobs_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is asked again, by a connection of its own, until it answers."""
    await prepare(jobs_url)
    monkeypatch.setattr(pace, "_PATIENT", RetryPolicy(attempts=1_000, base=0.01))
    turns = LeasedTurns(jobs_url, "nexus:2026")
    await turns.lease(1)
    with psycopg.connect(jobs_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE '%nexus_bounty_paces%' AND pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
        connection.execute("ALTER TABLE nexus_bounty_paces RENAME TO away")
        waiting = asyncio.create_task(turns.lease(1))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        connection.execute("ALTER TABLE away RENAME TO nexus_bounty_paces")
    assert await waiting >= 0
    await turns.close()


@pytest.mark.thorough
def test_two_processes_keep_one_bound(jobs_url: str) -> None:
    """Counted by the server, from the first request on; each alone would send as much as both."""
    mock = MockNexus("0.10-hypothetical", log_limit=10)
    asyncio.run(put(mock, jobs_url, 400, 0))
    bound = ("--requests-per-second", PER_SECOND)
    with served(mock) as server, workers(2, server, jobs_url, *map(str, bound)):
        until(lambda: mock.request_count > 0, seconds=60)
        began, before = time.monotonic(), mock.request_count
        until(lambda: mock.request_count - before >= 8 * PER_SECOND, seconds=120)
        sent, took = mock.request_count - before, time.monotonic() - began
    assert sent <= PER_SECOND * (took + 2 * pace.LEASED_FOR + 0.5)
