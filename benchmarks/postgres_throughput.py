"""How many escrows a second a ledger on PostgreSQL takes: one creator of everything, or 200.

Credits are set aside, then paid to another account: two durable commits. Beside it, on the same
server and in the same turns, each caller with a connection of its own:

- bare statements that promise the same: on the same tables, with their constraints, history and
  indexes; an id that was used is found, what is there is locked and looked at before it is spent,
  and a marker tells later whether the transaction was committed;
- bare statements and one SQL function a step that promise nothing: three tables without any of it;
- the SQLite ledger.

The server syncs each commit to its disk.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.harness.charts import grouped_bars
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import Doing, Spread, Step, part_of, take_turns, throughput
from benchmarks.harness.running import run_alone
from nexus_bounty.ports import CreditsService
from nexus_bounty_postgres import PostgresCredits
from nexus_bounty_sqlite import SqliteCredits
from tests.support.postgres_server import PostgresServer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ONE_PROCESS, EACH_ITS_OWN = "ours, one process", "ours, a process for each caller"
ALIKE, BARE = "bare statements that promise the same", "bare statements"
FUNCTION, SQLITE = "one SQL function a step", "SQLite, one process"
FUNDS = 10**9

_TABLES = """
    CREATE TABLE accounts (name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
    CREATE TABLE entries (id bigserial PRIMARY KEY, kind text, source text, debit text,
        credit text, amount bigint, at timestamptz DEFAULT now());
    CREATE TABLE reservations (id text PRIMARY KEY, account text, amount bigint, status text,
        payee text);
    INSERT INTO accounts VALUES ('worker', 0);
    INSERT INTO accounts SELECT 'creator-' || n, 1000000000 FROM generate_series(0, 199) AS n;
    INSERT INTO accounts SELECT 'escrow-' || n, 0 FROM generate_series(0, 199) AS n;
    CREATE FUNCTION reserve(who text, escrow text, name text) RETURNS void LANGUAGE sql AS $$
        UPDATE accounts SET balance = balance - 1 WHERE accounts.name = who;
        UPDATE accounts SET balance = balance + 1 WHERE accounts.name = escrow;
        INSERT INTO reservations VALUES (name, who, 1, 'held');
        INSERT INTO entries (kind, source, debit, credit, amount)
            VALUES ('reserve', name, who, escrow, 1);
    $$;
    CREATE FUNCTION capture(escrow text, name text) RETURNS void LANGUAGE sql AS $$
        UPDATE accounts SET balance = balance - 1 WHERE accounts.name = escrow;
        UPDATE accounts SET balance = balance + 1 WHERE accounts.name = 'worker';
        UPDATE reservations SET status = 'captured', payee = 'worker' WHERE id = name;
        INSERT INTO entries (kind, source, debit, credit, amount)
            VALUES ('capture', name, escrow, 'worker', 1);
    $$;
"""
_MOVE = "UPDATE accounts SET balance = balance + %s WHERE name = %s"
_ENTRY = "INSERT INTO entries (kind, source, debit, credit, amount) VALUES (%s, %s, %s, %s, 1)"
_MARK = "INSERT INTO nexus_bounty.commits (marker) VALUES (%s)"
_LOOK = "SELECT status FROM nexus_bounty.reservations WHERE reservation_id = %s FOR UPDATE"
_BALANCE = "SELECT balance FROM nexus_bounty.accounts WHERE name = %s FOR UPDATE"
_HOLD = """
    INSERT INTO nexus_bounty.reservations
        (reservation_id, account, amount, status, reference, created_at)
    VALUES (%s, %s, 1, 'held', 'bench', now())
"""
_PAY = """
    UPDATE nexus_bounty.reservations SET status = 'captured', captured_to = 'worker'
    WHERE reservation_id = %s
"""
_POST = """
    INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)
    VALUES (%s, %s, %s, %s, 1, now(), 'bench')
