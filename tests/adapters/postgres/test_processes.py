"""Several processes on one database, of which some, or the server, are killed in the middle."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_postgres.schema import VERSION, version_of
from tests.support.postgres_server import FAST, PostgresServer

pytestmark = pytest.mark.thorough

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ACCOUNTS = ("alice", "bob", "carol", "dave")


async def _fund(url: str) -> None:
    async with PostgresCredits(url) as service:
        for account in ACCOUNTS:
            await service.top_up(f"fund-{account}", account=account, amount=100)


def _start(url: str, name: str, count: int, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "ledger_worker.py"), url, name, str(count), "1"]
    with output.open("wb") as target:
        return subprocess.Popen(command, stdout=target, cwd=ROOT)


def _acknowledged(outputs: list[Path]) -> list[tuple[str, ...]]:
    words = [line.split() for each in outputs for line in each.read_text().splitlines()]
    return [tuple(pair) for pair in words if len(pair) == 2]


async def _wait_for(outputs: list[Path], lines: int) -> None:
    deadline = time.monotonic() + 60
    while any(each.read_text().count("\n") < lines for each in outputs):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def _assert_each_done_once(url: str, acknowledged: list[tuple[str, ...]]) -> None:
    """Nothing that was acknowledged is missing, nothing is there twice, and it all adds up."""
    with psycopg.connect(url) as connection:
        made = connection.execute("SELECT kind, source_id FROM nexus_bounty.entries").fetchall()
    assert len(set(made)) == len(made)
    assert set(acknowledged) <= set(made)
    async with PostgresCredits(url) as service:
        audit = await service.verify()
    assert (list(audit.problems), audit.sums.total) == ([], 400)


@pytest.mark.thorough
async def test_processes_lose_and_make_no_credits_and_one_that_is_killed_takes_none_along(
    postgres_url, tmp_path
):
    """They move the same credits in all directions, and one dies with a transaction open."""
    await _fund(postgres_url)
    outputs = [tmp_path / f"p{number}" for number in range(3)]
    workers = [_start(postgres_url, each.name, 0, each) for each in outputs]
    await _wait_for(outputs, 6)
    workers[0].kill()
    workers[0].wait()
    done = len(_acknowledged(outputs[1:]))
    await _wait_for(outputs[1:], done // 2 + 8)
    for worker in workers[1:]:
        worker.kill()
        worker.wait()
    await _assert_each_done_once(postgres_url, _acknowledged(outputs))


@pytest.mark.thorough
async def test_what_was_acknowledged_survives_the_kill_of_the_server(tmp_path):
    """Killed under load, and started again: the workers carry on, and every commit is there."""
    server = PostgresServer(*FAST)
    try:
        server.start()
        await _fund(server.url)
        outputs = [tmp_path / f"p{number}" for number in range(2)]
        workers = [_start(server.url, each.name, 0, each) for each in outputs]
        await _wait_for(outputs, 10)
        server.kill()
        server.start()
        before = max(each.read_text().count("\n") for each in outputs)
        await _wait_for(outputs, before + 10)
        for worker in workers:
            worker.kill()
            worker.wait()
        await _assert_each_done_once(server.url, _acknowledged(outputs))
    finally:
        server.remove()


async def test_opposing_transfers_never_deadlock(postgres_url):
    """Their accounts are locked in the order of their names, whichever way the credits go."""
    pairs = [("alice", "bob"), ("bob", "alice"), ("bob", "carol"), ("carol", "alice")]
    services = [PostgresCredits(postgres_url) for _ in pairs]
    await _fund(postgres_url)
    await asyncio.gather(
        *(
            service.transfer(
                f"{source}-{target}-{n}", from_account=source, to_account=target, amount=1
            )
            for service, (source, target) in zip(services, pairs, strict=True)
            for n in range(25)
        )
    )
    with psycopg.connect(postgres_url) as connection:
        await asyncio.sleep(0.1)
        counted = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    assert counted == (0,)
    for service in services:
        await service.close()


def test_the_tables_are_made_by_whoever_comes_first(empty_postgres_url):
    """Processes that open an empty database at once make one ledger, each of them its own entry."""
    script = (
        "import asyncio, sys; from nexus_bounty_postgres import PostgresCredits\n"
        "async def main():\n"
        "    async with PostgresCredits(sys.argv[1]) as s:\n"
        "        await s.top_up(sys.argv[2], account='alice', amount=1)\n"
        "        print(await s.identity())\n"
        "asyncio.run(main())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, empty_postgres_url, f"t{n}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for n in range(3)
    ]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, said
    assert len({identity for identity, _ in said}) == 1
    with psycopg.connect(empty_postgres_url) as connection:
        assert version_of(connection) == VERSION
        found = connection.execute("SELECT name, balance FROM nexus_bounty.accounts").fetchall()
    assert dict(found) == {"alice": 3, "system:mint": -3}


async def test_many_callers_share_few_connections(postgres_url):
    """Sixty-four callers at once spend exactly what is there."""
    async with PostgresCredits(postgres_url) as service:
        await service.top_up("t", account="alice", amount=40)
        results = await asyncio.gather(
            *(service.reserve(f"r{n}", account="alice", amount=1) for n in range(64)),
            *(service.balance("alice") for _ in range(64)),
            return_exceptions=True,
        )
        with psycopg.connect(postgres_url) as connection:
            open_ones = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'nexus-bounty' AND datname = current_database()"
            ).fetchone()
    assert sum(isinstance(result, BaseException) for result in results) == 24
    assert open_ones is not None
    assert open_ones[0] <= 5
