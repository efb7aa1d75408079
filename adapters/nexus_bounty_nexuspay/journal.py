"""The ledger as the server's list of transfers tells it.

Entries form a chain: each names the one that it follows, and of several that follow the same one
only the first counts, whatever the others did or paid. So a transfer that the network repeats, or
delivers an hour late, changes nothing, and once any entry follows another no stray one ever can.
That makes a list to which anybody may append a place for conditional writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec

from nexus_bounty.events.log import logger_of
from nexus_bounty.ledger import MINT
from nexus_bounty.memory import MemoryBook
from nexus_bounty_nexuspay.amounts import units_in
from nexus_bounty_nexuspay.entries import START, Entry, Names
from nexus_bounty_nexuspay.replay import objection

logger = logger_of("nexus_bounty.nexuspay")


class Transaction(msgspec.Struct, frozen=True):
    """One transfer as `/api/v2/pay/transactions` lists it; memos it does not list."""

    id: str
    created_at: datetime
    seller_agent_id: str
    amount: str


class _Place(NamedTuple):
    """Where an entry is in the list: the order of two that follow the same one."""

    created_at: datetime
    transaction_id: str
    entry: Entry


class Journal:
    """What is known of one ledger; the same for every reader of the same list.

    Args:
        names: How the ledger's transfers are addressed.

    Attributes:
        book: The accounts and reservations.
        head: The last entry that counts.
        deposited: How many units all its transfers together took from those who sent them.
        passed_over: Entries that do what no ledger by the rules would: they change nothing.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._seen: set[str] = set()
        self._followers: dict[str, _Place] = {}
        self._counted: set[str] = set()
        self.book = MemoryBook()
        self.head = START
        self.deposited = 0
        self.passed_over: list[str] = []
        self._deposits: list[tuple[datetime, int]] = []
        self._short_of_deposits: list[datetime] = []

    @property
    def size(self) -> int:
        """How many transfers are known, those of others included."""
        return len(self._seen)

    @property
    def unassigned(self) -> int:
        """Units that were deposited and no top-up has brought to an account."""
        return self.deposited + self.book.balance(MINT)

    @property
    def origin(self) -> str | None:
        """The ledger's first entry, by which it is told from every other."""
        return self.follower(START)

    def knows(self, transaction_id: str) -> bool:
        """Whether the transfer has been taken in."""
        return transaction_id in self._seen

    def follower(self, entry_id: str) -> str | None:
        """The entry that counts among those that follow `entry_id`, if there is any."""
        place = self._followers.get(entry_id)
        return None if place is None else place.entry.entry_id

    def add(self, transactions: Iterable[Transaction]) -> None:
        """Take in what the list shows, in any order and as often as it shows it.

        Raises:
            ArithmeticError, ValueError: An amount is none.
        """
        for transaction in transactions:
            if transaction.id not in self._seen:
                self._take(transaction)
                self._seen.add(transaction.id)
        self._advance()

    def _take(self, transaction: Transaction) -> None:
        if not self._names.owns(transaction.seller_agent_id):
            return
        entry = self._names.entry_in(transaction.seller_agent_id)
        units = units_in(transaction.amount)
        self.deposited += units
        self._deposits.append((transaction.created_at, units))
        if units and any(at >= transaction.created_at for at in self._short_of_deposits):
            self._count_anew()  # it allows for an entry that was passed over
        if entry is None:
            return
        place = _Place(transaction.created_at, transaction.id, entry)
        first = self._followers.setdefault(entry.after, place)
        if place[:2] < first[:2]:
            self._followers[entry.after] = place
            self._start_again(first.entry, entry)
            if entry.issued and first.entry.entry_id == entry.entry_id:
                self._count_anew()  # fewer deposits lie before it than it seemed

    def _start_again(self, before: Entry, now: Entry) -> None:
        """Count anew from the first entry, where the list has a new order."""
        if before.entry_id != now.entry_id and before.entry_id in self._counted:
            logger.error(
                "entry %s came before %s after all: the server's clock was set back, or several "
                "processes of it share a store",
                now.entry_id,
                before.entry_id,
            )
            self._count_anew()

    def _count_anew(self) -> None:
        self.book, self.head = MemoryBook(), START
        self._counted.clear()
        self.passed_over.clear()
        self._short_of_deposits.clear()

    def _advance(self) -> None:
        while (place := self._followers.get(self.head)) is not None:
            entry = place.entry
            if entry.entry_id in self._counted or entry.entry_id == START:
                return  # a circle, which only a forger can have written
            covered = self._covered(place) if entry.issued else 0
            if problem := objection(entry, self.book, covered):
                if entry.issued > covered:
                    self._short_of_deposits.append(place.created_at)
                self.passed_over.append(f"entry {entry.entry_id} is passed over: {problem}")
                logger.error("%s", self.passed_over[-1])
            else:
                entry.apply(self.book)
            self._counted.add(entry.entry_id)
            self.head = entry.entry_id

    def _covered(self, place: _Place) -> int:
        """The new credits that the deposits until `place` allow for; the same for every reader."""
        until_then = sum(units for at, units in self._deposits if at <= place.created_at)
        return until_then + self.book.balance(MINT)
