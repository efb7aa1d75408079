"""The time of a whole operation: when it runs, and what does not count."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from nexus_bounty.deadlines import Deadline
from nexus_bounty.retry import RetryPolicy
from tests.support.virtual import elapsed, virtual


class AskedToWaitError(Exception):
    """A server's answer that asks to be left alone for some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__("come back later")
        self.retry_after = seconds


def refusing(*pauses: float) -> tuple[list[float], Callable[[], Awaitable[str]]]:
    """When it was called, and a call that is asked to wait for each of `pauses`, one a time."""
    called: list[float] = []
    left = list(pauses)

    async def call() -> str:
        called.append(asyncio.get_running_loop().time())
        if left:
            raise AskedToWaitError(left.pop(0))
        return "done"

    return called, call


async def persisted(deadline: Deadline, *pauses: float) -> list[float]:
    """When a call was made that is asked to wait for so long, by who persists in it."""
    called, call = refusing(*pauses)
    done = await RetryPolicy(base=0.001).persist(call, lambda _: True, deadline)
    assert done == "done"
    return [round(at - called[0]) for at in called]


@virtual
async def test_what_a_server_asks_to_wait_is_not_counted() -> None:
    """A limit of so many a minute asks for a minute, which is all an operation has."""
    deadline = Deadline.after(60)
    assert await persisted(deadline, 60, 60) == [0, 60, 120]
    assert deadline.remaining == pytest.approx(60)


@virtual
async def test_it_is_not_counted_by_a_loop_that_is_no_retry_either() -> None:
    deadline = Deadline.after(60)
    assert await RetryPolicy().rest(1, deadline, 60)
    assert deadline.remaining == pytest.approx(60)


@virtual
async def test_nobody_waits_for_more_than_twice_the_own_time() -> None:
    deadline = Deadline.after(10)
    with pytest.raises(AskedToWaitError):
        await persisted(deadline, 15, 15)
    assert deadline.remaining == pytest.approx(10)
    assert not await RetryPolicy().rest(1, Deadline.after(10), 21)


@virtual
async def test_the_time_of_something_else_is_over_however_long_the_server_asks_to_wait() -> None:
    """Such as that of a lease, under which a write is sent."""
    deadline = Deadline.after(60)
    await asyncio.sleep(10)
    held = deadline.within(30)
    deadline.excuse(60)
    assert held.remaining == pytest.approx(30)
    assert held.keeping(5).remaining == pytest.approx(25)
    assert deadline.remaining == pytest.approx(110)
    with pytest.raises(AskedToWaitError):
        await persisted(held, 31)
    assert deadline.within(200).remaining == pytest.approx(110)


@virtual
async def test_what_has_not_begun_has_all_its_time() -> None:
    deadline = Deadline.once_served(60)
    await asyncio.sleep(100)
    assert deadline.within(90).remaining == pytest.approx(60)
    assert deadline.within(30).remaining == pytest.approx(30)


NO_TIMES: list[object] = [-5, -0.5, math.nan, -math.inf, "7", True, 1j, None, [60]]


@pytest.mark.parametrize("asked", NO_TIMES, ids=str)
@virtual
async def test_an_error_that_asks_for_no_time_shortens_no_deadline(asked: object) -> None:
    """The error of an adapter may say anything; it is tried again as any other."""
    deadline = Deadline.after(60)
    assert await persisted(deadline, *([asked] * 3)) == [0, 0, 0, 0]  # type: ignore[arg-type]
    assert deadline.remaining == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize("seconds", [-5.0, -math.inf, math.nan])
@virtual
async def test_no_time_is_excused_that_is_none(seconds: float) -> None:
    deadline = Deadline.after(60)
    deadline.excuse(seconds)
    assert deadline.remaining == 60


@pytest.mark.parametrize("asked", [math.inf, 10**400, 2.0**31], ids=["inf", "int", "float"])
@virtual
async def test_nobody_waits_for_ever(asked: float) -> None:
    """The error itself is raised, at once, with and without a deadline."""
    for deadline in (Deadline.after(60), None):
        _, call = refusing(asked)
        with pytest.raises(AskedToWaitError):
            await RetryPolicy().persist(call, lambda _: True, deadline)
    assert elapsed() == 0
