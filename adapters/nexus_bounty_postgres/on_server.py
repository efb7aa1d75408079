"""Services over a book in a PostgreSQL database."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

import psycopg

from nexus_bounty.models import utc_now
from nexus_bounty.outcomes import PreCommitError
from nexus_bounty.transactions import BookT, Clock, Transactional
from nexus_bounty_postgres.connections import ANSWER_WITHIN, WAIT
from nexus_bounty_postgres.database import PostgresDatabase
from nexus_bounty_postgres.resolution import RESOLVE_WITHIN
from nexus_bounty_postgres.transaction import Batch

T = TypeVar("T")


class OnServer(Transactional[BookT]):
    """A service that keeps its book in one database.

    Any number of processes on any number of machines may work on it at once. What has been
    acknowledged is as safe as the server keeps it (`nexus-bounty doctor` says how safe that is).
    Calls that come at the same time share a transaction; a call whose task is cancelled is either
    dropped before it begins or runs to its end, and the same id tells which.

    Args:
        url: Where the database is, as libpq reads it: `postgresql://user@host:5432/database`.
        clock: Says what has expired; aware. Is called from another thread.
        wait: How long to wait for a connection, or for a lock of others, before giving up, which
            is pre-commit.
        answer_within: How long to wait for each answer.
        resolve_within: How long to find out what became of a `COMMIT` that was not answered.
    """

    refusal: ClassVar[type[PreCommitError]]
    """The error for what has certainly not been committed."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock = utc_now,
        wait: timedelta = WAIT,
        answer_within: timedelta = ANSWER_WITHIN,
        resolve_within: timedelta = RESOLVE_WITHIN,
    ) -> None:
        super().__init__(clock=clock)
        self._database = PostgresDatabase(
            url,
            batch=self._batch,
            tables=self._tables,
            refusal=self.refusal,
            wait=wait,
            answer_within=answer_within,
            resolve_within=resolve_within,
        )

    @abstractmethod
    def _batch(self, connection: psycopg.Connection[Any]) -> Batch:
        """The part of the book that the calls of one transaction are about."""

    @abstractmethod
    def _tables(self, connection: psycopg.Connection[Any], *, settled: int) -> Any:
        """All of the book, to be read."""

    async def __aenter__(self) -> Self:
        """Open it now, so that what is wrong is noticed here, and make its tables.

        Raises:
            CommitUnknownError: It cannot be read, or belongs to a later release.
        """
        await self._database.check(lambda _: None)
        return self

    async def close(self) -> None:
        """Finish what has begun, then close all connections."""
        await self._database.close()

    async def _commit(self, operation: str, key: str | None, work: Callable[[BookT], T]) -> T:
        return await self._database.write(operation, key, work)

    async def _read(self, operation: str, work: Callable[[BookT], T]) -> T:
        return await self._database.read(operation, work)
