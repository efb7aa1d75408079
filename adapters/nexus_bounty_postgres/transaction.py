"""One transaction: many calls' work, in one round trip or two, and what became of it.

Where a process can foresee what its calls would read, their rules run on that. What they have made
of it is sent as a whole, with what was foreseen, which the server compares under lock. If all is
true and all are accepted, one round trip has done it; otherwise nothing was written, and it takes
two. The first begins it, reads what the calls are about and locks it, in one order for all. Then
their rules run in memory. The second writes what has changed and commits. A call that refuses has
written nothing, and takes nothing from the others.

Balances are not locked when they are read: all who pay from one account, or into it, would wait for
each other over two round trips. They are locked when they change, and if then there is less than
the rules have spent, the transaction is undone and made again, this time with all locks first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain, islice, repeat
from typing import Any, Final, Protocol

import psycopg

from nexus_bounty.idempotency import new_key
from nexus_bounty.outcomes import OutcomeError, PreCommitError
from nexus_bounty_postgres import failures
from nexus_bounty_postgres.connections import WAIT, Connections
from nexus_bounty_postgres.resolution import RESOLVE_WITHIN, is_committed
from nexus_bounty_postgres.script import RowLocks, Rows, Script
from nexus_bounty_postgres.writers import WRITERS

Work = Callable[[Any], Any]
TRIES: Final = 10
"""How often a transaction is begun again that others have overtaken."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
_KEPT: Final = 1_000
"""A marker in so many looks for old ones that can go."""


class Batch(Protocol):
    """The part of the tables that the calls of one transaction are about."""

    @property
    def changes(self) -> int:
        """How often something was changed."""
        ...

    def announce(self, work: Work) -> None:
        """Take in what a call may read and change."""
        ...

    def foresee(self) -> bool:
        """Take what is believed to be there for what is; whether all works may be tried on it."""
        ...

    def closing_as_foreseen(self, script: Script, marker: str, wait: str) -> bool:
        """Add the statement that compares, and writes; `False` if that would not prove it all."""
        ...

    def keep_in_mind(self) -> None:
        """Remember what stands now, for the next that is foreseen."""
        ...

    def opening(self, script: Script, locks: RowLocks) -> None:
        """Add the statements that read all of it, and lock it."""
        ...

    def take_in(self, found: list[Rows]) -> None:
        """Keep what they found."""
        ...

    def closing(self, script: Script) -> None:
        """Add the statements that write what has changed."""
        ...


@dataclass(frozen=True)
class Refused:
    """The answer to a call that its rule refused."""

    error: OutcomeError


