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
