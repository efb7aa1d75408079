"""One SQLite file: transactions on it, and what became of them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from nexus_bounty.outcomes import OutcomeError, PreCommitError
from nexus_bounty.retry import RetryPolicy
from nexus_bounty_sqlite import failures
from nexus_bounty_sqlite.connection_thread import ConnectionThread
from nexus_bounty_sqlite.group_commit import GroupCommit
from nexus_bounty_sqlite.schema import SchemaError, prepare

T = TypeVar("T")
Connect = Callable[[str, float], sqlite3.Connection]

BUSY_TIMEOUT: Final = timedelta(seconds=30)
"""How long a transaction waits for those of other processes."""
_WAITING: Final = RetryPolicy(attempts=1_000_000, base=0.01, cap=0.05)  # for as long as it may


def connect(path: str, busy_seconds: float) -> sqlite3.Connection:
    """A connection that begins and ends transactions only when told to."""
    return sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)


class Database:
    """Two threads on one file, so that reading never waits for a commit to reach the disk.

    Args:
        path: The file; made by the first transaction if it is not there, and read as empty before.
        refusal: The error for what has certainly not been committed.
        busy_timeout: How long to wait for other processes.
        connect: How connections are made.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        refusal: type[PreCommitError],
        busy_timeout: timedelta = BUSY_TIMEOUT,
        connect: Connect = connect,
    ) -> None:
        self.path = Path(path)
        self._refusal = refusal
        opened = partial(_open, str(self.path), busy_timeout.total_seconds(), connect)
        self._writer = ConnectionThread("nexus-bounty-sqlite-writer", opened)
        self._reader = ConnectionThread("nexus-bounty-sqlite-reader", opened)
        self._commits = GroupCommit(self._writer, refusal, str(self.path))
        self._closed = False
        self._process = os.getpid()

    async def write(
        self, operation: str, key: str | None, work: Callable[[sqlite3.Connection], T]
    ) -> T:
        """Run `work` in an immediate transaction, and commit it.

        It shares the commit with those that wait at the same time, and so may run twice before it
        is committed once: it must touch nothing but the file.

        Raises:
            PreCommitError: It was not committed and is rolled back; in the class of this port.
            CommitUnknownError: `COMMIT` failed in a way that does not say.
        """
        if unusable := self._unusable():
            refused = failures.before_commit(unusable, self._refusal, str(self.path))
            raise refused.about(operation, None, key)
        try:
            return await self._commits.run(work)
        except OutcomeError as exc:
            exc.about(operation, None, key)
            raise

    async def read(self, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one consistent state.

        Raises:
            CommitUnknownError: The file cannot be read.
        """
        if unusable := self._unusable():
            raise failures.unreadable(unusable, str(self.path)).about(operation, None, None)
        try:
            return await self._reader.run(partial(_look, work=work, path=str(self.path)))
        except OutcomeError as exc:
            exc.about(operation, None, None)
            raise

    def _unusable(self) -> sqlite3.ProgrammingError | None:
        """Why nothing can be done with it, if nothing can."""
        if os.getpid() != self._process:  # its threads are not here, and SQLite forbids the rest
            return sqlite3.ProgrammingError("it was opened before a fork: open it in each process")
        return sqlite3.ProgrammingError("it is closed") if self._closed else None

    async def close(self) -> None:
        """Finish what has begun, then close the file; again is a no-op.

        So it is in a forked process, which has neither the threads nor a right to the connections.
        """
        if not self._closed and os.getpid() == self._process:
            self._closed = True
            # A cancelled `close` still closes: nobody could call it a second time.
            await asyncio.shield(asyncio.gather(self._reader.close(), self._writer.close()))


def _look(thread: ConnectionThread, work: Callable[[sqlite3.Connection], T], path: str) -> T:
    try:
        if not thread.is_open and _is_missing(path):
            return _look_into_none(work)
        connection = thread.connection()
        connection.execute("BEGIN")
        result = work(connection)
        connection.execute("COMMIT")
    except sqlite3.Error as exc:
        thread.drop()
        raise failures.unreadable(exc, path) from exc
    except BaseException:
        thread.roll_back()
        raise
    return result


def _is_missing(path: str) -> bool:
    """Whether there is no file, although there could be one."""
    return not os.path.lexists(path) and Path(path).parent.is_dir()


def _look_into_none(work: Callable[[sqlite3.Connection], T]) -> T:
    """Run `work` on what a new file would have: whoever only reads leaves none behind."""
    with closing(connect(":memory:", 0)) as connection:
        prepare(connection)
        return work(connection)


def _open(path: str, busy_seconds: float, connect: Connect) -> sqlite3.Connection:
    _make_private(path)
    connection = connect(path, busy_seconds)
    try:
        _use_write_ahead_log(connection, busy_seconds)
        connection.execute("PRAGMA synchronous = FULL")
        prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: str) -> None:
    """Make a new file readable by its owner alone; SQLite gives its companions the same mode."""
    with suppress(OSError):  # it is there, or SQLite says what is wrong
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _use_write_ahead_log(connection: sqlite3.Connection, busy_seconds: float) -> None:
    def change() -> str:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        return str(mode)

    # SQLite does not wait for others while it changes the mode, whatever the busy timeout.
    mode = _WAITING.persist_blocking(change, failures.is_busy, busy_seconds)
    if mode != "wal":
        raise SchemaError(f"the file cannot have a write-ahead log here, only {mode}")
