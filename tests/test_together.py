"""What runs side by side fails as if it had run alone: with its error, not with a group of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from nexus_bounty.outcomes import PreCommitError
from nexus_bounty.testing.virtual_time import run
from nexus_bounty.together import all_three, both, together


class ProcessEnds(BaseException):
    """What no `except Exception` may take for a failure of the work."""


async def failing(error: BaseException, after: float = 0) -> None:
    await asyncio.sleep(after)
    raise error


async def lasting() -> None:
    await asyncio.sleep(60)


SIDE_BY_SIDE: list[Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, object]]] = [
    lambda work: both(work, lasting()),
    lambda work: both(lasting(), work),
    lambda work: all_three(lasting(), work, lasting()),
    lambda work: all_three(lasting(), lasting(), work),
    lambda work: together([lasting(), work]),
]


@pytest.mark.parametrize("beside", SIDE_BY_SIDE)
@pytest.mark.parametrize("error", [PreCommitError("no"), ProcessEnds()], ids=repr)
def test_the_error_of_one_is_the_error_of_all(
    beside: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, object]],
    error: BaseException,
) -> None:
    """Also of one that ends the process, which nobody looks for in a group."""

    async def told() -> None:
        await beside(failing(error))

    with pytest.raises(type(error)) as caught:
        run(told())
    assert caught.value is error


def test_what_ends_the_process_is_told_rather_than_what_failed_besides() -> None:
    """The work has not failed: nobody is there any more to do it."""

    async def told() -> None:
        await both(failing(PreCommitError("no")), failing(ProcessEnds()))

    with pytest.raises(ProcessEnds):
        run(told())


@pytest.mark.parametrize("beside", SIDE_BY_SIDE)
def test_who_has_seen_one_fail_is_not_cancelled_by_the_next_time_out(
    beside: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, object]],
) -> None:
    """Python 3.11.2 ends a time-out so in a task that a group has once cancelled."""

    async def lived() -> int:
        with pytest.raises(PreCommitError):
            await beside(failing(PreCommitError("no"), after=1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await lasting()
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert run(lived()) == 0


@pytest.mark.parametrize("beside", SIDE_BY_SIDE)
def test_who_is_cancelled_stops_all_of_it_first(
    beside: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, object]],
) -> None:
    """Also if it is cancelled again while that takes its time."""
    ended: list[str] = []

    async def slow_to_end() -> None:
        try:
            await lasting()
        finally:
            await asyncio.sleep(1)
            ended.append("the work")

    async def cancelled() -> None:
        task = asyncio.create_task(_of(beside(slow_to_end())))
        for _ in range(2):
            await asyncio.sleep(0.1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended.append("whoever waited")

    run(cancelled())
    assert ended == ["the work", "whoever waited"]


def test_an_error_of_what_is_being_stopped_does_not_take_the_place_of_the_first() -> None:
    """It is only due to that."""

    async def fails_when_stopped() -> None:
        try:
            await lasting()
        finally:
            raise PreCommitError("stopped")

    async def told() -> None:
        await both(fails_when_stopped(), failing(PreCommitError("first"), after=1))

    with pytest.raises(PreCommitError, match="first"):
        run(told())


async def _of(work: Coroutine[Any, Any, object]) -> None:
    await work
