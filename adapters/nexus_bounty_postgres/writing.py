"""What a transaction has changed in a ledger, and the statement that writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import msgspec

from nexus_bounty.ledger import MINT, JournalEntry
from nexus_bounty.ledger.accounts import holder_of
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
            _rows(_change, _course(changes.entries)[1].items()),
        )
        script.add("SELECT nexus_bounty.close_step(%s, %s, %s, %s, %s, %s)", *parts)


def write_as_foreseen(
    changes: LedgerChanges, foreseen: dict[str, Reservation], seen: Sequence[Any], script: Script
) -> None:
    """Add the statement that writes `changes` if there is what was foreseen, and nothing else.

    `seen` is the marker, how long to wait, the time, accounts, works, and the reservations that are
    to be there and those that are not.
    """
    sums, lowest = _course(changes.entries)
    # what is changed is compared then; where something else is, all are locked before, in order
    is_more = foreseen.keys() > changes.changed.keys()
    changed = [(foreseen[name], changes.changed[name]) for name in sorted(changes.changed)]
    parts = (
        _rows(_reservation, foreseen.values() if is_more else ()),
        _rows(_reservation, changes.new.values()),
        _rows(_change_of, changed),
        _rows(_operation, changes.begun.values()),
        _rows(_entry, changes.entries),
        _rows(_change, sorted(sums.items())),
        _rows(_change, _below(sums, lowest)),
    )
    script.add(_AS_FORESEEN, *seen, *parts)


_AS_FORESEEN: Final = f"SELECT nexus_bounty.step({', '.join(['%s'] * 14)})"


def _rows(row: Callable[[T], dict[str, Any]], things: Iterable[T]) -> str | None:
    rows = list(map(row, things))
    return msgspec.json.encode(rows).decode() if rows else None


def _change(of_account: tuple[str, int]) -> dict[str, Any]:
    name, change = of_account
    return {"name": name, "change": change}


def _course(entries: Iterable[JournalEntry]) -> tuple[dict[str, int], dict[str, int]]:
    """How far the entries take each account, and how far down on their way; zero if never below.

    All accounts are in both: they are locked by them before the entries are numbered, so that those
    of one account are numbered in the order in which they count. Whoever's escrow is moved is, too:
    one history has the entries of both, and what leaves the one may touch the other's row nowhere.
    """
    sums: dict[str, int] = {}
    lowest: dict[str, int] = {}
    for entry in entries:
        for name, change in entry.postings:
            sums[name] = sums.get(name, 0) + change
            lowest[name] = min(lowest.get(name, 0), sums[name])
            holder = holder_of(name)
            sums.setdefault(holder, 0)
            lowest.setdefault(holder, 0)
    return sums, lowest


def _below(sums: dict[str, int], lowest: dict[str, int]) -> list[tuple[str, int]]:
    """How far below its end each account was, where the end says less than that.

    Of all accounts but the mint the table itself keeps the end above zero.
    """
    return [
        (name, low - sums[name])
        for name, low in lowest.items()
        if low < min(0, sums[name]) or (name == MINT and low < 0)
    ]


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


def _change_of(both: tuple[Reservation, Reservation]) -> dict[str, Any]:
    old, new = both
    to = new.assignment
    return _reservation(old) | {
        "to_status": new.status,
        "to_captured_to": new.captured_to,
        "to_payee": to and to.payee,
        "to_work": to and to.work,
        "to_key": to and to.key,
    }


def _operation(operation: JournaledOperation) -> dict[str, Any]:
    return {
        "zone_id": operation.zone_id,
        "key": operation.key,
        "began_at": operation.began_at,
        "ended_at": None if operation.is_open else operation.ended_at,
        "document": msgspec.json.encode(operation).decode(),
    }
