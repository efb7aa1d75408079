"""The ledger's tables as the `Book` that its rules work on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from nexus_bounty.ledger import EntryKind, JournalEntry, LedgerScope, Sums, sums_of
from nexus_bounty.partition import EVERYTHING, Partition, encode_segment
from nexus_bounty.ports import Assignment, Reservation, ReservationStatus, Transfer
from nexus_bounty_sqlite.operations_book import SqliteOperations
from nexus_bounty_sqlite.times import from_text, to_text

_OLDEST: Final = datetime.min.replace(tzinfo=UTC)
_RESERVATION: Final = """
    SELECT position, reservation_id, account, amount, status, reference, captured_to,
           expires_at, created_at, payee, work, settlement_key
    FROM reservations
"""
_BOUNTY: Final = """
    replace(replace(CASE WHEN reference GLOB 'zone:*/bounty:*'
        THEN substr(reference, instr(reference, '/bounty:') + length('/bounty:'))
        ELSE reference END, '%', '%25'), '/', '%2F')
"""
"""The bounty that a reservation is for, as a `Partition` compares it; see `referred_to`."""
ENTRY: Final = """
    SELECT entry_id, kind, source_id, debit, credit, amount, at, memo FROM entries
"""
OF_SOURCE: Final = """
    (source_id = ? AND kind IN ('top_up', 'transfer')
        OR source_id = ? AND kind = 'reserve'
        OR source_id = ? AND kind IN ('capture', 'void', 'expire'))
