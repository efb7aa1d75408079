"""Connections to one database, each of whose answers is waited for so long and no longer."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from nexus_bounty.nexus.client.secrets import without_frames
from nexus_bounty_postgres.absence import Absence, Told, quiet
from nexus_bounty_postgres.conninfo import conninfo_of, place_of
from nexus_bounty_postgres.schema import prepare

RV = TypeVar("RV")
ANSWER_WITHIN: Final = timedelta(seconds=20)
"""How long one answer may take; longer than any lock is waited for."""
WAIT: Final = timedelta(seconds=10)
"""How long a connection, or a lock that another transaction has, is waited for."""
UTF8: Final = "utf-8"
"""What texts are sent and read as, by Python's name."""
_NOT_EVERY_TEXT: Final = (
    "the connection's client_encoding is not UTF8, although it was asked for: a pooler ignores "
    "that. Let it pass client_encoding on, or set it for the role or the database (ALTER ROLE … "
    "SET client_encoding = 'UTF8')"
)
_MEANWHILE: Final = "It is tried again by itself"
_TURN: Final = 0.25
"""After so many seconds without a connection, one more is tried."""


class BoundedConnection(Told, psycopg.Connection[Any]):
    """A connection that is given up when an answer does not come in time.

    A network that is cut without a word would otherwise be waited for without end.
    """

    answer_within = ANSWER_WITHIN.total_seconds()

    def wait(self, gen: Generator[Any, Any, RV], *words: Any, **settings: Any) -> RV:
        """Do what `gen` does on this connection, so long and no longer.

        Raises:
            psycopg.OperationalError: The answer did not come; the connection is closed.
        """
        return super().wait(self._bounded(gen), *words, **settings)

    def _bounded(self, gen: Generator[Any, Any, RV]) -> Generator[Any, Any, RV]:
        until = time.monotonic() + self.answer_within
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {self.answer_within:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            result: RV = done.value
            return result


class Connections:
    """A pool that opens connections as they are needed, the tables made ready at the first.

    Args:
        url: Where the database is, as libpq reads it.
        most: How many connections there may be at once.
        wait: How long to wait for one.
        answer_within: How long to wait for each answer.

    Raises:
        InvalidInputError: libpq can make nothing of the URL.
    """

    def __init__(
        self,
        url: str,
        *,
        most: int,
        wait: timedelta = WAIT,
        answer_within: timedelta = ANSWER_WITHIN,
    ) -> None:
        self._conninfo = conninfo_of(url)
        self.place = place_of(url)
        self._trouble: psycopg.Error | None = None
        self._absence = Absence(f"PostgreSQL at {self.place}", _MEANWHILE)
        self._ready = False
        self._preparing = Lock()
        self._wait = wait.total_seconds()
        self._answer_within = answer_within.total_seconds()
        self._pool = ConnectionPool(
            self._conninfo,
            connection_class=self._remembering(),
            kwargs={"autocommit": True, "prepare_threshold": None},
            min_size=0,
            max_size=most,
            open=False,
            reconnect_timeout=0.0,  # it would try again ever more rarely, for minutes
            max_idle=60.0,
            num_workers=1,
        )
        quiet.add(self._pool.name)

    @contextmanager
    def use(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection outside any transaction; one that broke is not used again.

        Raises:
            psycopg.OperationalError: None could be had.
            psycopg.NotSupportedError: It does not carry every text; nothing is sent by it.
        """
        connection = self._get()
        try:
            if connection.info.encoding != UTF8:
                raise psycopg.NotSupportedError(_NOT_EVERY_TEXT)
            if not self._ready:
                self._prepare(connection)
            yield connection
        finally:
            self._pool.putconn(connection)

    def _get(self) -> psycopg.Connection[Any]:
        self._pool.open()
        until = time.monotonic() + self._wait
        while True:
            try:
                return self._pool.getconn(timeout=_TURN)
            except PoolTimeout as exc:
                if time.monotonic() > until:
                    # without the frames of those who opened it, which hold the password
                    raise without_frames(self._trouble or exc) from None

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()
        quiet.drop(self._pool.name)

    def _remembering(self) -> type[psycopg.Connection[Any]]:
        """Connections that keep why one could not be opened: the pool tells that to nobody."""
        outer = self

        class Opened(BoundedConnection):
            answer_within = outer._answer_within

            @classmethod
            def connect(cls, *words: Any, **settings: Any) -> Self:
                try:
                    opened = super().connect(*words, **settings)
                except psycopg.Error as exc:
                    outer._trouble = exc
                    outer._absence.began(exc)
                    raise
                outer._absence.ended()
                return opened

        return Opened

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        with self._preparing:
            if not self._ready:
                prepare(connection, self._conninfo)
                self._ready = True
