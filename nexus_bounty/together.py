"""Things that wait for no answer of each other, done at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


async def both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """What the two return; if one fails, the other is stopped, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = group.create_task(first), group.create_task(second)
    except* Exception as errors:  # noqa: BLE001 - raised again
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return tasks[0].result(), tasks[1].result()


async def together(calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all `calls` return, in their order; if one fails, the others are stopped."""
    first, *others = calls
    if not others:
        return [await first]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in (first, *others)]
    except* Exception as errors:  # noqa: BLE001 - raised again
        raise errors.exceptions[0] from errors.exceptions[0].__cause__
    return [task.result() for task in tasks]
