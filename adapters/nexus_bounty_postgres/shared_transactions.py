"""Calls that wait while a transaction commits share the next one.

A commit takes as long for one call as for many: the disk is waited for once. So one creator of
everything does not make all others wait for each of its calls, and a busy process needs one
connection to write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from nexus_bounty.outcomes import CommitUnknownError
from nexus_bounty_postgres.transaction import Refused, Work

MOST: Final = 64
"""How many calls share a transaction at most: its locks are held for all of them."""


@dataclass(eq=False)
class _Call:
    work: Work
    future: Future[Any] = field(default_factory=Future)

    def answer(self, result: Any) -> None:
        if isinstance(result, Refused):
            self.future.set_exception(result.error)
        else:
            self.future.set_result(result)


class SharedTransactions:
    """Runs calls in the order in which they come, as many at once as are waiting.

    Args:
        commit: Runs works in one transaction, and returns their results.
    """

    def __init__(self, commit: Callable[[Sequence[Work]], list[Any]]) -> None:
        self._commit = commit
        self._waiting: deque[_Call] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nexus-bounty-postgres-writer")

    def submit(self, work: Work) -> Future[Any]:
        """Let `work` be done.

        One that is cancelled before its transaction begins never runs; one that has begun runs to
        its end although nobody waits for it any more.
        """
        call = _Call(work)
        self._waiting.append(call)
        self._thread.submit(self._next)
        return call.future

    def close(self) -> None:
        """Finish what has begun and what waits."""
        self._thread.shutdown()

    def _next(self) -> None:
        calls: list[_Call] = []
        while self._waiting and len(calls) < MOST:
            call = self._waiting.popleft()
            if call.future.set_running_or_notify_cancel():
                calls.append(call)
        if calls:
            self._together(calls)

    def _together(self, calls: list[_Call]) -> None:
        try:
            results = self._commit([call.work for call in calls])
        except CommitUnknownError as doubt:
            for call in calls:
                error = CommitUnknownError(doubt.message, evidence=doubt.evidence)
                error.__cause__ = doubt.__cause__
                call.future.set_exception(error)
        except BaseException as exc:  # noqa: BLE001 - it is whose call it was who is told
            self._one_by_one(calls, exc)
        else:
            for call, result in zip(calls, results, strict=True):
                call.answer(result)

    def _one_by_one(self, calls: list[_Call], exc: BaseException) -> None:
        """Undone for all of them: find out whose fault it was."""
        if len(calls) == 1:
            calls[0].future.set_exception(exc)
            return
        for call in calls:
            self._together([call])
