"""What a transaction has changed in a ledger, and the statements that write it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from nexus_bounty.ledger import JournalEntry
from nexus_bounty.ports import JournaledOperation, Reservation
from nexus_bounty_postgres.script import Script, columns


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
    """Add the statements that write `changes`; each kind of row in one."""
    if changes.at_once:
        script.add("SELECT 1")  # done already: it remains to be committed
    if changes.new:
        _add_reservations(script, list(changes.new.values()))
    if changes.changed:
        _change_reservations(script, list(changes.changed.values()))
    if changes.entries:
        _add_entries(script, changes.entries)
    if changes.begun:
        _begin_operations(script, changes.begun)
    if changes.continued:
        _continue_operations(script, changes.continued)


def _add_reservations(script: Script, added: list[Reservation]) -> None:
    rows = [
        (
            each.reservation_id,
            each.account,
            each.amount,
            each.status.value,
            each.reference,
            each.captured_to,
            each.expires_at,
            each.created_at,
            *_assignment(each),
        )
        for each in added
    ]
    script.add(
        """
        INSERT INTO nexus_bounty.reservations
            (reservation_id, account, amount, status, reference, captured_to, expires_at,
             created_at, payee, work, settlement_key)
        SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[],
            %s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::text[], %s::text[])
        """,
        *columns(rows, 11),
    )


def _change_reservations(script: Script, changed: list[Reservation]) -> None:
    rows = [
        (each.reservation_id, each.status.value, each.captured_to, *_assignment(each))
        for each in changed
    ]
    script.add(
        """
        UPDATE nexus_bounty.reservations AS old
        SET status = new.status, captured_to = new.captured_to, payee = new.payee,
            work = new.work, settlement_key = new.settlement_key
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
            AS new (reservation_id, status, captured_to, payee, work, settlement_key)
        WHERE old.reservation_id = new.reservation_id
        """,
        *columns(rows, 6),
    )


def _assignment(reservation: Reservation) -> tuple[str | None, str | None, str | None]:
    to = reservation.assignment
    return (None, None, None) if to is None else (to.payee, to.work, to.key)


def _add_entries(script: Script, entries: list[JournalEntry]) -> None:
    rows = [
        (each.kind.value, each.source_id, each.debit, each.credit, each.amount, each.at, each.memo)
        for each in entries
    ]
    script.add(
        """
        INSERT INTO nexus_bounty.entries (kind, source_id, debit, credit, amount, at, memo)
        SELECT kind, source_id, debit, credit, amount, at, memo
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],
                    %s::timestamptz[], %s::text[]) WITH ORDINALITY
            AS new (kind, source_id, debit, credit, amount, at, memo, place)
        ORDER BY place
        """,
        *columns(rows, 7),
    )


def _begin_operations(
    script: Script, operations: dict[tuple[str, str], JournaledOperation]
) -> None:
    script.add(
        """
        INSERT INTO nexus_bounty.operations (zone_id, key, began_at, ended_at, document)
        SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[],
                             %s::text[])
        """,
        *columns([_operation(operations[name]) for name in sorted(operations)], 5),
    )


def _continue_operations(
    script: Script, operations: dict[tuple[str, str], JournaledOperation]
) -> None:
    script.add(
        """
        UPDATE nexus_bounty.operations AS old
        SET began_at = new.began_at, ended_at = new.ended_at, document = new.document
        FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::text[])
            AS new (zone_id, key, began_at, ended_at, document)
        WHERE (old.zone_id, old.key) = (new.zone_id, new.key)
        """,
        *columns([_operation(operations[name]) for name in sorted(operations)], 5),
    )


def _operation(operation: JournaledOperation) -> tuple[Any, ...]:
    return (
        operation.zone_id,
        operation.key,
        operation.began_at,
        None if operation.is_open else operation.ended_at,
        msgspec.json.encode(operation).decode(),
    )
