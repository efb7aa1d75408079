"""Transactions that wait together are committed together, and none of them pays for another."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nexus_bounty.outcomes import (
    CommitUnknownError,
    IdempotencyMismatchError,
    InsufficientCreditsError,
    PaymentError,
    PreCommitError,
)
from nexus_bounty_sqlite import SqliteCredits

CALLERS = 12
Hook = Callable[[sqlite3.Connection, str, tuple[Any, ...]], None]


class Watched(sqlite3.Connection):
    """Asks its file before and after each statement."""

    file: File

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        self.file.statements.append(sql.split()[0])
        self.file.before(self, sql, args)
        cursor = super().execute(sql, *args)
        self.file.after(self, sql, args)
        return cursor


class File:
    """Connections that can be held up, or fail, at any statement."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.before: Hook = lambda *_: None
        self.after: Hook = lambda *_: None

    def connect(self, path: str, seconds: float) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=seconds, isolation_level=None, factory=Watched)
        connection.file = self
        return connection

    @property
    def commits(self) -> int:
        return self.statements.count("COMMIT")


def failing(statement: str, code: int, about: str = "", times: int = 1) -> Hook:
    """Fails the first such statements, of those that are `about` something."""
    failed: list[str] = []

    def hook(_: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> None:
        if len(failed) < times and statement in sql and about in str(values):
            failed.append(sql)
            error = sqlite3.OperationalError("injected")
            error.sqlite_errorcode = code
            raise error

    return hook


@pytest.fixture
def file():
    return File()


@pytest.fixture
async def service(path, file):
    async with SqliteCredits(path, connect=file.connect) as service:
        await service.top_up("t", account="alice", amount=100)
        file.statements.clear()
        yield service


async def reserve_together(service: SqliteCredits, amount: int = 1) -> list[Any]:
    """What becomes of reservations that are asked for at once."""
    asked = [
        service.reserve(f"r{number}", account="alice", amount=amount) for number in range(CALLERS)
    ]
    return await asyncio.gather(*asked, return_exceptions=True)


def found(recount: Callable[[], Any]) -> list[int]:
    """How often each reservation is in the file."""
    counted = recount()
    return [counted.count("reserve", f"r{number}") for number in range(CALLERS)]


async def test_callers_that_wait_together_share_one_commit(service, file, recount):
    """One wait for the disk, however many there are."""
    assert all(each.status == "held" for each in await reserve_together(service))
    assert file.commits == 1
    assert found(recount) == [1] * CALLERS


async def test_those_who_come_during_a_commit_are_the_next_group(service, file):
    """Not one transaction each."""
    held, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection, sql: str, __: tuple[Any, ...]) -> None:
        if sql == "COMMIT" and not held.is_set():
            held.set()
            assert go_on.wait(10)

    file.before = hold
    first = asyncio.create_task(service.top_up("t2", account="bob", amount=1))
    await asyncio.to_thread(held.wait, 10)
    rest = asyncio.create_task(reserve_together(service))
    await asyncio.sleep(0.01)
    go_on.set()
    await first
    await rest
    assert file.commits == 2


async def test_nobody_is_told_before_the_commit(service, file):
    """Not the first of a group either, whose own statements have long succeeded."""
    held, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection, sql: str, __: tuple[Any, ...]) -> None:
        if sql == "COMMIT":
            held.set()
            assert go_on.wait(10)

    file.before = hold
    tasks = [
        asyncio.create_task(service.reserve(f"r{each}", account="alice", amount=1))
        for each in range(3)
    ]
    await asyncio.to_thread(held.wait, 10)
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in tasks)
    go_on.set()
    await asyncio.gather(*tasks)


async def test_one_that_fails_takes_nobody_with_it(service, file, recount):
    """A broken statement of one is undone with its group; then everybody goes alone."""
    in_its_group_and_alone = 2
    file.before = failing(
        "INSERT INTO reservations", sqlite3.SQLITE_IOERR, "'r5'", in_its_group_and_alone
    )
    ended = await reserve_together(service)
    assert [isinstance(each, PreCommitError) for each in ended] == [
        number == 5 for number in range(CALLERS)
    ]
    assert isinstance(ended[5], PaymentError)
    assert ended[5].idempotency_key == "r5"
    assert found(recount) == [int(number != 5) for number in range(CALLERS)]


async def test_a_refusal_by_the_rules_leaves_the_group_whole(service, file, recount):
    """Each sees what those before it took: the credits last for some, and the others are told."""
    ended = await reserve_together(service, amount=30)
    refused = [isinstance(each, InsufficientCreditsError) for each in ended]
    assert refused == [number >= 3 for number in range(CALLERS)]
    assert file.commits == 1
    assert found(recount) == [int(number < 3) for number in range(CALLERS)]


async def test_a_key_used_twice_in_one_group_is_one_operation(service, recount):
    """As it would be in two transactions one after the other."""
    ended = await asyncio.gather(
        service.reserve("r0", account="alice", amount=1),
        service.reserve("r0", account="alice", amount=1),
        service.reserve("r0", account="alice", amount=2),
        return_exceptions=True,
    )
    assert ended[0] == ended[1]
    assert isinstance(ended[2], IdempotencyMismatchError)
    assert found(recount)[0] == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_commit_that_does_not_answer_leaves_all_of_its_group_in_doubt(
    after, service, file, recount
):
    """Whether it happened or not; every error carries its own id, and the same ids settle it."""
    fault = failing("COMMIT", sqlite3.SQLITE_IOERR | 4 << 8)
    if after:
        file.after = fault
    else:
        file.before = fault
    ended = await reserve_together(service)
    assert all(isinstance(each, CommitUnknownError) for each in ended)
    assert [each.idempotency_key for each in ended] == [f"r{each}" for each in range(CALLERS)]
    assert len({id(each) for each in ended}) == CALLERS
    assert found(recount) == [int(after)] * CALLERS
    assert all(each.status == "held" for each in await reserve_together(service))
    assert found(recount) == [1] * CALLERS


async def test_a_commit_that_is_refused_is_undone_for_all(service, file, recount):
    """The file says so, and nothing of the group is in it."""
    file.before = failing("COMMIT", sqlite3.SQLITE_BUSY)
    assert all(isinstance(each, PaymentError) for each in await reserve_together(service))
    assert found(recount) == [0] * CALLERS


async def test_one_that_is_cancelled_while_its_group_waits_never_happens(service, file, recount):
    """The others do."""
    held, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection, sql: str, __: tuple[Any, ...]) -> None:
        if sql == "COMMIT" and not held.is_set():
            held.set()
            assert go_on.wait(10)

    file.before = hold
    first = asyncio.create_task(service.top_up("t2", account="bob", amount=1))
    await asyncio.to_thread(held.wait, 10)
    tasks = [
        asyncio.create_task(service.reserve(f"r{each}", account="alice", amount=1))
        for each in range(CALLERS)
    ]
    await asyncio.sleep(0.01)
    tasks[3].cancel()
    await asyncio.sleep(0)
    go_on.set()
    ended = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert isinstance(ended[4], asyncio.CancelledError)
    assert found(recount) == [int(number != 3) for number in range(CALLERS)]


def test_a_service_goes_on_in_another_event_loop(path):
    """One whose callers have died with theirs does not wait for them."""
    service = SqliteCredits(path)

    async def asked_and_left() -> None:
        task = asyncio.create_task(service.top_up("lost", account="alice", amount=1))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(asked_and_left())

    async def asked() -> None:
        await service.top_up("t", account="alice", amount=1)
        await service.close()

    asyncio.run(asked())