"""


async def measure(options: Options, step: Step) -> Report:
    """Compare them at every number of callers, with one creator and with 200."""
    counts = options.pick(tiny=[2], quick=[1, 8, 32], full=[1, 8, 32])
    seconds = options.pick(tiny=0.2, quick=1.5, full=4.0)
    found: dict[tuple[int, int], dict[str, list[float]]] = {}
    server = PostgresServer()
    try:
        server.start()
        for creators, callers in itertools.product((1, 200), counts):
            async with _contenders(server.url, creators, callers) as contenders:
                turns = {name: throughput(do, callers, seconds) for name, do in contenders.items()}
                part = part_of(step, f"{callers} callers, {creators} creators")
                found[creators, callers] = await take_turns(turns, options.turns, part)
    finally:
        server.remove()
    return _report(found)


@asynccontextmanager
async def _contenders(url: str, creators: int, callers: int) -> AsyncIterator[dict[str, Doing]]:
    async with AsyncExitStack() as opened:
        directory = opened.enter_context(tempfile.TemporaryDirectory())
        ours, theirs = opened.enter_context(_database(url)), opened.enter_context(_database(url))
        with psycopg.connect(theirs, autocommit=True) as connection:
            connection.execute(_TABLES)
        together = await opened.enter_async_context(PostgresCredits(ours))
        apart = [await opened.enter_async_context(PostgresCredits(ours)) for _ in range(callers)]
        in_file = await opened.enter_async_context(SqliteCredits(Path(directory) / "ledger.db"))
        for ledger in (together, in_file):
            for number in range(creators):
                name = f"creator-{number}"
                await ledger.top_up(f"fund-{number}", account=name, amount=FUNDS)
        threads = opened.enter_context(ThreadPoolExecutor(callers))
        yield {
            ONE_PROCESS: _escrow([together], creators),
            EACH_ITS_OWN: _escrow(apart, creators),
            ALIKE: _in_threads(threads, ours, creators, _alike),
            BARE: _in_threads(threads, theirs, creators, _bare),
            FUNCTION: _in_threads(threads, theirs, creators, _function),
            SQLITE: _escrow([in_file], creators),
        }


@contextmanager
def _database(url: str) -> Any:
    name = f"bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield url.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _escrow(services: Sequence[CreditsService], creators: int) -> Doing:
    numbers = itertools.count()
    free = list(services) * (1 if len(services) > 1 else 1_000)

    async def escrow() -> None:
        service = free.pop()
        name, account = uuid.uuid4().hex, f"creator-{next(numbers) % creators}"
        await service.reserve(name, account=account, amount=1, reference="bench")
        await service.capture(name, to_account="worker")
        free.append(service)

    return escrow


def _in_threads(
    threads: ThreadPoolExecutor,
    url: str,
    creators: int,
    do: Callable[[psycopg.Connection[Any], int, str], None],
) -> Doing:
    numbers = itertools.count()
    own = local()

    def escrow() -> None:
        if not hasattr(own, "connection"):
            own.connection = psycopg.connect(url, autocommit=True)
        do(own.connection, next(numbers) % creators, uuid.uuid4().hex)

    async def escrow_in_thread() -> None:
        await asyncio.get_running_loop().run_in_executor(threads, escrow)

    return escrow_in_thread


def _alike(connection: psycopg.Connection[Any], number: int, name: str) -> None:
    creator, escrow = f"creator-{number}", f"system:escrow:creator-{number}"
    with connection.transaction():
        connection.execute(_MARK, [uuid.uuid4().hex])
        known = connection.execute(_LOOK, [name]).fetchone()
        balance = connection.execute(_BALANCE, [creator]).fetchone()
        if known is None and balance is not None and balance[0] > 0:
            connection.execute(_HOLD, [name, creator])
            connection.execute(_POST, ["reserve", name, creator, escrow])
    with connection.transaction():
        connection.execute(_MARK, [uuid.uuid4().hex])
        if connection.execute(_LOOK, [name]).fetchone() == ("held",):
            connection.execute(_PAY, [name])
            connection.execute(_POST, ["capture", name, escrow, "worker"])


def _bare(connection: psycopg.Connection[Any], number: int, name: str) -> None:
    creator, escrow = f"creator-{number}", f"escrow-{number}"
    with connection.transaction():
        connection.execute(_MOVE, [-1, creator])
        connection.execute(_MOVE, [1, escrow])
        connection.execute("INSERT INTO reservations VALUES (%s, %s, 1, 'held')", [name, creator])
        connection.execute(_ENTRY, ["reserve", name, creator, escrow])
    with connection.transaction():
        connection.execute(_MOVE, [-1, escrow])
        connection.execute(_MOVE, [1, "worker"])
        connection.execute(
            "UPDATE reservations SET status = 'captured', payee = 'worker' WHERE id = %s", [name]
        )
        connection.execute(_ENTRY, ["capture", name, escrow, "worker"])


def _function(connection: psycopg.Connection[Any], number: int, name: str) -> None:
    creator, escrow = f"creator-{number}", f"escrow-{number}"
    connection.execute("SELECT reserve(%s, %s, %s)", [creator, escrow, name])
    connection.execute("SELECT capture(%s, %s)", [escrow, name])


def _report(found: dict[tuple[int, int], dict[str, list[float]]]) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, object]] = {}
    for (creators, callers), turns in found.items():
        for name, rates in turns.items():
            rate, ratio = Spread.of(rates), Spread.of_ratios(rates, turns[BARE])
            rows.append([creators, callers, name, rate, "" if name == BARE else ratio])
            figures.setdefault(f"{creators} creators, {callers} callers", {})[name] = {
                "per_second": rate.figures,
                "ratio_vs_bare_statements": ratio.figures,
            }
    columns = ["creators", "callers", "ledger", "escrows/s", "× bare statements"]
    return Report(
        "postgres_throughput",
        {"postgres_throughput": figures},
        [Table("Escrows on PostgreSQL: reserve, then capture", columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _draw(figure: Figure, found: dict[tuple[int, int], dict[str, list[float]]]) -> None:
    axes = figure.subplots()
    names = list(next(iter(found.values())))
    series = [(name, [Spread.of(turns[name]) for turns in found.values()]) for name in names]
    places = [f"{callers}\n{creators} creators" for creators, callers in found]
    grouped_bars(axes, places, series)
    axes.set(title="escrows a second", xlabel="callers", yscale="log")


if __name__ == "__main__":
    run_alone(measure)
