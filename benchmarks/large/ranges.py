"""A zone in ranges: workers side by side on one PostgreSQL, one of them killed in the middle.

`python -m benchmarks.large.ranges` takes 10,000 bounties, of which 100 are stuck, `--full` 100,000
with 1,000, `--tiny` a few. Three workers go through all of it; one is killed once all are at work.
Counted are the requests of that first pass and of two more, in which the workers remember what
they saw. In the end a dry run must find nothing, and the ledger must be what its journal says.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import perf_counter
from typing import Any

import psycopg

from benchmarks.harness import population
from benchmarks.harness.contenders import operations_on
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Step, rounded
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import Server, mock_server
from nexus_bounty import NexusClient, Reconciler
from nexus_bounty_postgres import PostgresCredits
from tests.support.postgres_server import FAST, PostgresServer

ZONE, WORKERS, WARM_PASSES, AT_ONCE = "z", 3, 2, 64
MOST_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Pass:
    """What it took to go through every range once."""

    requests: int
    seconds: float


@contextmanager
def database() -> Iterator[str]:
    """A PostgreSQL of its own; its URL."""
    server = PostgresServer(*FAST)
    try:
        server.start()
        yield server.url
    finally:
        server.remove()


async def fill(server: Server, url: str, bounties: int, stuck: int) -> None:
    """Give the zone a history, and hold in the ledger what it says is held."""
    server.populate(ZONE, bounties, stuck)
    held = [each for each in population.at_rest(bounties) if each.escrow == "held"]
    async with PostgresCredits(url) as credit:
        await credit.top_up("funds", account=population.CREATOR.agent_id, amount=10**12)
        records = [*held, *population.stuck(stuck)]
        for start in range(0, len(records), AT_ONCE):
            some = records[start : start + AT_ONCE]
            await asyncio.gather(*(population.escrow(credit, each) for each in some))


@contextmanager
def workers(server: Server, url: str, range_size: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three of them, each a process."""
    where = ["--zones", ZONE, "--url", server.url, "--credits", url, "--commit", "conditional"]
    how = ["--range-size", str(range_size), "--every", "1d", "--grace", "0s", "--json"]
    command = [sys.executable, "-m", "nexus_bounty.cli", "worker", *where, *how]
    with ExitStack() as stack:
        running = []
        for _ in range(WORKERS):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            running.append(process)
        yield running


def found(url: str, query: str) -> Any:
    """The one value that a query finds; nothing while its tables are still to be made."""
    with psycopg.connect(url) as connection:
        try:
            row = connection.execute(query.encode()).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return row and row[0]


async def until(url: str, query: str) -> None:
    """Wait until a query finds something true."""
    async with asyncio.timeout(MOST_SECONDS):
        while not found(url, query):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.2)


async def all_at_work(url: str) -> None:
    """Until each worker is in the middle of a range."""
    doing = "status = 'doing' AND task_name = 'nexus_bounty.range'"
    counted = f"SELECT count(DISTINCT worker_id) >= {WORKERS} FROM procrastinate_jobs WHERE {doing}"
    await until(url, counted)


async def pass_ended(url: str, runs: int) -> None:
    """Until every range was gone through so often, and none is being split."""
    await until(
        url,
        f"SELECT bool_and(runs >= {runs} AND succeeded_at IS NOT NULL) FROM nexus_bounty_ranges",
    )


async def timed(server: Server, waiting: Awaitable[None]) -> Pass:
    """What it took until `waiting` was over."""
    before, began = server.requests, perf_counter()
    await waiting
    return Pass(server.requests - before, perf_counter() - began)


@asynccontextmanager
async def looking(server: Server, url: str) -> AsyncIterator[tuple[Reconciler, PostgresCredits]]:
    """A reconciler that only looks, and the ledger."""
    async with NexusClient(server.url) as client, PostgresCredits(url) as credit:
        yield (
            Reconciler(operations_on(client, ZONE, credit), dry_run=True, grace=timedelta(0)),
            credit,
        )


async def check(server: Server, url: str) -> None:
    """That nothing is left to do, and the ledger fits its journal.

    Raises:
        RuntimeError: It is not so.
    """
    async with looking(server, url) as (reconciler, credit):
        report, audit = await reconciler.run_once(), await credit.verify()
    if report.found or report.errors or not audit.ok:
        raise RuntimeError(f"something is left: {report} {audit}")


async def measure(options: Options, step: Step) -> Report:
    """Fill, go through all of it, kill one on the way, and look."""
    bounties, stuck, range_size = options.pick(
        tiny=(400, 18, 8), quick=(10_000, 100, 50), full=(100_000, 1_000, 100)
    )
    with mock_server() as server, database() as url:
        step("filling")
        await fill(server, url, bounties, stuck)
        with workers(server, url, range_size) as running:
            step("first pass")
            passes = [await timed(server, _first_pass(url, running))]
            for number in range(WARM_PASSES):
                step(f"warm pass {number + 1}")
                passes.append(await timed(server, _next_pass(url, number + 2)))
        step("looking")
        ranges = found(url, "SELECT count(*) FROM nexus_bounty_ranges")
        repaired = found(url, "SELECT sum(repaired) FROM nexus_bounty_ranges")
        await check(server, url)
    return _report(bounties, stuck, int(ranges), int(repaired), passes)


async def _first_pass(url: str, running: list[subprocess.Popen[bytes]]) -> None:
    await all_at_work(url)
    running[0].send_signal(signal.SIGKILL)
    await pass_ended(url, 1)


async def _next_pass(url: str, runs: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE nexus_bounty_ranges SET due_at = now()")
    await pass_ended(url, runs)


def _report(bounties: int, stuck: int, ranges: int, repaired: int, passes: list[Pass]) -> Report:
    names = ["cold", *(f"warm {number + 1}" for number in range(len(passes) - 1))]
    figures = {
        "bounties": bounties,
        "stuck": stuck,
        "ranges": ranges,
        "repaired_by_ranges_that_ended": repaired,
        "passes": {
            name: {"requests": each.requests, "seconds": rounded(each.seconds)}
            for name, each in zip(names, passes, strict=True)
        },
    }
    rows = [
        [name, each.requests, each.requests / bounties, each.seconds]
        for name, each in zip(names, passes, strict=True)
    ]
    what = f"{bounties:,} bounties, {stuck:,} stuck, {ranges} ranges, three workers, one killed"
    return Report(
        "ranges",
        {"ranges": figures},
        [Table(what, ["pass", "requests", "a bounty", "s"], rows)],
    )


if __name__ == "__main__":
    run_alone(measure)
