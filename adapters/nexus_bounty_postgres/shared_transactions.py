"""Calls that wait while a transaction commits share the next one.

A commit takes as long for one call as for many: the disk is waited for once. So one creator of
everything does not make all others wait for each of its calls, and a busy process needs one
connection to write.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final

from nexus_bounty.outcomes import CommitUnknownError
from nexus_bounty_postgres.transaction import Refused, Work

MOST: Final = 64
"""How many calls share a transaction at most: its locks are held for all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """What is to be done, and where its caller waits."""

    work: Work
    future: asyncio.Future[Any]


_Waiting = SimpleQueue[_Call | None]
_Commit = Callable[[Sequence[Work]], list[Any]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a call is told: a result, or an error."""

    call: _Call
    result: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Tell the caller, on its own event loop."""
        future = self.call.future
        if future.done():  # cancelled, and nobody waits
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.result)


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
        call = _Call(work, asyncio.get_running_loop().create_future())
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
        wanted = [call for call in calls if call is not None and not call.future.cancelled()]
        if wanted:
            _tell(_together(wanted, commit))


def _together(calls: list[_Call], commit: _Commit) -> list[_Answer]:
    try:
        results = commit([call.work for call in calls])
    except CommitUnknownError as doubt:
        return [_Answer(call, error=_another(doubt)) for call in calls]
    except BaseException as exc:  # noqa: BLE001 - it is whose call it was who is told
        if len(calls) == 1:
            return [_Answer(calls[0], error=exc)]
        # undone for all of them: find out whose fault it was
        return [answer for call in calls for answer in _together([call], commit)]
    return [_answer(call, result) for call, result in zip(calls, results, strict=True)]


def _answer(call: _Call, result: Any) -> _Answer:
    if isinstance(result, Refused):
        return _Answer(call, error=result.error)
    return _Answer(call, result)


def _another(doubt: CommitUnknownError) -> CommitUnknownError:
    """The same for another caller, who adds to it what it was about."""
    error = CommitUnknownError(doubt.message, evidence=doubt.evidence)
    error.__cause__ = doubt.__cause__
    return error


def _tell(answers: Sequence[_Answer]) -> None:
    """Wake each event loop once, for all of its callers."""
    by_loop = defaultdict(list)
    for answer in answers:
        by_loop[answer.call.future.get_loop()].append(answer)
    for loop, its in by_loop.items():
        with suppress(RuntimeError):  # it is closed: whoever waited there is gone
            loop.call_soon_threadsafe(_tell_here, its)


def _tell_here(answers: Sequence[_Answer]) -> None:
    for answer in answers:
        answer.tell()
