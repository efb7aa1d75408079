"""Group commit: transactions that wait at the same time share one `COMMIT`.

Most of a durable transaction's time is the wait for the disk. While one group is being written,
other callers queue; all of them are the next group. Nobody is told anything before the `COMMIT` of
their group, so durability is that of a transaction each. Within a group the transactions run one
after another, each seeing what the earlier ones did, as they would without a group.

None suffers for another: a group in which one raises is undone as a whole, and then each runs in a
transaction of its own. So what runs here may run twice, and must touch nothing but the file.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from nexus_bounty.outcomes import PreCommitError
from nexus_bounty.waiting_calls import EndedCall, WaitingCall, tell
from nexus_bounty_sqlite import failures
from nexus_bounty_sqlite.connection_thread import ConnectionThread

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

MOST_IN_GROUP: Final = 64
"""How many transactions share a commit at most: others of the file wait for no more than these."""


_Turn = WaitingCall[Work[Any]]


class GroupCommit:
    """Runs transactions on one thread, in the order in which they were asked for.

    Args:
        thread: The thread, with its connection.
        refusal: The error for what has certainly not been committed.
        path: The file, to be named in errors.
    """

    def __init__(self, thread: ConnectionThread, refusal: type[PreCommitError], path: str) -> None:
        self._thread = thread
        self._refusal = refusal
        self._path = path
        self._lock = threading.Lock()
        self._waiting: deque[_Turn] = deque()
        self._is_at_work = False

    async def run(self, work: Work[T]) -> T:
        """Run `work` in an immediate transaction, and return when it is committed.

        Cancelled while it waits for its turn, it never runs; once it has begun, it runs to its end.

        Raises:
            PreCommitError: It was not committed and is rolled back; in the class of this port.
            CommitUnknownError: `COMMIT` failed in a way that does not say.
        """
        turn = WaitingCall.of(work)
        with self._lock:
            self._waiting.append(turn)
        # when those who are ready now wait, too: a larger group
        turn.future.get_loop().call_soon(self._begin)
        result: T = await turn.future
        return result

    def _begin(self) -> None:
        with self._lock:
            if self._is_at_work or not self._waiting:
                return
            self._is_at_work = True
        self._thread.start(self._commit_all)

    def _commit_all(self, thread: ConnectionThread) -> None:
        while group := self._next_group():
            self._commit(thread, group)

    def _next_group(self) -> list[_Turn]:
        with self._lock:
            count = min(len(self._waiting), MOST_IN_GROUP)
            group = [self._waiting.popleft() for _ in range(count)]
            self._is_at_work = bool(group)
        return group

    def _commit(self, thread: ConnectionThread, group: Sequence[_Turn]) -> None:
        """Run the turns that are still wanted in one transaction; alone, if one of them raises."""
        group = [turn for turn in group if turn.is_wanted]
        if not group:
            return
        try:
            connection = thread.connection()
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as failed:
            thread.drop()
            tell([self._refused(turn, failed) for turn in group])
            return
        try:
            ended = [EndedCall(turn, turn.work(connection)) for turn in group]
        except BaseException as failed:  # noqa: BLE001 - it is its caller's
            self._undo(thread, group, failed)
            return
        try:
            connection.execute("COMMIT")
        except Exception as failed:  # noqa: BLE001 - told to every caller
            undone = thread.roll_back()
            thread.drop()
            ended = [self._doubted(turn, failed, undone=undone) for turn in group]
        tell(ended)

    def _undo(
        self, thread: ConnectionThread, group: Sequence[_Turn], failed: BaseException
    ) -> None:
        if isinstance(failed, sqlite3.Error):
            thread.drop()
        else:
            thread.roll_back()
        if len(group) > 1:
            for turn in group:
                self._commit(thread, [turn])
        elif isinstance(failed, sqlite3.Error):
            tell([self._refused(group[0], failed)])
        else:
            tell([EndedCall(group[0], error=failed)])

    def _refused(self, turn: _Turn, failed: sqlite3.Error) -> EndedCall[Work[Any]]:
        error = failures.before_commit(failed, self._refusal, self._path)
        error.__cause__ = failed
        return EndedCall(turn, error=error)

    def _doubted(self, turn: _Turn, failed: Exception, *, undone: bool) -> EndedCall[Work[Any]]:
        error = failures.at_commit(failed, self._refusal, undone=undone)
        error.__cause__ = failed
        return EndedCall(turn, error=error)
