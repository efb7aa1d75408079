"""What a transaction has changed in a ledger, and the statement that writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from nexus_bounty.ledger import JournalEntry
from nexus_bounty.ports import JournaledOperation, Reservation
from nexus_bounty_postgres.script import Script

T = TypeVar("T")


@dataclass
class LedgerChanges:
    """New rows, changed rows, and how many were changed in the database at once."""

    entries: list[JournalEntry] = field(default_factory=list)
    new: dict[str, Reservation] = field(default_factory=dict)
    changed: dict[str, Reservation] = field(default_factory=dict)
    begun: dict[tuple[str, str], JournaledOperation] = field(default_factory=dict)
    continued: dict[tuple[str, str], JournaledOperation] = field(default_factory=dict)
    at_once: int = 0
    steps: int = 0

    @property
    def count(self) -> int:
        """Rises with every change."""
        return self.steps + self.at_once


def write(changes: LedgerChanges, script: Script) -> None:
    """Add the statement that writes `changes`, all of them at once."""
    if changes.at_once:
        script.add("SELECT 1")  # done already: it remains to be committed
    if changes.steps:
        parts = (
            _rows(_reservation, changes.new.values()),
            _rows(_reservation, changes.changed.values()),
            _rows(_operation, changes.begun.values()),
            _rows(_operation, changes.continued.values()),
            _rows(_entry, changes.entries),
            _rows(_change, _lowest(changes.entries).items()),
        )
        script.add("SELECT nexus_bounty.close_step(%s, %s, %s, %s, %s, %s)", *parts)


def write_as_foreseen(
    changes: LedgerChanges, foreseen: Sequence[Reservation], seen: Sequence[Any], script: Script
) -> None:
    """Add the statement that writes `changes` if there is what was foreseen, and nothing else.

    `seen` is the marker, how long to wait, accounts, reservations and works, and the time.
    """
    parts = (
        _rows(_reservation, foreseen),
        _rows(_reservation, changes.new.values()),
        _rows(_reservation, changes.changed.values()),
        _rows(_operation, changes.begun.values()),
        _rows(_entry, changes.entries),
        _rows(_change, _lowest(changes.entries).items()),
    )
    script.add(_AS_FORESEEN, *seen, *parts)


_AS_FORESEEN: Final = "SELECT nexus_bounty.step(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


def _rows(row: Callable[[T], dict[str, Any]], things: Iterable[T]) -> str | None:
    rows = list(map(row, things))
    return msgspec.json.encode(rows).decode() if rows else None


def _change(of_account: tuple[str, int]) -> dict[str, Any]:
    name, change = of_account
    return {"name": name, "change": change}


def _lowest(entries: Iterable[JournalEntry]) -> dict[str, int]:
    """How far the entries take each account down on their way; zero if never below its start.

    All accounts are in it: they are locked by it before the entries are numbered, so that those of
    one account are numbered in the order in which they count.
    """
    sums: dict[str, int] = {}
    lowest: dict[str, int] = {}
    for entry in entries:
        for name, change in entry.postings:
            sums[name] = sums.get(name, 0) + change
            lowest[name] = min(lowest.get(name, 0), sums[name])
    return lowest


def _entry(entry: JournalEntry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "source_id": entry.source_id,
        "debit": entry.debit,
        "credit": entry.credit,
        "amount": entry.amount,
        "at": entry.at,
        "memo": entry.memo,
    }


def _reservation(reservation: Reservation) -> dict[str, Any]:
    to = reservation.assignment
    return {
        "reservation_id": reservation.reservation_id,
        "account": reservation.account,
        "amount": reservation.amount,
        "status": reservation.status,
        "reference": reservation.reference,
        "captured_to": reservation.captured_to,
        "expires_at": reservation.expires_at,
        "created_at": reservation.created_at,
        "payee": to and to.payee,
        "work": to and to.work,
        "settlement_key": to and to.key,
    }


def _operation(operation: JournaledOperation) -> dict[str, Any]:
    return {
        "zone_id": operation.zone_id,
        "key": operation.key,
        "began_at": operation.began_at,
        "ended_at": None if operation.is_open else operation.ended_at,
        "document": msgspec.json.encode(operation).decode(),
    }
