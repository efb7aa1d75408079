"""What the rules work on, from rows of the tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, LiteralString, TypeVar

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


def moment(column: LiteralString) -> LiteralString:
    """How a query asks for a time: as text in UTC, see `moment_of`.

    A driver reads the text of a session, whose zone and style anybody may set for a role or a
    database: with the year 9999 there are zones in which the day after it has begun.
    """
    return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')"""


RESERVATION: Final = f"""
    SELECT position, reservation_id, account, amount, status, reference, captured_to,
           {moment("expires_at")}, {moment("created_at")}, payee, work, settlement_key
    FROM nexus_bounty.reservations
"""  # noqa: S608 - made of what stands here
ENTRY: Final = f"""
    SELECT entry_id, kind, source_id, debit, credit, amount, {moment("at")}, memo
    FROM nexus_bounty.entries
"""  # noqa: S608 - made of what stands here
OF_SOURCE: Final = """
    (source_id = %s AND kind IN ('top_up', 'transfer')
        OR source_id = %s AND kind = 'reserve'
        OR source_id = %s AND kind IN ('capture', 'void', 'expire'))
"""
"""Whether an entry is of one source, by the three indexes that keep its entries unique."""
TRANSFER: Final = f"""
    SELECT source_id, debit, credit, amount, memo, {moment("at")} FROM nexus_bounty.entries
    WHERE kind IN ('top_up', 'transfer') AND source_id
"""  # noqa: S608 - made of what stands here


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
        expires_at=None if expires_at is None else moment_of(expires_at),
        assignment=None if payee is None else Assignment(payee=payee, work=work, key=key),
        created_at=moment_of(created_at),
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
        at=moment_of(at),
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
        created_at=moment_of(at),
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


def moment_of(said: str) -> datetime:
    """The time that `moment` asked for.

    Raises:
        psycopg.DataError: It is in no year that there is here; what needs it is not done.
    """
    try:
        return datetime.fromisoformat(said)
    except (TypeError, ValueError) as error:
        raise psycopg.DataError(f"{said!r} is no time that a ledger writes") from error
