"""Statements that go to the server together, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from psycopg import ClientCursor, Connection

Rows = list[tuple[Any, ...]]


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
    return cursor.fetchall() if cursor.description is not None else []


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """The columns of `rows`, as `unnest` takes them; empty ones if there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
