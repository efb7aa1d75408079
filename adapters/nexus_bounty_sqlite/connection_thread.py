"""A thread with a connection of its own, on which whole transactions run one after another.

A transaction runs in one piece in one call, never statement by statement from the event loop:
cancelling the task that waits for it can neither leave it open nor interleave it with another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class ConnectionThread:
    """Runs jobs in order; opens its connection for the first, and again after a failure."""

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None

    async def run(self, job: Callable[[ConnectionThread], T]) -> T:
        """Run `job` on this thread.

        A job that is cancelled while it waits for its turn never runs; one that has begun runs
        to its end although nobody waits for it any more.
        """
        return await asyncio.wrap_future(self._pool.submit(job, self))

    def start(self, job: Callable[[ConnectionThread], None]) -> None:
        """Have `job` run on this thread when those before it have ended; it must not raise."""
        self._pool.submit(job, self)

    @property
    def is_open(self) -> bool:
        """Whether the connection is open; for jobs only."""
        return self._connection is not None

    def connection(self) -> sqlite3.Connection:
        """The open connection; for jobs only."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def roll_back(self) -> bool:
        """Undo the open transaction; whether there was one and it is undone. For jobs only."""
        if self._connection is None or not self._connection.in_transaction:
            return False
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.drop()
            return False
        return True

    def drop(self) -> None:
        """Undo the open transaction and close the connection. For jobs only."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        with contextlib.suppress(sqlite3.Error):
            connection.close()

    async def close(self) -> None:
        """Finish what has begun, then let go of connection and thread."""
        await self.run(ConnectionThread.drop)
        self._pool.shutdown()
