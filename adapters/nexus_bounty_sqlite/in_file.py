"""Services over a book in a SQLite file."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Self, TypeVar

from nexus_bounty.models import utc_now
from nexus_bounty.outcomes import PreCommitError
from nexus_bounty.transactions import BookT, Clock, Transactional
from nexus_bounty_sqlite.database import BUSY_TIMEOUT, Connect, Database, connect

T = TypeVar("T")


class InFile(Transactional[BookT]):
    """A service that keeps its book in one file.

    Any number of processes may work on the file at once. What has been acknowledged survives the
    death of the process and of the machine. Each call is one transaction; a call whose task is
    cancelled is either dropped before it begins or runs to its end, and the same id tells which.

    Args:
        path: The file; made when it is opened or written to. Reading leaves none behind where there
            is none: it is like an empty one.
        clock: Says what has expired; aware.
        busy_timeout: How long to wait for other processes before giving up, which is pre-commit.
        connect: How connections are made.
    """

    refusal: ClassVar[type[PreCommitError]]
    """The error for what has certainly not been committed."""

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Clock = utc_now,
        busy_timeout: timedelta = BUSY_TIMEOUT,
        connect: Connect = connect,
    ) -> None:
        super().__init__(clock=clock)
        self._database = Database(
            path, refusal=self.refusal, busy_timeout=busy_timeout, connect=connect
        )

    @abstractmethod
    def _book(self, connection: sqlite3.Connection) -> BookT:
        """The book on a connection with an open transaction."""

    async def __aenter__(self) -> Self:
        """Open the file now, so that a wrong one is noticed here.

        Raises:
            PreCommitError: It cannot be opened, or belongs to a later release or another program.
        """
        await self._database.write("open", None, lambda _: None)
        return self

    async def close(self) -> None:
        """Finish what has begun, then close the file."""
        await self._database.close()

    async def _commit(self, operation: str, key: str | None, work: Callable[[BookT], T]) -> T:
        return await self._database.write(
            operation, key, lambda connection: work(self._book(connection))
        )

    async def _read(self, operation: str, work: Callable[[BookT], T]) -> T:
        return await self._database.read(operation, lambda connection: work(self._book(connection)))
