"""Credits kept in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from datetime import datetime
from heapq import nsmallest
from itertools import islice
from operator import itemgetter
from typing import Any

import msgspec

from nexus_bounty.idempotency import new_key
from nexus_bounty.ledger import (
    EntryKind,
    JournaledLedger,
    JournalEntry,
    LedgerCredits,
    LedgerScope,
    RememberingLedger,
    Sums,
    sums_of,
)
from nexus_bounty.models import utc_now
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.ports import (
    JournaledOperation,
    Reservation,
    ReservationStatus,
    Transfer,
    is_for,
)
from nexus_bounty.transactions import Clock, InMemory

_MOVES = (EntryKind.TRANSFER, EntryKind.TOP_UP)


class MemoryCredits(InMemory[Any], LedgerCredits, JournaledLedger, RememberingLedger):
    """A `CreditsService` in this process, for one event loop at a time.

    Args:
        clock: Says what has expired; aware.
        identity: Which ledger this is; one of its own if not given.
    """

    def __init__(self, *, clock: Clock = utc_now, identity: str | None = None) -> None:
        super().__init__(MemoryBook(identity=identity), clock=clock)


class MemoryBook:
    """A `Book` in dictionaries; given another, it starts as a copy of that one."""

    def __init__(self, start: MemoryBook | None = None, *, identity: str | None = None) -> None:
        self._identity = identity
        self._balances: Counter[str] = Counter()
        self._journal: list[JournalEntry] = []
        self._transfers: dict[str, Transfer] = {}
        self._reservations: dict[str, Reservation] = {}
        self._expiring: dict[str, datetime] = {}
        self._works: dict[str, tuple[str, ...]] = {}
        self._operations: dict[tuple[str, str], JournaledOperation] = {}
        self._range_memories: dict[tuple[str, str], str] = {}
        if start is not None:
            vars(self).update({name: copy(part) for name, part in vars(start).items()})

    def identity(self) -> str:
        """Which ledger this is."""
        if self._identity is None:
            self._identity = f"memory-{new_key()[:16]}"
        return self._identity

    def adopt_identity(self, identity: str) -> None:
        """Become another place of that ledger."""
        self._identity = identity

    def balance(self, name: str) -> int:
        """What the account has; zero if it was never heard of."""
        return self._balances[name]

    def accounts(self) -> Iterable[tuple[str, int]]:
        """Every account that ever moved, with its balance."""
        return self._balances.items()

    def sums(self) -> Sums:
        """The credits of all of them, added up."""
        return sums_of(self._balances.items())

    def post(self, entry: JournalEntry) -> None:
        """Append to the journal and change both balances."""
        written = msgspec.structs.replace(entry, entry_id=len(self._journal) + 1)
        self._journal.append(written)
        self._balances.update(dict(written.postings))
        if written.kind in _MOVES:
            self._transfers[written.source_id] = written.as_transfer

    def entries(
        self,
        *,
        after: int = 0,
        limit: int = -1,
        source_id: str | None = None,
        names: Sequence[str] | None = None,
    ) -> list[JournalEntry]:
        """Journal entries after `after`, oldest first, of one source or touching `names`."""
        found = (
            entry
            for entry in islice(self._journal, after, None)
            if source_id in (None, entry.source_id)
            and (names is None or entry.debit in names or entry.credit in names)
        )
        return list(islice(found, None if limit < 0 else limit))

    def transfer(self, transfer_id: str) -> Transfer | None:
        """The transfer or top-up with this id, or `None`."""
        return self._transfers.get(transfer_id)

    def reservation(self, reservation_id: str) -> Reservation | None:
        """The reservation with this id, or `None`."""
        return self._reservations.get(reservation_id)

    def add_reservation(self, reservation: Reservation) -> None:
        """Write a new reservation down."""
        self._reservations[reservation.reservation_id] = reservation
        if reservation.expires_at is not None:
            self._expiring[reservation.reservation_id] = reservation.expires_at

    def assign_reservation(self, assigned: Reservation) -> None:
        """Replace a held reservation by one with another assignment, or with none."""
        name = assigned.reservation_id
        before = self._reservations[name].assignment
        if before is not None:
            self._works[before.work] = tuple(x for x in self._works[before.work] if x != name)
        if (after := assigned.assignment) is not None:
            self._works[after.work] = (*self._works.get(after.work, ()), name)
        self._reservations[name] = assigned

    def paid_for(self, work: str, *, besides: str) -> Reservation | None:
        """Another reservation than `besides`, held or captured, that is assigned for `work`."""
        names = (name for name in self._works.get(work, ()) if name != besides)
        found = (self._reservations[name] for name in names)
        paying = (ReservationStatus.HELD, ReservationStatus.CAPTURED)
        return next((each for each in found if each.status in paying), None)

    def close_reservation(self, closed: Reservation) -> None:
        """Replace a held reservation by its final state."""
        self._reservations[closed.reservation_id] = closed
        self._expiring.pop(closed.reservation_id, None)

    def overdue(
        self,
        now: datetime,
        limit: int = -1,
        *,
        scope: LedgerScope | None = None,  # noqa: ARG002 - all of them are as near
    ) -> list[Reservation]:
        """Held reservations whose time is over at `now`."""
        found = (self._reservations[key] for key, at in self._expiring.items() if at <= now)
        return list(islice(found, None if limit < 0 else limit))

    def reservations(
        self,
        *,
        status: ReservationStatus | None = None,
        bounties: Partition = EVERYTHING,
        after: int = 0,
        limit: int = -1,
    ) -> list[tuple[int, Reservation]]:
        """Reservations for `bounties` after position `after`, oldest first, each with its own."""
        numbered = islice(enumerate(self._reservations.values(), 1), after, None)
        found = (
            item
            for item in numbered
            if status in (None, item[1].status) and is_for(bounties, item[1].reference)
        )
        return list(islice(found, None if limit < 0 else limit))

    def operation(self, zone_id: str, key: str) -> JournaledOperation | None:
        """The operation that a key stands for, or `None`."""
        return self._operations.get((zone_id, key))

    def save_operation(self, operation: JournaledOperation) -> None:
        """Write an operation, new or changed."""
        self._operations[operation.zone_id, operation.key] = operation

    def range_memory(self, zone_id: str, name: str) -> str | None:
        """What is remembered of a range, or `None`."""
        return self._range_memories.get((zone_id, name))

    def save_range_memory(self, zone_id: str, name: str, memory: str) -> None:
        """Remember that, in place of what was."""
        self._range_memories[zone_id, name] = memory

    def operations_in_doubt(
        self, zone_id: str, after: str, limit: int
    ) -> list[tuple[str, JournaledOperation]]:
        """Open operations after the place `after`, the oldest first, each with its place."""
        found = (
            (place_of(each.began_at, each.key), each)
            for each in self._operations.values()
            if each.is_open and each.zone_id == zone_id
        )
        return nsmallest(limit, (each for each in found if each[0] > after), key=itemgetter(0))

    def operations_after(self, zone_id: str, key: str, limit: int) -> list[JournaledOperation]:
        """Operations of all zones, those with the next names after that one, in their order."""
        names = (name for name in self._operations if name > (zone_id, key))
        return [self._operations[name] for name in nsmallest(limit, names)]

    def forget_operations(self, zone_id: str, before: datetime) -> int:
        """Drop those that were closed before then; returns how many."""
        old = [
            name
            for name, each in self._operations.items()
            if each.zone_id == zone_id and each.ended_at is not None and each.ended_at < before
        ]
        for name in old:
            del self._operations[name]
        return len(old)


def place_of(began_at: datetime, key: str) -> str:
    """Where an operation stands among those in doubt."""
    return f"{began_at.isoformat(timespec='microseconds')} {key}"
