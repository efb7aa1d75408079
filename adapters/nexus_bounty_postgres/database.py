"""One database: transactions on it from an event loop, and what became of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import psycopg

from nexus_bounty.outcomes import OutcomeError, PreCommitError
from nexus_bounty.transactions import Announced
from nexus_bounty_postgres import failures
from nexus_bounty_postgres.connections import ANSWER_WITHIN, WAIT, Connections
from nexus_bounty_postgres.ledger_tables import UnsettledError
from nexus_bounty_postgres.resolution import RESOLVE_WITHIN
from nexus_bounty_postgres.script import RowLocks, Script
from nexus_bounty_postgres.shared_transactions import SharedTransactions
from nexus_bounty_postgres.transaction import Batch, Transactions
from nexus_bounty_postgres.writers import wait_for_writers

T = TypeVar("T")
READERS: Final = 4
"""How many reads of one process run at once."""
_LOOKS: Final = 2
"""A connection that has gone stale since it was last used is found out by the first."""

Tables = Callable[..., Any]


class PostgresDatabase:
    """Threads on a few connections: one writes, in groups, and the others read.

    Args:
        url: Where the database is, as libpq reads it.
        batch: Makes the part of the tables that the calls of one transaction are about.
        tables: Makes all of them, to be read, from a connection and whether they are settled.
        refusal: The error for what has certainly not been committed.
        wait: How long to wait for a connection, or for the locks of others.
        answer_within: How long to wait for each answer.
        resolve_within: How long to find out what became of a lost `COMMIT`.
    """

    def __init__(
        self,
        url: str,
        *,
        batch: Callable[[psycopg.Connection[Any]], Batch],
        tables: Tables,
        refusal: type[PreCommitError],
        wait: timedelta = WAIT,
        answer_within: timedelta = ANSWER_WITHIN,
        resolve_within: timedelta = RESOLVE_WITHIN,
    ) -> None:
        self.connections = Connections(
            url, most=READERS + 1, wait=wait, answer_within=answer_within
        )
        self._batch = batch
        self._tables = tables
        self._refusal = refusal
        self._answer_within = answer_within.total_seconds()
        self._transactions = Transactions(
            connections=self.connections,
            batch=batch,
            refusal=refusal,
            wait=wait,
            resolve_within=resolve_within,
        )
        self._writer = SharedTransactions(self._transactions.commit)
        self._readers = ThreadPoolExecutor(
            READERS, thread_name_prefix="nexus-bounty-postgres-reader"
        )
        self._closed = False
        self._process = os.getpid()

    async def write(self, operation: str, key: str | None, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction, and commit it.

        Raises:
            PreCommitError: It was not committed and is undone; in the class of this port.
            CommitUnknownError: The answer to `COMMIT` was lost, and nobody could say more.
        """
        if unusable := self._unusable():
            refused = failures.never_committed(unusable, self._refusal, self.connections.place)
            raise refused.about(operation, None, key)
        try:
            done: T = await self._writer.run(work)
            return done
        except OutcomeError as exc:
            exc.about(operation, None, key)
            raise

    async def read(self, operation: str, work: Callable[[Any], T]) -> T:
        """Run `work` on one consistent state.

        Raises:
            CommitUnknownError: The database cannot be read.
        """
        try:
            if unusable := self._unusable():
                raise failures.unreadable(unusable, self.connections.place)
            return await self._in_thread(partial(self._look, work))
        except OutcomeError as exc:
            exc.about(operation, None, None)
            raise

    async def check(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run `work` on a connection outside any transaction.

        Raises:
            CommitUnknownError: The database cannot be read.
        """
        if unusable := self._unusable():
            raise failures.unreadable(unusable, self.connections.place)
        return await self._in_thread(partial(self._use, work))

    async def close(self) -> None:
        """Finish what has begun, then close all connections; again is a no-op.

        So it is in a forked process, which has neither the threads nor a right to the connections.
        """
        if not self._closed and os.getpid() == self._process:
            self._closed = True
            # A cancelled `close` still closes: nobody could call it a second time.
            await asyncio.shield(asyncio.to_thread(self._end))

    async def _in_thread(self, job: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._readers.submit(job))

    def _end(self) -> None:
        self._writer.close()
        self._readers.shutdown()
        self.connections.close()

    def _unusable(self) -> Exception | None:
        """Why nothing can be done with it, if nothing can."""
        if os.getpid() != self._process:
            return RuntimeError("it was opened before a fork: open it in each process")
        return RuntimeError("it is closed") if self._closed else None

    def _look(self, work: Callable[[Any], T]) -> T:
        try:
            return self._use(partial(self._in_snapshot, work=work, settled=0))
        except UnsettledError as missing:
            self._use(partial(wait_for_writers, until=time.monotonic() + self._answer_within))
            return self._use(partial(self._in_snapshot, work=work, settled=missing.upto))

    def _use(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        trouble: Exception | None = None
        for _ in range(_LOOKS):
            connection = None
            try:
                with self.connections.use() as connection:
                    return work(connection)
            except psycopg.Error as exc:
                trouble = exc
            if connection is None:
                break  # one was waited for, as long as anything is
        raise failures.unreadable(trouble or RuntimeError(), self.connections.place) from trouble

    def _in_snapshot(
        self, connection: psycopg.Connection[Any], work: Callable[[Any], T], *, settled: int
    ) -> T:
        if isinstance(work, Announced):
            seen: T = work(self._read_at_once(connection, work))
            return seen
        try:
            connection.execute(_SNAPSHOT)
            return work(self._tables(connection, settled=settled))
        finally:
            if not connection.closed:
                connection.execute("ROLLBACK")

    def _read_at_once(self, connection: psycopg.Connection[Any], work: Any) -> Batch:
        batch = self._batch(connection)
        batch.announce(work)
        script = Script()
        script.add(_SNAPSHOT)
        batch.opening(script, RowLocks.NONE)
        script.add("COMMIT")
        batch.take_in(script.run(connection))
        return batch


_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
