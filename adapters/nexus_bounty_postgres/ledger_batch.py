"""What the calls of one transaction are about, in memory: read once, changed, written once."""

from __future__ import annotations

import sys
from datetime import datetime
from itertools import islice
from typing import Any, Final

import msgspec
import psycopg

from nexus_bounty.ledger import MINT, JournalEntry, LedgerScope, escrow_of
from nexus_bounty.models import utc_now
from nexus_bounty.ports import JournaledOperation, Reservation, ReservationStatus, Transfer
from nexus_bounty.transactions import Announced, Clock
from nexus_bounty.validation import MOST_AMOUNT
from nexus_bounty_postgres.foresight import KnownReservations, Unread
from nexus_bounty_postgres.ledger_tables import LedgerTables
from nexus_bounty_postgres.rows import operation_of, reservation_of, transfer_of, understood
from nexus_bounty_postgres.script import RowLocks, Rows, Script
from nexus_bounty_postgres.writing import LedgerChanges, write, write_as_foreseen

_PAYING: Final = (ReservationStatus.HELD, ReservationStatus.CAPTURED)
_MOVES: Final = ("top_up", "transfer")
_WHATEVER_COMES: Final = sys.maxsize
"""Nobody goes on reading the journal from where a transaction has looked at it."""


class _Found(msgspec.Struct):
    """What `open_step` returns; times are in UTC, whatever the session's zone."""

    accounts: dict[str, int]
    reservations: list[
        tuple[
            int,
            str,
            str,
            int,
            str,
            str,
            str | None,
            str | None,
            str,
            str | None,
            str | None,
            str | None,
        ]
    ]
    transfers: list[tuple[str, str, str, int, str, str]]
    operations: list[str]


