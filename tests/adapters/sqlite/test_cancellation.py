"""A cancelled call leaves nothing open and nothing in doubt; many callers share few threads."""

import asyncio
import sqlite3
import threading
from contextlib import closing

import pytest

from nexus_bounty.outcomes import PaymentError
from nexus_bounty_sqlite import SqliteCredits


class Gate:
    """Holds the writer's thread before a statement until it is told to go on."""

    def __init__(self) -> None:
        self.statement = ""
        self.reached = threading.Event()
        self.passed = threading.Event()

    def arm(self, statement: str) -> None:
        self.statement = statement

    def wait(self, sql: str) -> None:
        if self.statement and self.statement in sql:
            self.statement = ""
            self.reached.set()
            assert self.passed.wait(timeout=10)

    def connect(self, path: str, seconds: float) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, timeout=seconds, isolation_level=None, factory=GatedConnection
        )
        connection.gate = self
        return connection


class GatedConnection(sqlite3.Connection):
    """Asks its gate before each statement."""

    gate: Gate

    def execute(self, sql: str, *args: object) -> sqlite3.Cursor:
        self.gate.wait(sql)
        return super().execute(sql, *args)  # type: ignore[arg-type]


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
async def service(path, gate):
    async with SqliteCredits(path, connect=gate.connect) as service:
        await service.top_up("t", account="alice", amount=100)
        yield service
        gate.passed.set()


async def _cancelled_at(gate: Gate, statement: str, service: SqliteCredits) -> None:
    gate.arm(statement)
    task = asyncio.create_task(service.reserve("r", account="alice", amount=10))
    await asyncio.to_thread(gate.reached.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def _threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("nexus-bounty-sqlite")]


@pytest.mark.parametrize(
    "statement", ["BEGIN", "INSERT INTO reservations", "INSERT INTO entries", "COMMIT"]
)
async def test_cancelling_in_the_middle_leaves_no_transaction_open(
    statement, service, gate, path, recount
):
    """What has begun runs to its end, and the same id tells what became of it."""
    await _cancelled_at(gate, statement, service)
    gate.passed.set()
    assert (await service.reserve("r", account="alice", amount=10)).status == "held"
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    assert recount().count("reserve", "r") == 1


async def test_a_call_cancelled_while_it_waits_for_its_turn_never_happens(service, gate, recount):
    """It was not begun, so that it cannot land later."""
    gate.arm("COMMIT")
    first = asyncio.create_task(service.reserve("r1", account="alice", amount=10))
    await asyncio.to_thread(gate.reached.wait, 10)
    second = asyncio.create_task(service.reserve("r2", account="alice", amount=10))
    await asyncio.sleep(0.01)
    second.cancel()
    gate.passed.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    await service.close()
    assert (recount().count("reserve", "r1"), recount().count("reserve", "r2")) == (1, 0)


async def test_closing_finishes_what_has_begun(service, gate, recount):
    """A commit under way when the service closes is not lost."""
    gate.arm("COMMIT")
    task = asyncio.create_task(service.reserve("r", account="alice", amount=10))
    await asyncio.to_thread(gate.reached.wait, 10)
    closing_it = asyncio.create_task(service.close())
    await asyncio.sleep(0.01)
    gate.passed.set()
    assert (await task).status == "held"
    await closing_it
    assert recount().count("reserve", "r") == 1


async def test_a_cancelled_close_still_closes(service, gate):
    """Nobody could close it a second time."""
    gate.arm("COMMIT")
    task = asyncio.create_task(service.reserve("r", account="alice", amount=10))
    await asyncio.to_thread(gate.reached.wait, 10)
    closing_it = asyncio.create_task(service.close())
    await asyncio.sleep(0.01)
    closing_it.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing_it
    gate.passed.set()
    await task
    for thread in _threads():
        await asyncio.to_thread(thread.join, 10)
    assert _threads() == []


async def test_reading_does_not_wait_for_a_commit(service, gate):
    """A balance is read while a transaction is still being written."""
    gate.arm("COMMIT")
    task = asyncio.create_task(service.reserve("r", account="alice", amount=10))
    await asyncio.to_thread(gate.reached.wait, 10)
    balance = await asyncio.wait_for(service.balance("alice"), 5)
    assert (balance.available, balance.reserved) == (100, 0)
    gate.passed.set()
    await task


async def test_many_callers_share_two_threads(path, recount):
    """Sixty-four callers at once spend exactly what is there."""
    async with SqliteCredits(path) as service:
        await service.top_up("t", account="alice", amount=40)
        results = await asyncio.gather(
            *(service.reserve(f"r{n}", account="alice", amount=1) for n in range(64)),
            *(service.balance("alice") for _ in range(64)),
            return_exceptions=True,
        )
        assert len(_threads()) == 2
    refused = [result for result in results if isinstance(result, PaymentError)]
    assert len(refused) == 24
    assert _threads() == []
    assert recount().balances["system:escrow:alice"] == 40