@dataclass(frozen=True, kw_only=True)
class Transactions:
    """Runs transactions on one database.

    Attributes:
        connections: Where to.
        batch: Makes the part of the tables that calls work on, on a connection.
        refusal: The error for what has certainly not been committed.
        wait: How long to wait for the locks of others; an open transaction is given up by the
            server after as long.
        resolve_within: How long to find out what became of a lost `COMMIT`.
    """

    connections: Connections
    batch: Callable[[psycopg.Connection[Any]], Batch]
    refusal: type[PreCommitError]
    wait: timedelta = WAIT
    resolve_within: timedelta = RESOLVE_WITHIN

    def commit(self, works: Sequence[Work]) -> list[Any]:
        """Run all of `works` in one transaction and commit it; a refusal is a `Refused`.

        Raises:
            PreCommitError: It is undone, in the class of this port.
            CommitUnknownError: Nobody can say whether it was committed.
        """
        until = time.monotonic() + self.wait.total_seconds()
        trouble: Exception = psycopg.OperationalError("the connection was lost before COMMIT")
        at_first: tuple[RowLocks | None, ...] = (None, RowLocks.RECORDS)  # then nobody overtakes it
        for locks in islice(chain(at_first, repeat(RowLocks.ALL)), TRIES):
            try:
                results = self._attempt(works, locks) if locks else self._as_foreseen(works)
            except _UndoneError as undone:
                if failures.tells_what_to_do(undone.by):
                    trouble = undone.by
                results = None
            except psycopg.Error as exc:
                trouble = exc
                if not failures.is_worth_repeating(exc):
                    break
                results = None
            if results is not None:
                return results
            if time.monotonic() > until:
                break
        raise failures.never_committed(trouble, self.refusal, self.connections.place) from trouble

    def _attempt(self, works: Sequence[Work], locks: RowLocks) -> list[Any]:
        """The results.

        Raises:
            psycopg.Error: The server has refused, and it is undone.
            _UndoneError: It is undone with its connection, for no fault of its own.
            CommitUnknownError: Nobody can say whether it was committed.
        """
        with self.connections.use() as connection:
            try:
                xid, batch = self._begin(connection, works, locks)
                results = [_done(batch, work) for work in works]
                changes = Script()
                batch.closing(changes)
            except psycopg.Error as exc:
                _roll_back(connection)
                if connection.closed:
                    raise _UndoneError(exc) from exc
                raise
            except BaseException:
                _roll_back(connection)
                raise
            if not len(changes):
                _roll_back(connection)
                batch.keep_in_mind()
                return results
            script, marker = _signed(changes)
            lost = _run_to_commit(connection, script)
        return self._resolved(batch, results, xid, marker, lost)

    def _as_foreseen(self, works: Sequence[Work]) -> list[Any] | None:
        """The results, or `None` if something has to be read first.

        Raises: as `_attempt`.
        """
        with self.connections.use() as connection:
            batch = self._announced(connection, works)
            results = _accepted(batch, works)
            marker, script = new_key(), Script()
            script.add(_BEGIN)
            _forget_now_and_then(marker, script)
            if results is None or not batch.closing_as_foreseen(script, marker, self._milliseconds):
                return None
            script.add("COMMIT")
            lost = _run_to_commit(connection, script)
        return self._resolved(batch, results, None, marker, lost)

    @property
    def _milliseconds(self) -> str:
        return f"{self.wait.total_seconds() * 1000:.0f}"

    def _announced(self, connection: psycopg.Connection[Any], works: Sequence[Work]) -> Batch:
        batch = self.batch(connection)
        for work in works:
            batch.announce(work)
        return batch

    def _begin(
        self, connection: psycopg.Connection[Any], works: Sequence[Work], locks: RowLocks
    ) -> tuple[str, Batch]:
        batch = self._announced(connection, works)
        script = Script()
        script.add(_BEGIN)
        began = script.add(
            "SELECT pg_current_xact_id()::text, set_config('lock_timeout', %s, true),"
            " set_config('idle_in_transaction_session_timeout', %s, true),"
            " pg_advisory_xact_lock_shared(%s)",
            self._milliseconds,
            self._milliseconds,
            WRITERS,
        )
        batch.opening(script, locks)
        found = script.run(connection)
        batch.take_in(found)
        return found[began][0][0], batch

    def _resolved(
        self,
        batch: Batch,
        results: list[Any],
        xid: str | None,
        marker: str,
        lost: Exception | None,
    ) -> list[Any]:
        """The results if it was committed, though its answer may be `lost`.

        Raises:
            _UndoneError: It was not.
            CommitUnknownError: Nobody can say.
        """
        if lost is not None:
            committed = is_committed(self.connections, xid, marker, self.resolve_within)
            if committed is None:
                why = f"what became of transaction {xid or marker} could not be found out"
                raise failures.unknown(lost, self.connections.place, why) from lost
            if not committed:
                raise _UndoneError(lost) from lost
        batch.keep_in_mind()
        return results


class _UndoneError(Exception):
    """A transaction was lost with its connection, `by` some error; another may come through."""

    def __init__(self, by: Exception) -> None:
        super().__init__(str(by))
        self.by = by


def _signed(changes: Script) -> tuple[Script, str]:
    """The changes, with the marker that the transaction leaves, and its end.

    The marker comes first: balances are locked by the changes, and then nothing else is to do.
    """
    marker, script = new_key(), Script()
    script.add("INSERT INTO nexus_bounty.commits (marker) VALUES (%s)", marker)
    _forget_now_and_then(marker, script)
    script.join(changes)
    script.add("COMMIT")
    return script, marker


def _forget_now_and_then(marker: str, script: Script) -> None:
    if hash(marker) % _KEPT == 0:
        script.add("DELETE FROM nexus_bounty.commits WHERE at < now() - interval '1 day'")


def _run_to_commit(connection: psycopg.Connection[Any], script: Script) -> psycopg.Error | None:
    """Why nobody knows yet whether it was committed; `None` if it was.

    Raises:
        psycopg.Error: The server has refused, and it is undone.
    """
    try:
        script.execute(connection)
    except psycopg.Error as exc:
        if failures.is_answered(exc, connection):
            _roll_back(connection)
            raise
        connection.close()
        return exc
    return None


def _accepted(batch: Batch, works: Sequence[Work]) -> list[Any] | None:
    """The results on what is foreseen; `None` if one refuses, which it may not on what is there."""
    if not batch.foresee():
        return None
    results = []
    for work in works:
        try:
            result = work(batch)
        except Exception:  # noqa: BLE001 - whatever it is, it may be due to what was foreseen
            return None
        if isinstance(result, Exception):
            return None
        results.append(result)
    return results


def _done(batch: Batch, work: Work) -> Any:
    before = batch.changes
    try:
        return work(batch)
    except OutcomeError as refusal:
        if batch.changes != before:
            raise
        return Refused(refusal)


def _roll_back(connection: psycopg.Connection[Any]) -> None:
    with suppress(psycopg.Error):
        connection.execute("ROLLBACK")
