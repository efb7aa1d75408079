"""Whoever reads a history and comes back for more misses nothing that was committed in between."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from nexus_bounty.ledger import Book, JournalEntry, LedgerScope, copy_ledger, rules
from nexus_bounty.ledger.book import both_accounts_of
from nexus_bounty.memory import MemoryCredits
from nexus_bounty.models import utc_now
from nexus_bounty.outcomes import CommitUnknownError, PaymentError
from nexus_bounty.ports import Transfer
from nexus_bounty.transactions import Announced
from nexus_bounty_postgres import PostgresCredits, database
from nexus_bounty_postgres.writers import WRITERS, wait_for_writers

_MOVE = """
    INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)
    VALUES ('transfer', %s, %s, %s, 1, now(), '')
"""
_TRANSFER = _MOVE.replace("%s, %s, %s", "%s, 'system:mint', 'mallory'")
_WRITING = f"SELECT pg_advisory_xact_lock_shared({WRITERS})"
_BLOCKED = "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
_PAYERS = ("alice", "bob", "carol")


@pytest.fixture
async def ledger(postgres_url: str) -> AsyncIterator[PostgresCredits]:
    async with PostgresCredits(postgres_url) as service:
        for name in _PAYERS:
            await service.top_up(f"fund-{name}", account=name, amount=100)
        yield service
        assert (await service.verify()).ok


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[PostgresCredits]:
    async with PostgresCredits(postgres_url) as service:
        yield service


class Obstacle:
    """A transaction of somebody else that has something which others wait for."""

    def __init__(self, url: str, query: str, *values: Any) -> None:
        self._url = url
        self._held = psycopg.connect(url)
        self._held.execute(query.encode(), values)
        self.pid = self._held.info.backend_pid

    def do(self, query: str, *values: Any) -> None:
        """Do something more in it."""
        self._held.execute(query.encode(), values)

    def leave(self, *, committed: bool = False) -> None:
        """Commit, or undo, what it did."""
        if not self._held.closed:
            self._held.commit() if committed else self._held.rollback()
            self._held.close()

    async def met(self, pid: int | None = None) -> int:
        """Wait until somebody waits for it, or for `pid`, and tell who does."""
        with psycopg.connect(self._url, autocommit=True) as looker:
            while True:
                for (found,) in looker.execute(_BLOCKED, [pid or self.pid]).fetchall():
                    return int(found)
                await asyncio.sleep(0.01)


@pytest.fixture
def obstacle(postgres_url: str) -> Iterator[Callable[..., Obstacle]]:
    """Makes obstacles, which are out of the way after the test, however that ends."""
    made: list[Obstacle] = []

    def make(query: str, *values: Any) -> Obstacle:
        made.append(Obstacle(postgres_url, query, *values))
        return made[-1]

    yield make
    for each in made:
        each.leave()


def _wanted(name: str, source: str, target: str) -> Transfer:
    return Transfer(transfer_id=name, from_account=source, to_account=target, amount=1)


def moving(*wanted: Transfer, foreseeable: bool = False) -> Announced[LedgerScope, Book, None]:
    """Several transfers in one transaction, which reads first what it is about, or does not."""

    def move(book: Book) -> None:
        for each in wanted:
            rules.transfer(book, utc_now(), each)

    accounts = {name for each in wanted for name in (each.from_account, each.to_account)}
    names = tuple(each.transfer_id for each in wanted)
    return Announced(LedgerScope(accounts=tuple(accounts), transfers=names), move, foreseeable)


async def read_twice(
    ledger: PostgresCredits, account: str, slow: Obstacle, *calls: asyncio.Task[Any]
) -> tuple[list[str], list[str]]:
    """What a reader has seen who came back when all had ended, and what there is."""

    async def page(after: int) -> list[JournalEntry]:
        names = both_accounts_of(account)
        return await ledger._read("history", lambda book: book.entries(after=after, names=names))

    seen = await page(0)
    slow.leave()
    await asyncio.gather(*calls)
    seen += await page(seen[-1].entry_id if seen else 0)
    there = [each.source_id async for each in ledger.history(account=account)]
    return [each.source_id for each in seen], there


async def done_or_blocked(call: asyncio.Task[Any], slow: Obstacle, pid: int) -> None:
    """Wait until `call` has ended, or waits for the process `pid`."""
    blocked = asyncio.ensure_future(slow.met(pid))
    await asyncio.wait([call, blocked], return_when=asyncio.FIRST_COMPLETED)
    blocked.cancel()


@pytest.mark.parametrize("is_foreseen", [True, False])
async def test_an_account_that_another_transaction_has_just_made_is_not_numbered_past(
    is_foreseen, ledger, other, obstacle
):
    """Who waited for it to be made has no lock on it yet: whoever comes next could overtake."""
    making = obstacle("INSERT INTO nexus_bounty.accounts (name) VALUES ('dave')")
    between = obstacle(_TRANSFER, "second")  # its entry comes after `first` has one
    wanted = _wanted("first", "alice", "dave"), _wanted("second", "alice", "erin")
    work = moving(*wanted, foreseeable=is_foreseen)
    slow = asyncio.create_task(ledger._write("move", None, work))
    await making.met()
    making.leave(committed=True)
    pid = await between.met()
    quick = asyncio.create_task(
        other.transfer("q", from_account="bob", to_account="dave", amount=1)
    )
    await done_or_blocked(quick, between, pid)
    seen, there = await read_twice(other, "dave", between, slow, quick)
    assert seen == there
    assert sorted(there) == ["first", "q"]


@pytest.mark.parametrize("is_foreseen", [True, False])
async def test_what_comes_in_and_what_leaves_the_escrow_are_numbered_in_turn(
    is_foreseen, ledger, other, obstacle
):
    """One history has both, though the two move no balance that is common to them."""
    await (other if is_foreseen else ledger).reserve("r", account="alice", amount=10)
    between = obstacle(_TRANSFER, "second")
    work = moving(_wanted("first", "bob", "alice"), _wanted("second", "bob", "erin"))
    slow = asyncio.create_task(ledger._write("move", None, work))
    pid = await between.met()
    quick = asyncio.create_task(other.capture("r", to_account="carol"))
    await done_or_blocked(quick, between, pid)
    seen, there = await read_twice(other, "alice", between, slow, quick)
    assert seen == there
    assert there == ["fund-alice", "r", "first", "r"]


async def test_one_who_waits_to_read_everything_holds_up_nobody_who_writes(ledger, other, obstacle):
    """However long the slowest writer takes; and reads what that one has written."""
    slow = obstacle(_WRITING)
    slow.do(_TRANSFER, "slow")
    await ledger.transfer("after", from_account="alice", to_account="dave", amount=1)
    reading = asyncio.create_task(_all(other))
    await asyncio.sleep(0.3)
    quick = ledger.transfer("quick", from_account="alice", to_account="dave", amount=1)
    await asyncio.wait_for(quick, 2)
    assert not reading.done()
    slow.leave(committed=True)
    assert (await asyncio.wait_for(reading, 5))[-3:] == ["slow", "after", "quick"]


async def test_a_number_that_is_taken_after_the_wait_is_waited_for_again(
    ledger, other, obstacle, postgres_url, monkeypatch
):
    """Those that wrote have ended; those that have begun since are others."""
    with psycopg.connect(postgres_url) as given_up:
        given_up.execute("SELECT nextval('nexus_bounty.entries_entry_id_seq')")
    await ledger.transfer("before", from_account="alice", to_account="dave", amount=1)
    slow: list[Obstacle] = []

    def waited(connection: psycopg.Connection[Any], until: float) -> None:
        wait_for_writers(connection, until)
        if not slow:
            slow.append(obstacle(_WRITING))
            slow[0].do(_TRANSFER, "slow")
            with psycopg.connect(postgres_url) as quick:
                quick.execute(_MOVE.encode(), ["quick", "alice", "dave"])

    monkeypatch.setattr(database, "wait_for_writers", waited)
    reading = asyncio.create_task(_all(other))
    await asyncio.sleep(0.3)
    assert slow
    assert not reading.done()
    slow[0].leave(committed=True)
    assert (await asyncio.wait_for(reading, 5))[-3:] == ["before", "slow", "quick"]


async def test_a_writer_that_does_not_end_is_waited_for_so_long(ledger, obstacle, postgres_url):
    """Then the read ends without a page that could lack an entry, and nobody was held up."""
    slow = obstacle(_WRITING)
    slow.do(_TRANSFER, "slow")
    await ledger.transfer("after", from_account="alice", to_account="dave", amount=1)
    async with PostgresCredits(postgres_url, answer_within=timedelta(seconds=0.5)) as hasty:
        begun = time.monotonic()
        with pytest.raises(CommitUnknownError, match="has not ended"):
            await _all(hasty)
        assert time.monotonic() - begun < 0.9
    slow.leave()


async def test_a_copy_is_refused_where_the_first_number_was_given_up(postgres_url):
    """A place that has movements is told from an empty one without the number of its first."""
    async with PostgresCredits(postgres_url) as used, MemoryCredits() as source:
        await source.top_up("t", account="alice", amount=1)
        with psycopg.connect(postgres_url) as given_up:
            given_up.execute("SELECT nextval('nexus_bounty.entries_entry_id_seq')")
        await used.top_up("own", account="alice", amount=1)
        with pytest.raises(PaymentError, match="movements of its own"):
            await copy_ledger(source, used)


async def _all(ledger: PostgresCredits) -> list[str]:
    return [each.source_id async for each in ledger.history()]
