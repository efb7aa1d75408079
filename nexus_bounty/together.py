"""Things that wait for no answer of each other, done at the same time.

What is started together is of one moment: a client may send what it asks for as one request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

_moment: Final[ContextVar[object | None]] = ContextVar("moment", default=None)


def moment() -> object | None:
    """What this task has in common with those that were started together with it, if any were."""
    return _moment.get()


@contextmanager
def _of_one_moment() -> Iterator[None]:
    token = _moment.set(_moment.get() or object())
    try:
        yield
    finally:
        _moment.reset(token)


async def both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """What the two return; if one fails, the other is stopped, and its error is raised."""
    try:
        with _of_one_moment():
            async with asyncio.TaskGroup() as group:
                tasks = group.create_task(first), group.create_task(second)
    except BaseExceptionGroup as errors:
        error = _the_one_of(errors)
        raise error from error.__cause__
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
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in (first, *others)]
    except BaseExceptionGroup as errors:
        error = _the_one_of(errors)
        raise error from error.__cause__
    return [task.result() for task in tasks]


def _the_one_of(errors: BaseExceptionGroup) -> BaseException:
    """The error to raise of several: one that ends the process rather than one of its work."""
    ends = errors.split(Exception)[1]
    error: BaseException = (ends or errors).exceptions[0]
    return _the_one_of(error) if isinstance(error, BaseExceptionGroup) else error
