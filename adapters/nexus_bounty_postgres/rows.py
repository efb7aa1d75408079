"""What the rules work on, from rows of the tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
import psycopg

from nexus_bounty.ledger import EntryKind, JournalEntry
from nexus_bounty.ports import (
    Assignment,
    JournaledOperation,
    Reservation,
    ReservationStatus,
    Transfer,
)

T = TypeVar("T")

RESERVATION: Final = """
    SELECT position, reservation_id, account, amount, status, reference, captured_to,
           expires_at, created_at, payee, work, settlement_key
    FROM nexus_bounty.reservations
"""
ENTRY: Final = """
    SELECT entry_id, kind, source_id, debit, credit, amount, at, memo FROM nexus_bounty.entries
"""
OF_SOURCE: Final = """
    (source_id = %s AND kind IN ('top_up', 'transfer')
        OR source_id = %s AND kind = 'reserve'
        OR source_id = %s AND kind IN ('capture', 'void', 'expire'))
"""
"""Whether an entry is of one source, by the three indexes that keep its entries unique."""
TRANSFER: Final = """
    SELECT source_id, debit, credit, amount, memo, at FROM nexus_bounty.entries
    WHERE kind IN ('top_up', 'transfer') AND source_id
"""


def reservation_of(row: tuple[Any, ...]) -> Reservation:
    """From the columns of `RESERVATION`."""
    _, name, account, amount, status, reference, captured_to, *rest = row
    expires_at, created_at, payee, work, key = rest
    return Reservation(
        reservation_id=name,
        account=account,
        amount=amount,
        status=ReservationStatus(status),
        reference=reference,
        captured_to=captured_to,
        expires_at=None if expires_at is None else in_utc(expires_at),
        assignment=None if payee is None else Assignment(payee=payee, work=work, key=key),
        created_at=in_utc(created_at),
    )


def entry_of(row: tuple[Any, ...]) -> JournalEntry:
    """From the columns of `ENTRY`."""
    entry_id, kind, source_id, debit, credit, amount, at, memo = row
    return JournalEntry(
        entry_id=entry_id,
        kind=EntryKind(kind),
        source_id=source_id,
        debit=debit,
        credit=credit,
        amount=amount,
        at=in_utc(at),
        memo=memo,
    )


def transfer_of(row: tuple[Any, ...]) -> Transfer:
    """From the columns of `TRANSFER`."""
    transfer_id, from_account, to_account, amount, memo, at = row
    return Transfer(
        transfer_id=transfer_id,
        from_account=from_account,
        to_account=to_account,
        amount=amount,
        memo=memo,
        created_at=in_utc(at),
    )


def operation_of(document: str) -> JournaledOperation:
    """From the column `document` of `operations`."""
    return understood(document, JournaledOperation)


def understood(document: str, kind: type[T]) -> T:
    """What a column `document` says.

    Raises:
        psycopg.DataError: Nobody can understand it; what needs it is not done.
    """
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.MsgspecError as error:
        raise psycopg.DataError(f"a {kind.__name__} cannot be understood: {error}") from error


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, whatever the server's zone."""
    return moment.astimezone(UTC)
