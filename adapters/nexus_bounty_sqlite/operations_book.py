"""The tables of operations, and of what is remembered of ranges, as their rules work on them."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

import msgspec

from nexus_bounty.ports import JournaledOperation
from nexus_bounty_sqlite.documents import understood
from nexus_bounty_sqlite.times import to_text


class SqliteOperations:
    """A `JournalBook` and a `RangeBook` on a connection with an open transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def operation(self, zone_id: str, key: str) -> JournaledOperation | None:
        """The operation that a key stands for, or `None`."""
        rows = self._rows(
            "SELECT document FROM operations WHERE zone_id = ? AND key = ?", zone_id, key
        )
        return _decoded(rows[0][0]) if rows else None

    def save_operation(self, operation: JournaledOperation) -> None:
        """Write an operation, new or changed."""
        ended_at = operation.ended_at
        self._connection.execute(
            """
            INSERT INTO operations (zone_id, key, began_at, ended_at, document)
            VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (zone_id, key) DO UPDATE
                SET ended_at = excluded.ended_at, document = excluded.document
            """,
            (
                operation.zone_id,
                operation.key,
                to_text(operation.began_at),
                None if operation.is_open or ended_at is None else to_text(ended_at),
                msgspec.json.encode(operation).decode(),
            ),
        )

    def operations_in_doubt(
        self, zone_id: str, after: str, limit: int
    ) -> list[tuple[str, JournaledOperation]]:
        """Open operations after the place `after`, the oldest first, each with its place."""
        rows = self._rows(
            """
            SELECT began_at || ' ' || key AS place, document FROM operations
            WHERE zone_id = ? AND ended_at IS NULL AND began_at || ' ' || key > ?
            ORDER BY began_at, key LIMIT ?
            """,
            zone_id,
            after,
            limit,
        )
        return [(place, _decoded(document)) for place, document in rows]

    def operations_after(self, zone_id: str, key: str, limit: int) -> list[JournaledOperation]:
        """Operations of all zones, those with the next names after that one, in their order."""
        rows = self._rows(
            """
            SELECT document FROM operations WHERE (zone_id, key) > (?, ?)
            ORDER BY zone_id, key LIMIT ?
            """,
            zone_id,
            key,
            limit,
        )
        return [_decoded(document) for (document,) in rows]

    def forget_operations(self, zone_id: str, before: datetime) -> int:
        """Drop those that were closed before then; returns how many."""
        done = self._connection.execute(
            "DELETE FROM operations WHERE zone_id = ? AND ended_at < ?",
            (zone_id, to_text(before)),
        )
        return done.rowcount

    def range_memory(self, zone_id: str, name: str) -> str | None:
        """What is remembered of a range, or `None`."""
        query = "SELECT memory FROM range_memories WHERE zone_id = ? AND name = ?"
        rows = self._rows(query, zone_id, name)
        return str(rows[0][0]) if rows else None

    def save_range_memory(self, zone_id: str, name: str, memory: str) -> None:
        """Remember that, in place of what was."""
        self._connection.execute(
            "INSERT OR REPLACE INTO range_memories (zone_id, name, memory) VALUES (?, ?, ?)",
            (zone_id, name, memory),
        )

    def _rows(self, query: str, *values: Any) -> list[Any]:
        # Read to the end: a statement left half-read keeps its transaction open past ROLLBACK.
        return self._connection.execute(query, values).fetchall()


def _decoded(document: str) -> JournaledOperation:
    return understood(document, JournaledOperation)
