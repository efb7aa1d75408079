"""Statements that go to the server together, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import Connection, errors, generators
from psycopg.adapt import Transformer
from psycopg.pq import Escaping, ExecStatus

if TYPE_CHECKING:
    from psycopg.abc import Transformer as Loading
    from psycopg.pq.abc import PGresult

Rows = list[tuple[Any, ...]]


class RowLocks(IntEnum):
    """What is locked when it is read, and so stays as it is until the transaction ends."""

    NONE = 0
    RECORDS = 1
    """All but the balances, for which everybody waits: these are checked when they are written."""
    ALL = 2


class Script:
    """Statements in order, each with its values; the first that fails ends it.

    They travel as one simple query, with the values written into it: the only way in which one
    message can hold several statements, and one that every pooler understands.
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
        transformer = Transformer(connection)
        return [_rows(transformer, result) for result in self.execute(connection)]

    def execute(self, connection: Connection[Any]) -> list[PGresult]:
        """Send it and return what libpq has of each statement; a cursor would cost more than that.

        Raises:
            psycopg.Error: A statement failed, or the connection did.
        """
        pgconn, encoding = connection.pgconn, _encoding(connection)
        escaping = Escaping(pgconn)
        values = tuple(_literal(value, escaping, encoding) for value in self._values)
        pgconn.send_query((";\n".join(self._texts) % values).encode(encoding))
        results: list[PGresult] = connection.wait(generators.execute(pgconn))
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(result, encoding)
        return results


def _encoding(connection: Connection[Any]) -> str:
    """How text is sent; a database of bytes takes any."""
    encoding = connection.info.encoding
    return "utf-8" if encoding == "ascii" else encoding


def _literal(value: Any, escaping: Any, encoding: str) -> str:
    """The value as the server reads it; libpq quotes what has to be, which most has not."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(int(value))
    text = _array(value) if isinstance(value, list) else _text(value)
    if "\0" in text:
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    if "'" in text or "\\" in text:
        return bytes(escaping.escape_literal(text.encode(encoding))).decode(encoding)
    return f"'{text}'"


def _array(values: list[Any]) -> str:
    if not values:
        return "{}"
    return "{" + ",".join("NULL" if each is None else _quoted(_text(each)) for each in values) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: str | datetime) -> str:
    return value if isinstance(value, str) else value.isoformat()


def _rows(transformer: Loading, result: PGresult) -> Rows:
    if result.status != ExecStatus.TUPLES_OK:
        return []
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)


def columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """The columns of `rows`, as `unnest` takes them; empty ones if there are no rows."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
