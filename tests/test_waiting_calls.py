"""Calls that wait on their own event loops for what another thread does for many at once."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from nexus_bounty.waiting_calls import EndedCall, WaitingCall, tell


async def test_callers_are_told_from_another_thread_each_what_is_theirs() -> None:
    """A result, or an error."""
    calls = [WaitingCall.of(name) for name in ("right", "wrong")]
    ended = [EndedCall(calls[0], 1), EndedCall(calls[1], error=ValueError("wrong"))]
    await asyncio.to_thread(tell, ended)
    assert await calls[0].future == 1
    with pytest.raises(ValueError, match="wrong"):
        await calls[1].future


async def test_whoever_has_stopped_waiting_is_not_told_and_keeps_nobody_from_being() -> None:
    calls = [WaitingCall.of(number) for number in range(2)]
    calls[0].future.cancel()
    assert [each.is_wanted for each in calls] == [False, True]
    tell([EndedCall(each, each.work) for each in calls])
    assert await calls[1].future == 1


def test_an_event_loop_that_is_closed_keeps_none_of_another_waiting() -> None:
    async def called() -> WaitingCall[int]:
        return WaitingCall.of(1)

    gone = asyncio.run(called())

    async def waiting() -> object:
        here = WaitingCall.of(2)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(tell, [EndedCall(gone, 1), EndedCall(here, 2)]).result()
        return await here.future

    assert asyncio.run(waiting()) == 2
