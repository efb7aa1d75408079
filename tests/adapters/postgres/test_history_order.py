"""Whoever reads a history and comes back for more misses nothing that was committed in between."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from nexus_bounty.ledger import Book, JournalEntry, LedgerScope, rules
from nexus_bounty.ledger.book import both_accounts_of
from nexus_bounty.models import utc_now
from nexus_bounty.ports import Transfer
from nexus_bounty.transactions import Announced
from nexus_bounty_postgres import PostgresCredits

_TRANSFER = """
    INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)
    VALUES ('transfer', %s, 'system:mint', 'mallory', 1, now(), '')
"""
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

    def leave(self, *, committed: bool = False) -> None:
        self._held.commit() if committed else self._held.rollback()
        self._held.close()

    async def met(self, pid: int | None = None) -> int:
        """Wait until somebody waits for it, or for `pid`, and tell who does."""
        with psycopg.connect(self._url, autocommit=True) as looker:
            while True:
                for (found,) in looker.execute(_BLOCKED, [pid or self.pid]).fetchall():
                    return int(found)
                await asyncio.sleep(0.01)


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
    is_foreseen, ledger, other, postgres_url
):
    """Who waited for it to be made has no lock on it yet: whoever comes next could overtake."""
    making = Obstacle(postgres_url, "INSERT INTO nexus_bounty.accounts (name) VALUES ('dave')")
    between = Obstacle(postgres_url, _TRANSFER, "second")  # its entry comes after `first` has one
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
    is_foreseen, ledger, other, postgres_url
):
    """One history has both, though the two move no balance that is common to them."""
    await (other if is_foreseen else ledger).reserve("r", account="alice", amount=10)
    between = Obstacle(postgres_url, _TRANSFER, "second")
    work = moving(_wanted("first", "bob", "alice"), _wanted("second", "bob", "erin"))
    slow = asyncio.create_task(ledger._write("move", None, work))
    pid = await between.met()
    quick = asyncio.create_task(other.capture("r", to_account="carol"))
    await done_or_blocked(quick, between, pid)
    seen, there = await read_twice(other, "alice", between, slow, quick)
    assert seen == there
    assert there == ["fund-alice", "r", "first", "r"]
