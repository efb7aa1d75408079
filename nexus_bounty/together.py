"""Things that wait for no answer of each other, done at the same time.

What is started together is of one moment: a client may send what it asks for as one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from nexus_bounty.inherited import inherited

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class _Moment:
    """What is done together, until all of it `is_over`."""

    is_over = False


_moment: Final[ContextVar[_Moment | None]] = inherited("moment")


def moment() -> object | None:
    """What this task has in common with those that were started together with it, if any were."""
    now = _moment.get()
    return None if now is None or now.is_over else now


@contextmanager
def _of_one_moment() -> Iterator[None]:
    """What is started, and waited for, within: whatever that leaves running is of none any more."""
    if moment() is not None:
        yield
        return
    mine = _Moment()
    token = _moment.set(mine)
    try:
        yield
    finally:
        _moment.reset(token)
        mine.is_over = True


async def both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """What the two return; if one fails, the other is stopped, and its error is raised."""
    with _of_one_moment():
        tasks = asyncio.create_task(first), asyncio.create_task(second)
        await _all_done(tasks)
    return tasks[0].result(), tasks[1].result()


async def all_three(
    first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B], third: Coroutine[Any, Any, C]
) -> tuple[A, B, C]:
    """What the three return; likewise."""
    (one, two), three = await both(both(first, second), third)
    return one, two, three


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all `calls` return, in their order; likewise."""
    first, *others = calls
    if not others:
        return [await first]
    tasks = [asyncio.create_task(call) for call in (first, *others)]
    await _all_done(tasks)
    return [task.result() for task in tasks]


async def _all_done(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait for all; if one fails, stop the others, and raise its error.

    It does not cancel the task that waits, as `asyncio.TaskGroup` does: on Python 3.11 that task
    counts as being cancelled from then on, and on 3.11.2 the next `asyncio.timeout` in it that runs
    out ends in `CancelledError`.
    """
    errors: list[BaseException] = []
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        errors += _errors_of(tasks)
    finally:
        await _stopped(tasks)
        errors += _errors_of(tasks)  # also where nobody is told, or asyncio complains of them
    if errors:
        ends = (each for each in errors if not isinstance(each, Exception))
        error = next(ends, errors[0])  # what ends the process says more than what failed in it
        raise error from error.__cause__


async def _stopped(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """End those that have not ended. Who is cancelled meanwhile waits all the same.

    Nothing goes on behind the back of whoever is told that it has ended.
    """
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    while left:
        with suppress(asyncio.CancelledError):  # an error is on its way already, and says more
            await asyncio.wait(left)
        left = [task for task in left if not task.done()]


def _errors_of(tasks: Iterable[asyncio.Task[Any]]) -> list[BaseException]:
    """The errors of those that have ended."""
    ended = (task for task in tasks if task.done() and not task.cancelled())
    return [error for task in ended if (error := task.exception()) is not None]
