"""Statements that go to the server together, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, LiteralString

from psycopg import ClientCursor, Connection
from psycopg.pq import ExecStatus

Rows = list[tuple[Any, ...]]


class RowLocks(IntEnum):
    """What is locked when it is read, and so stays as it is until the transaction ends."""

    NONE = 0
    RECORDS = 1
    """All but the balances, for which everybody waits: these are checked when they are written."""
    ALL = 2


class Script:
    """Statements in order, each with its values; the first that fails ends it.

    They travel as one simple query, with the values written into it by the driver: the only way
    in which one message can hold several statements, and one that every pooler understands.
    """

    def __init__(self) -> None:
        self._texts: list[LiteralString] = []
        self._values: list[Any] = []

    def add(self, text: LiteralString, *values: Any) -> int:
        """Add a statement with a `%s` for each of its values; returns its number."""
        self._texts.append(text)
        self._values += values
        return len(self._texts) - 1

    def join(self, other: Script) -> None:
        """Add the statements of another."""
        self._texts += other._texts
        self._values += other._values

    def __len__(self) -> int:
        return len(self._texts)

    def run(self, connection: Connection[Any]) -> list[Rows]:
        """Send it and return the rows of each statement.

        Raises:
            psycopg.Error: A statement failed, or the connection did.
        """
        with ClientCursor(connection) as cursor:
            cursor.execute(";\n".join(self._texts), self._values)
            found = [_rows(cursor)]
            while cursor.nextset():
                found.append(_rows(cursor))
        return found


def _rows(cursor: ClientCursor[Any]) -> Rows:
    result = cursor.pgresult  # cheaper than `cursor.description`; a row may have no columns
    has_rows = result is not None and result.status == ExecStatus.TUPLES_OK
    return cursor.fetchall() if has_rows else []


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """The columns of `rows`, as `unnest` takes them; empty ones if there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
