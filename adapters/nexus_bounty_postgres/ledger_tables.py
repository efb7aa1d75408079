"""The ledger's tables, read as they stand in the transaction that is open on a connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import psycopg

from nexus_bounty.ledger import JournalEntry, LedgerScope, Sums, escrow_of
from nexus_bounty.partition import EVERYTHING, Partition, encode_segment
from nexus_bounty.ports import JournaledOperation, Reservation, ReservationStatus, Transfer
from nexus_bounty_postgres.rows import (
    ENTRY,
    OF_SOURCE,
    RESERVATION,
    TRANSFER,
    entry_of,
    operation_of,
    reservation_of,
    transfer_of,
)

_BOUNTY: Final = """
    replace(replace(CASE WHEN starts_with(reference, 'zone:') AND strpos(reference, '/bounty:') > 0
        THEN substr(reference, strpos(reference, '/bounty:') + length('/bounty:'))
        ELSE reference END, '%%', '%%25'), '/', '%%2F') COLLATE "C"
"""
"""The bounty that a reservation is for, as a `Partition` compares it; see `referred_to`."""


class UnsettledError(Exception):
    """A number is missing of which nobody can say yet whether it will be there.

    Attributes:
        upto: All numbers that may be missing are below it.
    """

    def __init__(self, upto: int) -> None:
        super().__init__()
        self.upto = upto


class LedgerTables:
    """The reading half of a `Book`, of a `JournalBook` and of a `RangeBook`.

    Entries are numbered when they are written, not when they are committed. A page of the whole
    journal in which numbers are missing may therefore still change: it is an `UnsettledError`,
    unless it is `settled` up to some number that nobody has one of them in a transaction any more.
    Then the page ends before the next one that is missing. Entries of one account are always in
    order, since its row is locked while they are written.
    """

    def __init__(self, connection: psycopg.Connection[Any], *, settled: int = 0) -> None:
        self._connection: Any = connection
        self._settled = settled

    def identity(self) -> str:
        """Which ledger this is: the same in every copy of the database."""
        return str(self._rows("SELECT identity FROM nexus_bounty.ledger")[0][0])

    def balance(self, name: str) -> int:
        """What the account has; zero if it was never heard of."""
        rows = self._rows("SELECT balance FROM nexus_bounty.accounts WHERE name = %s", name)
        return int(rows[0][0]) if rows else 0

    def accounts(self) -> Iterable[tuple[str, int]]:
        """Every account that ever moved, with its balance."""
        return self._rows("SELECT name, balance FROM nexus_bounty.accounts ORDER BY name")

    def sums(self) -> Sums:
        """The credits of all of them, added up by the server."""
        ((issued, reserved, available),) = self._rows(
            """
            SELECT -coalesce(sum(balance) FILTER (WHERE name = 'system:mint'), 0),
                   coalesce(sum(balance) FILTER (WHERE starts_with(name, %s)), 0),
                   coalesce(sum(balance) FILTER (
                       WHERE name <> 'system:mint' AND NOT starts_with(name, %s)), 0)
            FROM nexus_bounty.accounts
            """,
            escrow_of(""),
            escrow_of(""),
        )
        return Sums(issued=int(issued), available=int(available), reserved=int(reserved))

    def entries(
        self,
        *,
        after: int = 0,
        limit: int = -1,
        source_id: str | None = None,
        names: Sequence[str] | None = None,
    ) -> list[JournalEntry]:
        """Journal entries after `after`, oldest first, of one source or touching `names`.

        Raises:
            UnsettledError: One of them may not be there yet; see the class.
        """
        where = ["entry_id > %s"]
        values: list[Any] = [after]
        if source_id is not None:
            where.append(OF_SOURCE)
            values += [source_id] * 3
        if names is not None:
            where.append("(debit = ANY(%s) OR credit = ANY(%s))")
            values += [list(names)] * 2
        query = f"{ENTRY} WHERE {' AND '.join(where)} ORDER BY entry_id LIMIT %s"
        rows = self._rows(query, *values, None if limit < 0 else limit)
        if source_id is None and names is None:
            rows = self._certain(after, rows)
        return [entry_of(row) for row in rows]

    def _certain(self, after: int, rows: list[Any]) -> list[Any]:
        """The rows before the first of those that are missing and may still come."""
        before = after
        for count, (number, *_) in enumerate(rows):
            if number > max(before, self._settled) + 1:
                if not count or not self._settled:
                    raise UnsettledError(rows[-1][0])
                return rows[:count]
            before = number
        return rows

    def transfer(self, transfer_id: str) -> Transfer | None:
        """The transfer or top-up with this id, or `None`."""
        rows = self._rows(f"{TRANSFER} = %s", transfer_id)
        return transfer_of(rows[0]) if rows else None

    def reservation(self, reservation_id: str) -> Reservation | None:
        """The reservation with this id, or `None`."""
        rows = self._rows(f"{RESERVATION} WHERE reservation_id = %s", reservation_id)
        return reservation_of(rows[0]) if rows else None

    def overdue(
        self,
        now: datetime,
        limit: int = -1,
        *,
        scope: LedgerScope | None = None,  # noqa: ARG002 - what a scope covers is in the batch
    ) -> list[Reservation]:
        """Held reservations whose time is over at `now`."""
        rows = self._rows(
            f"""
            {RESERVATION} WHERE status = 'held' AND expires_at IS NOT NULL AND expires_at <= %s
            ORDER BY expires_at LIMIT %s
            """,
            now,
            None if limit < 0 else limit,
        )
        return [reservation_of(row) for row in rows]

    def reservations(
        self,
        *,
        status: ReservationStatus | None = None,
        bounties: Partition = EVERYTHING,
        after: int = 0,
        limit: int = -1,
    ) -> list[tuple[int, Reservation]]:
        """Reservations for `bounties` after position `after`, oldest first, each with its own."""
        at_most = None if limit < 0 else limit
        query, asked = f"{RESERVATION} WHERE position > %s", list[Any]([after])
        if status is not None:
            query, asked = f"{query} AND status = %s", [*asked, status.value]
        if not bounties.is_everything:
            query, asked = f"{query} AND {_BOUNTY} > %s", [*asked, encode_segment(bounties.lo)]
        if bounties.hi is not None:
            query, asked = f"{query} AND {_BOUNTY} <= %s", [*asked, encode_segment(bounties.hi)]
        rows = self._rows(f"{query} ORDER BY position LIMIT %s", *asked, at_most)
        return [(row[0], reservation_of(row)) for row in rows]

    def operation(self, zone_id: str, key: str) -> JournaledOperation | None:
        """The operation that a key stands for, or `None`."""
        rows = self._rows(
            "SELECT document FROM nexus_bounty.operations WHERE zone_id = %s AND key = %s",
            zone_id,
            key,
        )
        return operation_of(rows[0][0]) if rows else None

    def operations_in_doubt(
        self, zone_id: str, after: str, limit: int
    ) -> list[tuple[str, JournaledOperation]]:
        """Open operations after the place `after`, the oldest first, each with its place."""
        since, _, key = after.partition(" ")
        rows = self._rows(
            """
            SELECT document FROM nexus_bounty.operations
            WHERE zone_id = %s AND ended_at IS NULL
                AND (%s::timestamptz IS NULL OR (began_at, key) > (%s::timestamptz, %s))
            ORDER BY began_at, key LIMIT %s
            """,
            zone_id,
            since or None,
            since or None,
            key,
            limit,
        )
        found = [operation_of(document) for (document,) in rows]
        return [(f"{each.began_at.isoformat()} {each.key}", each) for each in found]

    def operations_after(self, zone_id: str, key: str, limit: int) -> list[JournaledOperation]:
        """Operations of all zones, those with the next names after that one, in their order."""
        rows = self._rows(
            """
            SELECT document FROM nexus_bounty.operations WHERE (zone_id, key) > (%s, %s)
            ORDER BY zone_id, key LIMIT %s
            """,
            zone_id,
            key,
            limit,
        )
        return [operation_of(document) for (document,) in rows]

    def range_memory(self, zone_id: str, name: str) -> str | None:
        """What is remembered of a range, or `None`."""
        query = "SELECT memory FROM nexus_bounty.range_memories WHERE zone_id = %s AND name = %s"
        rows = self._rows(query, zone_id, name)
        return str(rows[0][0]) if rows else None

    def _rows(self, query: str, *values: Any) -> list[Any]:
        rows: list[Any] = self._connection.execute(query.encode(), values).fetchall()
        return rows
