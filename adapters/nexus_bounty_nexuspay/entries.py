"""One entry of the journal, and the name of a transfer that carries it.

A transfer's recipient is the one free text that `/api/v2/pay/transactions` lists, so that is where
an entry travels, as JSON after the ledger's name:

    nexus-bounty:default:{"entryId": "…", "after": "…", "operation": "reserve", "key": "…", …}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from nexus_bounty.events.log import logger_of
from nexus_bounty.ledger import MINT, JournalEntry
from nexus_bounty.memory import MemoryBook
from nexus_bounty.models import Wire
from nexus_bounty.ports import Reservation

logger = logger_of("nexus_bounty.nexuspay")

START: Final = ""
"""What the first entry of a ledger follows."""
PLAIN: Final = 1
ASSIGNING: Final = 2
"""The version of an entry that assigns reservations, which releases of version 1 would pass over
and pay somebody else."""
VERSION: Final = ASSIGNING


class Entry(Wire, frozen=True, kw_only=True):
    """What one operation did to the ledger. It counts if it is the first to follow `after`.

    `operation` and `key` say on whose behalf: the key is what a lost answer is looked up by.
    """

    entry_id: str
    after: str
    operation: str
    key: str | None = None
    opened: Sequence[Reservation] = ()
    assigned: Sequence[Reservation] = ()
    closed: Sequence[Reservation] = ()
    moved: Sequence[JournalEntry] = ()
    version: int = PLAIN

    def apply(self, book: MemoryBook) -> None:
        """Do to `book` what was done."""
        for reservation in self.opened:
            book.add_reservation(reservation)
        for reservation in self.assigned:
            book.assign_reservation(reservation)
        for reservation in self.closed:
            book.close_reservation(reservation)
        for movement in self.moved:
            book.post(movement)

    @property
    def issued(self) -> int:
        """How many new credits it brought into the ledger."""
        return sum(movement.amount for movement in self.moved if movement.debit == MINT)


class Draft(MemoryBook):
    """A copy of a book in which an operation is tried, and what it did there."""

    def __init__(self, start: MemoryBook) -> None:
        super().__init__(start)
        self._opened: list[Reservation] = []
        self._assigned: list[Reservation] = []
        self._closed: list[Reservation] = []
        self._moved: list[JournalEntry] = []

    def add_reservation(self, reservation: Reservation) -> None:
        """Write a new reservation down."""
        super().add_reservation(reservation)
        self._opened.append(reservation)

    def assign_reservation(self, assigned: Reservation) -> None:
        """Replace a held reservation by one with another assignment, or with none."""
        super().assign_reservation(assigned)
        self._assigned.append(assigned)

    def close_reservation(self, closed: Reservation) -> None:
        """Replace a held reservation by its final state."""
        super().close_reservation(closed)
        self._closed.append(closed)

    def post(self, entry: JournalEntry) -> None:
        """Append to the journal and change both balances."""
        super().post(entry)
        self._moved.append(entry)

    @property
    def changed(self) -> bool:
        """Whether there is anything to keep."""
        return bool(self._opened or self._assigned or self._closed or self._moved)

    def entry(self, entry_id: str, after: str, operation: str, key: str | None) -> Entry:
        """The entry that makes the same changes."""
        return Entry(
            entry_id=entry_id,
            after=after,
            operation=operation,
            key=key,
            opened=tuple(self._opened),
            assigned=tuple(self._assigned),
            closed=tuple(self._closed),
            moved=tuple(self._moved),
            version=ASSIGNING if self._assigned else PLAIN,
        )


class Names:
    """How the transfers of one ledger are addressed.

    Args:
        ledger: The ledger's name.
    """

    def __init__(self, ledger: str) -> None:
        self.deposit = f"nexus-bounty:{ledger}"
        """Who pays to this name brings credits that a later top-up uses."""
        self._start = f"{self.deposit}:"

    def of(self, entry: Entry) -> str:
        """The recipient of the transfer that carries `entry`."""
        return self._start + msgspec.json.encode(entry).decode()

    def owns(self, recipient: str) -> bool:
        """Whether a transfer to `recipient` belongs to this ledger."""
        return recipient == self.deposit or recipient.startswith(self._start)

    def entry_in(self, recipient: str) -> Entry | None:
        """The entry that a recipient's name carries, if it carries one."""
        if not recipient.startswith(self._start):
            return None
        try:
            return msgspec.json.decode(recipient.removeprefix(self._start), type=Entry)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            logger.warning("not an entry, counted as a deposit only: %.80r", recipient)
            return None
