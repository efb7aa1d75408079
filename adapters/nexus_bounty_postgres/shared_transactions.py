"""Calls that wait while a transaction commits share the next one.

A commit takes as long for one call as for many: the disk is waited for once. So one creator of
everything does not make all others wait for each of its calls, and a busy process needs one
connection to write.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final

from nexus_bounty.outcomes import CommitUnknownError
from nexus_bounty.waiting_calls import EndedCall, WaitingCall, tell
from nexus_bounty_postgres.transaction import Refused, Work

MOST: Final = 64
"""How many calls share a transaction at most: its locks are held for all of them."""


_Call = WaitingCall[Work]
_Waiting = SimpleQueue[_Call | None]
_Commit = Callable[[Sequence[Work]], list[Any]]


class SharedTransactions:
    """Runs calls in the order in which they come, as many at once as are waiting.

    They wait in a queue of C for a thread that takes them from there: for a lone caller, an
    executor's futures would cost as much as the work itself. Whoever forgets to close it is not
    kept from ending for that, and what has begun is finished all the same.

    Args:
        commit: Runs works in one transaction, and returns their results.
    """

    def __init__(self, commit: _Commit) -> None:
        self._waiting: _Waiting = SimpleQueue()
        thread = threading.Thread(
            target=_work_off,
            args=(self._waiting, commit),
            name="nexus-bounty-postgres-writer",
            daemon=True,
        )
        self._end = weakref.finalize(self, _end, self._waiting, thread)
        thread.start()

    async def run(self, work: Work) -> Any:
        """Have `work` done, and return its result.

        One that is cancelled before its transaction begins never runs; one that has begun runs to
        its end although nobody waits for it any more.
        """
        call = WaitingCall.of(work)
        self._waiting.put(call)
        return await call.future

    def close(self) -> None:
        """Finish what has begun and what waits."""
        self._end()


def _end(waiting: _Waiting, thread: threading.Thread) -> None:
    waiting.put(None)
    if thread is not threading.current_thread():  # it may be the one that collects garbage
        thread.join()


def _work_off(waiting: _Waiting, commit: _Commit) -> None:
    """Do what comes, until `None` does."""
    is_open = True
    while is_open:
        calls = [waiting.get()]
        while calls[-1] is not None and len(calls) < MOST and not waiting.empty():
            calls.append(waiting.get())
        is_open = calls[-1] is not None
        wanted = [call for call in calls if call is not None and call.is_wanted]
        if wanted:
            tell(_together(wanted, commit))


def _together(calls: list[_Call], commit: _Commit) -> list[EndedCall[Work]]:
    try:
        results = commit([call.work for call in calls])
    except CommitUnknownError as doubt:
        return [EndedCall(call, error=_another(doubt)) for call in calls]
    except BaseException as exc:  # noqa: BLE001 - it is whose call it was who is told
        if len(calls) == 1:
            return [EndedCall(calls[0], error=exc)]
        # undone for all of them: find out whose fault it was
        return [answer for call in calls for answer in _together([call], commit)]
    return [_answer(call, result) for call, result in zip(calls, results, strict=True)]


def _answer(call: _Call, result: Any) -> EndedCall[Work]:
    if isinstance(result, Refused):
        return EndedCall(call, error=result.error)
    return EndedCall(call, result)


def _another(doubt: CommitUnknownError) -> CommitUnknownError:
    """The same for another caller, who adds to it what it was about."""
    error = CommitUnknownError(doubt.message, evidence=doubt.evidence)
    error.__cause__, error.to_do = doubt.__cause__, doubt.to_do
    return error