class LedgerBatch(LedgerTables):
    """A `Book`, a `JournalBook` and a `RangeBook` of what was announced.

    Reservations and operations are locked by their rows, in their order. Works are locked by name,
    since another reservation may be the first to be paid for one. Balances are locked last, see
    `transaction`. What was not announced can be read, but not locked.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        clock: Clock = utc_now,
        known: KnownReservations | None = None,
    ) -> None:
        super().__init__(connection, settled=_WHATEVER_COMES)
        self._clock = clock
        self._known = known or KnownReservations()
        self._scopes: list[LedgerScope] = []
        self._foreseeable = True
        self._foreseen: dict[str, Reservation] = {}
        self._unread_balance = 0
        self._opening = 0
        self._balances: dict[str, int] = {}
        self._reservations: dict[str, Reservation | None] = {}
        self._transfers: dict[str, Transfer | None] = {}
        self._operations: dict[tuple[str, str], JournaledOperation | None] = {}
        self._written = LedgerChanges()

    @property
    def changes(self) -> int:
        """How often something was changed."""
        return self._written.count

    def announce(self, work: Any) -> None:
        """Take in what a call may read and change."""
        if isinstance(work, Announced):
            self._scopes.append(work.scope)
        self._foreseeable &= isinstance(work, Announced) and work.foreseeable

    def foresee(self) -> bool:
        """Take what is believed to be there for what is; whether all works may be tried on it.

        Reservations are as they were last seen, other records are new, and there is enough of
        everything: whoever works on it asks of a balance no more than that.
        """
        self._connection = Unread()
        self._reservations = {name: self._known.get(name) for name in self._all("reservations")}
        self._foreseen = {name: each for name, each in self._reservations.items() if each}
        self._transfers = dict.fromkeys(self._all("transfers"))
        self._operations = dict.fromkeys(self._all("operations"))
        self._unread_balance, self._balances = MOST_AMOUNT, {MINT: 0}
        return self._foreseeable

    def closing_as_foreseen(self, script: Script, marker: str, wait: str) -> bool:
        """Add the statement that compares, and writes; `False` if that would not prove it all."""
        posted = {entry.source_id for entry in self._written.entries if entry.kind in _MOVES}
        is_proven = (
            self._written.steps > 0
            and not self._written.continued
            and self._transfers.keys() <= posted
            and self._operations.keys() <= self._written.begun.keys()
        )
        if is_proven:
            known = list(self._foreseen)
            absent = self._reservations.keys() - self._foreseen.keys() - self._written.new.keys()
            scope = [self._all("accounts"), self._all("works"), known, sorted(absent)]
            seen = [marker, wait, self._clock(), *scope]
            write_as_foreseen(self._written, self._foreseen, seen, script)
        return is_proven

    def keep_in_mind(self) -> None:
        """Remember what stands now, for the next that is foreseen."""
        self._known.see(self._all("reservations"), self._reservations)

    def opening(self, script: Script, locks: RowLocks) -> None:
        """Add the statement that reads all of it, and locks it."""
        operations = self._all("operations")
        scope = {
            "accounts": self._all("accounts"),
            "reservations": self._all("reservations"),
            "works": self._all("works"),
            "transfers": self._all("transfers"),
            "zones": [zone_id for zone_id, _ in operations],
            "keys": [key for _, key in operations],
            "escrow": escrow_of(""),
            "now": self._clock(),
        }
        encoded = msgspec.json.encode(scope).decode()
        self._opening = script.add("SELECT nexus_bounty.open_step(%s, %s)", encoded, int(locks))

    def take_in(self, found: list[Rows]) -> None:
        """Keep what it found."""
        read = understood(found[self._opening][0][0], _Found)
        self._balances = read.accounts
        self._reservations = dict.fromkeys(self._all("reservations"))
        for row in read.reservations:
            reservation = reservation_of(row)
            self._reservations[reservation.reservation_id] = reservation
        self._transfers = dict.fromkeys(self._all("transfers"))
        self._transfers |= {row[0]: transfer_of(row) for row in read.transfers}
        self._operations = dict.fromkeys(self._all("operations"))
        for document in read.operations:
            operation = operation_of(document)
            self._operations[operation.zone_id, operation.key] = operation

    def closing(self, script: Script) -> None:
        """Add the statements that write what has changed."""
        write(self._written, script)

    def adopt_identity(self, identity: str) -> None:
        """Become another place of that ledger; only where nothing has moved yet."""
        self._connection.execute("UPDATE nexus_bounty.ledger SET identity = %s", [identity])
        self._written.at_once += 1

    def balance(self, name: str) -> int:
        """What the account has; zero if it was never heard of."""
        return self._balances.get(name, self._unread_balance)

    def post(self, entry: JournalEntry) -> None:
        """Append to the journal; a trigger changes both balances with it."""
        self._written.steps += 1
        self._written.entries.append(entry)
        for name, change in entry.postings:
            self._balances[name] = self.balance(name) + change
        if entry.kind in _MOVES:
            self._transfers[entry.source_id] = entry.as_transfer

    def transfer(self, transfer_id: str) -> Transfer | None:
        """The transfer or top-up with this id, or `None`."""
        if transfer_id in self._transfers:
            return self._transfers[transfer_id]
        return super().transfer(transfer_id)

    def reservation(self, reservation_id: str) -> Reservation | None:
        """The reservation with this id, or `None`."""
        if reservation_id in self._reservations:
            return self._reservations[reservation_id]
        return super().reservation(reservation_id)

    def add_reservation(self, reservation: Reservation) -> None:
        """Write a new reservation down."""
        self._written.steps += 1
        self._reservations[reservation.reservation_id] = reservation
        self._written.new[reservation.reservation_id] = reservation

    def assign_reservation(self, assigned: Reservation) -> None:
        """Replace a held reservation by one with another assignment, or with none."""
        self._change(assigned)

    def close_reservation(self, closed: Reservation) -> None:
        """Replace a held reservation by its final state."""
        self._change(closed)

    def paid_for(self, work: str, *, besides: str) -> Reservation | None:
        """Another reservation than `besides`, held or captured, that is assigned for `work`."""
        for each in self._reservations.values():
            if each is None or each.assignment is None or each.reservation_id == besides:
                continue
            if each.assignment.work == work and each.status in _PAYING:
                return each
        return None

    def overdue(
        self, now: datetime, limit: int = -1, *, scope: LedgerScope | None = None
    ) -> list[Reservation]:
        """Held reservations whose time is over at `now`, of those that were announced."""
        found = (
            each
            for each in self._reservations.values()
            if each is not None and _is_over(each, now) and (scope is None or scope.covers(each))
        )
        return list(islice(found, None if limit < 0 else limit))

    def operation(self, zone_id: str, key: str) -> JournaledOperation | None:
        """The operation that a key stands for, or `None`."""
        if (zone_id, key) in self._operations:
            return self._operations[zone_id, key]
        return super().operation(zone_id, key)

    def save_operation(self, operation: JournaledOperation) -> None:
        """Write an operation, new or changed."""
        self._written.steps += 1
        name = operation.zone_id, operation.key
        known = self._operations.get(name) is not None and name not in self._written.begun
        (self._written.continued if known else self._written.begun)[name] = operation
        self._operations[name] = operation

    def forget_operations(self, zone_id: str, before: datetime) -> int:
        """Drop those that were closed before then; returns how many."""
        dropped: int = self._connection.execute(
            "DELETE FROM nexus_bounty.operations WHERE zone_id = %s AND ended_at < %s",
            [zone_id, before],
        ).rowcount
        self._written.at_once += dropped
        return dropped

    def save_range_memory(self, zone_id: str, name: str, memory: str) -> None:
        """Remember that, in place of what was."""
        self._connection.execute(
            """
            INSERT INTO nexus_bounty.range_memories (zone_id, name, memory) VALUES (%s, %s, %s)
            ON CONFLICT (zone_id, name) DO UPDATE SET memory = excluded.memory
            """,
            [zone_id, name, memory],
        )
        self._written.at_once += 1

    def _change(self, reservation: Reservation) -> None:
        self._written.steps += 1
        name = reservation.reservation_id
        self._reservations[name] = reservation
        changed = self._written.new if name in self._written.new else self._written.changed
        changed[name] = reservation

    def _all(self, part: str) -> list[Any]:
        return sorted({name for scope in self._scopes for name in getattr(scope, part)})


def _is_over(reservation: Reservation, now: datetime) -> bool:
    until = reservation.expires_at
    held = reservation.status is ReservationStatus.HELD
    return held and until is not None and until <= now