"""
"""Whether an entry is of one source, by the three indexes that keep its entries unique."""


class SqliteBook(SqliteOperations):
    """A `Book`, and a `JournalBook`, on a connection with an open transaction.

    A row with a damaged date cannot be read, unless `damaged` is given: that gets what is wrong
    with it, and the date is the oldest there is.
    """

    def __init__(self, connection: sqlite3.Connection, damaged: list[str] | None = None) -> None:
        super().__init__(connection)
        self._damaged = damaged

    def identity(self) -> str:
        """Which ledger this is: the same in every copy of the file."""
        (row,) = self._rows("SELECT identity FROM ledger")
        return str(row[0])

    def adopt_identity(self, identity: str) -> None:
        """Become another place of that ledger; only where nothing has moved yet."""
        self._connection.execute("DELETE FROM ledger")
        self._connection.execute("INSERT INTO ledger (identity) VALUES (?)", (identity,))

    def balance(self, name: str) -> int:
        """What the account has; zero if it was never heard of."""
        row = self._row("SELECT balance FROM accounts WHERE name = ?", name)
        return 0 if row is None else int(row[0])

    def accounts(self) -> Iterable[tuple[str, int]]:
        """Every account that ever moved, with its balance."""
        return self._rows("SELECT name, balance FROM accounts ORDER BY name")

    def sums(self) -> Sums:
        """The credits of all of them, added up."""
        return sums_of(self.accounts())

    def post(self, entry: JournalEntry) -> None:
        """Append to the journal; a trigger changes both balances with it."""
        self._connection.execute(
            """
            INSERT INTO entries (kind, source_id, debit, credit, amount, at, memo)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            (
                entry.kind.value,
                entry.source_id,
                entry.debit,
                entry.credit,
                entry.amount,
                to_text(entry.at),
                entry.memo,
            ),
        )

    def entries(
        self,
        *,
        after: int = 0,
        limit: int = -1,
        source_id: str | None = None,
        names: Sequence[str] | None = None,
    ) -> list[JournalEntry]:
        """Journal entries after `after`, oldest first, of one source or touching `names`."""
        where: list[str] = ["entry_id > ?"]
        values: list[Any] = [after]
        if source_id is not None:
            where.append(OF_SOURCE)
            values += [source_id] * 3
        if names is not None:
            marks = ", ".join("?" for _ in names)
            where.append(f"(debit IN ({marks}) OR credit IN ({marks}))")
            values += [*names, *names]
        query = f"{ENTRY} WHERE {' AND '.join(where)} ORDER BY entry_id LIMIT ?"
        return [self._entry(row) for row in self._rows(query, *values, limit)]

    def transfer(self, transfer_id: str) -> Transfer | None:
        """The transfer or top-up with this id, or `None`."""
        row = self._row(
            """
            SELECT source_id, debit, credit, amount, memo, at
            FROM entries WHERE source_id = ? AND kind IN ('top_up', 'transfer')
            """,
            transfer_id,
        )
        return None if row is None else self._transfer(row)

    def reservation(self, reservation_id: str) -> Reservation | None:
        """The reservation with this id, or `None`."""
        row = self._row(f"{_RESERVATION} WHERE reservation_id = ?", reservation_id)
        return None if row is None else self._reservation(row)

    def add_reservation(self, reservation: Reservation) -> None:
        """Write a new reservation down."""
        expires_at = reservation.expires_at
        self._connection.execute(
            """
            INSERT INTO reservations
                (reservation_id, account, amount, status, reference, expires_at, created_at)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            (
                reservation.reservation_id,
                reservation.account,
                reservation.amount,
                reservation.status.value,
                reservation.reference,
                None if expires_at is None else to_text(expires_at),
                to_text(reservation.created_at),
            ),
        )

    def assign_reservation(self, assigned: Reservation) -> None:
        """Replace a held reservation by one with another assignment, or with none."""
        to = assigned.assignment
        self._connection.execute(
            """
            UPDATE reservations SET payee = ?, work = ?, settlement_key = ?
            WHERE reservation_id = ?
            """,
            (*((to.payee, to.work, to.key) if to else (None,) * 3), assigned.reservation_id),
        )

    def paid_for(self, work: str, *, besides: str) -> Reservation | None:
        """Another reservation than `besides`, held or captured, that is assigned for `work`."""
        row = self._row(
            f"""
            {_RESERVATION} WHERE work = ? AND reservation_id <> ?
            AND status IN ('held', 'captured') LIMIT 1
            """,
            work,
            besides,
        )
        return None if row is None else self._reservation(row)

    def close_reservation(self, closed: Reservation) -> None:
        """Replace a held reservation by its final state."""
        self._connection.execute(
            "UPDATE reservations SET status = ?, captured_to = ? WHERE reservation_id = ?",
            (closed.status.value, closed.captured_to, closed.reservation_id),
        )

    def overdue(
        self,
        now: datetime,
        limit: int = -1,
        *,
        scope: LedgerScope | None = None,  # noqa: ARG002 - one transaction has the whole file anyhow
    ) -> list[Reservation]:
        """Held reservations whose time is over at `now`."""
        query = f"""
            {_RESERVATION} WHERE status = 'held' AND expires_at IS NOT NULL AND expires_at <= ?
            ORDER BY expires_at LIMIT ?
        """
        return [self._reservation(row) for row in self._rows(query, to_text(now), limit)]

    def reservations(
        self,
        *,
        status: ReservationStatus | None = None,
        bounties: Partition = EVERYTHING,
        after: int = 0,
        limit: int = -1,
    ) -> list[tuple[int, Reservation]]:
        """Reservations for `bounties` after position `after`, oldest first, each with its own."""
        query, asked = f"{_RESERVATION} WHERE position > ?", list[Any]([after])
        if status is not None:
            query, asked = f"{query} AND status = ?", [*asked, status.value]
        if not bounties.is_everything:
            query, asked = f"{query} AND {_BOUNTY} > ?", [*asked, encode_segment(bounties.lo)]
        if bounties.hi is not None:
            query, asked = f"{query} AND {_BOUNTY} <= ?", [*asked, encode_segment(bounties.hi)]
        rows = self._rows(f"{query} ORDER BY position LIMIT ?", *asked, limit)
        return [(row[0], self._reservation(row)) for row in rows]

    def _row(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        rows = self._rows(query, *values)
        return rows[0] if rows else None

    def _reservation(self, row: tuple[Any, ...]) -> Reservation:
        _, reservation_id, account, amount, status, reference, captured_to, *others = row
        expires_at, created_at, payee, work, key = others
        whose = f"reservation {reservation_id}"
        return Reservation(
            reservation_id=reservation_id,
            account=account,
            amount=amount,
            status=ReservationStatus(status),
            reference=reference,
            captured_to=captured_to,
            expires_at=None if expires_at is None else self._time(expires_at, whose),
            assignment=None if payee is None else Assignment(payee=payee, work=work, key=key),
            created_at=self._time(created_at, whose),
        )

    def _entry(self, row: tuple[Any, ...]) -> JournalEntry:
        entry_id, kind, source_id, debit, credit, amount, at, memo = row
        return JournalEntry(
            entry_id=entry_id,
            kind=EntryKind(kind),
            source_id=source_id,
            debit=debit,
            credit=credit,
            amount=amount,
            at=self._time(at, f"entry {entry_id}"),
            memo=memo,
        )

    def _transfer(self, row: tuple[Any, ...]) -> Transfer:
        transfer_id, from_account, to_account, amount, memo, at = row
        return Transfer(
            transfer_id=transfer_id,
            from_account=from_account,
            to_account=to_account,
            amount=amount,
            memo=memo,
            created_at=self._time(at, f"transfer {transfer_id}"),
        )

    def _time(self, text: str, whose: str) -> datetime:
        try:
            return from_text(text)
        except sqlite3.DataError as damage:
            if self._damaged is None:
                raise sqlite3.DataError(f"the date of {whose}: {damage}") from None
            self._damaged.append(f"{whose} has a damaged date: {damage}")
            return _OLDEST
