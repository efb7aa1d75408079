"""How many escrows a second a ledger takes: credits are set aside, then paid to another account.

The ledgers that this library has, at 1, 8 and 64 callers, beside what SQLite alone can do on a file
of the same settings, in two transactions:

- the same facts: a file with the same tables, in which an id that was used is found, credits are
  looked at before they are spent, and a history is kept; on a thread, since callers are on an event
  loop which does not wait for a disk;
- the moves alone: two balances changed, on the event loop itself, without any of that.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.charts import grouped_bars
from benchmarks.harness.options import Options
from benchmarks.harness.report import Report, Table
from benchmarks.harness.rounds import (
    Doing,
    Spread,
    Step,
    part_of,
    rounded,
    take_turns,
    throughput,
)
from benchmarks.harness.running import run_alone
from benchmarks.harness.server import mock_server
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.ports import CreditsService
from nexus_bounty_nexuspay import NexusPayCredits
from nexus_bounty_sqlite import SqliteCredits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IN_MEMORY, IN_FILE, ON_NEXUSPAY = "in memory", "in a SQLite file", "on NexusPay (the mock)"
BARE = "bare SQLite, two transactions"
ALIKE = "bare SQLite, the same facts"
ESCROW = "system:escrow:creator"
FUNDS = 10**9
FUNDS_ON_NEXUSPAY = 50_000
"""No more than there is in the account that pays for a top-up."""
_LOOK = "SELECT status FROM reservations WHERE reservation_id = ?"
_BALANCE = "SELECT balance FROM accounts WHERE name = 'creator'"
_HOLD = """
    INSERT INTO reservations (reservation_id, account, amount, status, reference, created_at)
    VALUES (?, 'creator', 1, 'held', 'bench', ?)
"""
_PAY = """
    UPDATE reservations SET status = 'captured', captured_to = 'worker' WHERE reservation_id = ?
"""
_POST = """
    INSERT INTO entries (kind, source_id, debit, credit, amount, at, memo)
    VALUES (?, ?, ?, ?, 1, ?, 'bench')
"""


async def measure(options: Options, step: Step) -> Report:
    """Compare them at every number of callers."""
    counts = options.pick(tiny=[2], quick=[1, 8, 64], full=[1, 8, 64])
    seconds = options.pick(tiny=0.1, quick=0.7, full=3.0)
    found: dict[int, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as directory, mock_server() as server:
        async with AsyncExitStack() as opened:
            enter = opened.enter_async_context
            bare = opened.enter_context(_bare_sqlite(Path(directory) / "bare.db"))
            escrows = {
                IN_MEMORY: await _escrow(MemoryCredits()),
                IN_FILE: await _escrow(await enter(SqliteCredits(Path(directory) / "ours.db"))),
                ON_NEXUSPAY: await _escrow(
                    await enter(NexusPayCredits(server.url)), FUNDS_ON_NEXUSPAY
                ),
                ALIKE: opened.enter_context(await _same_facts(Path(directory) / "alike.db")),
                BARE: bare,
            }
            for callers in counts:
                turns = {name: throughput(do, callers, seconds) for name, do in escrows.items()}
                part = part_of(step, f"{callers} callers")
                found[callers] = await take_turns(turns, options.turns, part)
    return _report(found)


async def _escrow(credits: CreditsService, funds: int = FUNDS) -> Doing:  # noqa: A002 - the word
    await credits.top_up("funds", account="creator", amount=funds)

    async def escrow() -> None:
        reservation_id = uuid.uuid4().hex
        await credits.reserve(reservation_id, account="creator", amount=1, reference="bench")
        await credits.capture(reservation_id, to_account="worker")

    return escrow


@contextmanager
def _bare_sqlite(path: Path) -> Iterator[Doing]:
    """What one writes first: a balance moved from account to account in each transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER)")
    balances = [("creator", FUNDS), ("escrow", 0), ("worker", 0)]
    connection.executemany("INSERT INTO accounts VALUES (?, ?)", balances)
    update = "UPDATE accounts SET balance = balance + ? WHERE name = ?"

    def move(debit: str, credit: str) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(update, [(-1, debit), (1, credit)])
        connection.execute("COMMIT")

    async def escrow() -> None:
        move("creator", "escrow")
        move("escrow", "worker")

    try:
        yield escrow
    finally:
        connection.close()


async def _same_facts(path: Path) -> AbstractContextManager[Doing]:
    """What the ledger keeps of it, by plain statements on its tables."""
    async with SqliteCredits(path) as ledger:
        await ledger.top_up("funds", account="creator", amount=FUNDS)
    return _by_plain_statements(path)


@contextmanager
def _by_plain_statements(path: Path) -> Iterator[Doing]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")

    def reserve(name: str) -> None:
        connection.execute("BEGIN IMMEDIATE")
        known = connection.execute(_LOOK, [name]).fetchone()
        ((balance,),) = connection.execute(_BALANCE).fetchall()
        if known is None and balance > 0:
            connection.execute(_HOLD, [name, _now()])
            connection.execute(_POST, ["reserve", name, "creator", ESCROW, _now()])
        connection.execute("COMMIT")

    def capture(name: str) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute(_LOOK, [name]).fetchone() == ("held",):
            connection.execute(_PAY, [name])
            connection.execute(_POST, ["capture", name, ESCROW, "worker", _now()])
        connection.execute("COMMIT")

    async def escrow() -> None:
        name = uuid.uuid4().hex
        await asyncio.get_running_loop().run_in_executor(thread, reserve, name)
        await asyncio.get_running_loop().run_in_executor(thread, capture, name)

    with ThreadPoolExecutor(1) as thread, closing(connection):
        yield escrow


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _report(found: dict[int, dict[str, list[float]]]) -> Report:
    rows: list[list[object]] = []
    figures: dict[str, dict[str, object]] = {}
    for callers, turns in found.items():
        for name, rates in turns.items():
            rate, ratio = Spread.of(rates), Spread.of_ratios(rates, turns[BARE])
            alike = Spread.of_ratios(rates, turns[ALIKE])
            rows.append([callers, name, rate, ratio, alike])
            figures.setdefault(str(callers), {})[name] = {
                "per_second": rate.figures,
                "ratio_vs_bare_sqlite": ratio.figures,
                "ratio_vs_the_same_facts": alike.figures,
            }
    columns = ["callers", "ledger", "escrows/s", "× bare SQLite", "× the same facts"]
    return Report(
        "ledger_throughput",
        {"ledger_throughput": figures, "ledger_vs_bare_sqlite": _at_eight(found)},
        [Table("Escrows: reserve, then capture", columns, rows)],
        lambda figure: _draw(figure, found),
    )


def _at_eight(found: dict[int, dict[str, list[float]]]) -> float:
    """What a ledger in a file makes of bare SQLite's escrows, with eight callers if there were."""
    turns = found[8 if 8 in found else min(found)]
    return rounded(Spread.of_ratios(turns[IN_FILE], turns[BARE]).median)


def _draw(figure: Figure, found: dict[int, dict[str, list[float]]]) -> None:
    axes = figure.subplots()
    names = list(next(iter(found.values())))
    series = [(name, [Spread.of(turns[name]) for turns in found.values()]) for name in names]
    grouped_bars(axes, [str(callers) for callers in found], series)
    axes.set(title="escrows a second", xlabel="callers", yscale="log")


if __name__ == "__main__":
    run_alone(measure)
