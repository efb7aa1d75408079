"""Stops a service in the right place: SIGTERM and Ctrl-C let the step under way come to its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final

from nexus_bounty.cli.exits import ExitCode
from nexus_bounty.events.log import logger_of

logger = logger_of(__name__)

AtRest = Callable[[], AbstractAsyncContextManager[None]]
"""Is entered once no step is under way any more, and lets none begin while it is open."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Ending(Enum):
    """How a service ended."""

    BY_ITSELF = auto()
    STOPPED = auto()
    """It was stopped, and the step under way came to its end first."""
    CUT_SHORT = auto()
    """It was stopped in the middle of a step."""

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that says so."""
        return ExitCode.STOPPED_MIDWAY if self is Ending.CUT_SHORT else ExitCode.OK


class Steps:
    """Counts the steps that are under way in a service, so that it can be stopped between them."""

    def __init__(self) -> None:
        self._under_way = 0
        self._none = asyncio.Event()
        self._may_begin = asyncio.Event()
        self._none.set()
        self._may_begin.set()

    @asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        """What is done while it is open is one step; it is not begun while the service rests."""
        await self._may_begin.wait()
        self._under_way += 1
        self._none.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._none.set()

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Wait for all steps to end, and let none begin while this is open."""
        self._may_begin.clear()
        try:
            await self._none.wait()
            yield
        finally:
            self._may_begin.set()


async def until_stopped(
    work: Coroutine[Any, Any, Any], at_rest: AtRest, *, within: timedelta
) -> Ending:
    """Run `work` until it ends by itself, or SIGTERM or SIGINT stops it.

    The first signal waits for `at_rest` and then cancels the work; a second one cancels it at
    once. The signals stay taken until the event loop is closed, so that none of them cuts short
    how everything is closed.

    Args:
        work: What the service does; what it raises is raised.
        at_rest: Waits for the step under way.
        within: How long to wait for it at most.
    """
    signals: asyncio.Queue[str] = asyncio.Queue()
    _take_signals(signals)
    task = asyncio.ensure_future(work)
    first = asyncio.ensure_future(signals.get())
    try:
        await asyncio.wait({task, first}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            return Ending.BY_ITSELF
        logger.info("%s: the step under way is finished first", first.result())
        return await _stop(task, at_rest, signals, within)
    finally:
        first.cancel()
        await _cancel(task)


def _take_signals(signals: asyncio.Queue[str]) -> None:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        with suppress(NotImplementedError):  # Windows has no such handlers: Ctrl-C cancels
            loop.add_signal_handler(number, signals.put_nowait, number.name)


async def _stop(
    task: asyncio.Future[Any], at_rest: AtRest, signals: asyncio.Queue[str], within: timedelta
) -> Ending:
    async with AsyncExitStack() as stack:
        resting = asyncio.ensure_future(stack.enter_async_context(at_rest()))
        second = asyncio.ensure_future(signals.get())
        await asyncio.wait(
            {task, resting, second},
            timeout=within.total_seconds(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        in_time = task.done() or resting.done()
        if resting.done():
            resting.result()
        for waiting in (resting, second):
            await _cancel(waiting)
        await _cancel(task)
    if not task.cancelled():
        task.result()
    if not in_time:
        logger.warning("stopped in the middle of a step: another run or call finishes it")
    return Ending.STOPPED if in_time else Ending.CUT_SHORT


async def _cancel(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait until it is over, however it ends."""
    task.cancel()
    await asyncio.wait({task})
