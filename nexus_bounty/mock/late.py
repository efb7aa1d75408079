"""Requests that are applied after their client has given up on them, or once more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nexus_bounty.mock.faults import Fault
from nexus_bounty.mock.oracle import ReceivedRequest


@dataclass(slots=True, eq=False)
class _Late:
    request: ReceivedRequest
    remaining: int | None
    """Requests still to be handled before it is due; None when it waits for its time."""
    timer: asyncio.TimerHandle | None = None


class LateQueue:
    """Holds requests back and delivers them when due.

    Args:
        deliver: Applies a request.
    """

    def __init__(self, deliver: Callable[[ReceivedRequest], Awaitable[object]]) -> None:
        self._deliver = deliver
        self._tasks: set[asyncio.Task[None]] = set()
        self.waiting: list[_Late] = []

    def add(self, request: ReceivedRequest, fault: Fault) -> None:
        """Hold a request back for as long as its fault says."""
        late = _Late(request, fault.after_requests if fault.seconds is None else None)
        if fault.seconds is not None:
            loop = asyncio.get_running_loop()
            late.timer = loop.call_later(fault.seconds, self._start, late)
        self.waiting.append(late)

    async def request_handled(self, handled: ReceivedRequest) -> None:
        """Count a request, and deliver what is due after it, oldest first."""
        due = []
        for late in self.waiting:
            if late.remaining is not None and late.request is not handled:
                late.remaining -= 1
                if late.remaining <= 0:
                    due.append(late)
        for late in due:
            await self._release(late)

    async def settle(self) -> None:
        """Deliver everything now, oldest first."""
        while self.waiting:
            await self._release(self.waiting[0])
        if self._tasks:
            await asyncio.gather(*self._tasks)

    def forget(self) -> None:
        """Lose everything that is not delivered yet."""
        for late in self.waiting:
            if late.timer is not None:
                late.timer.cancel()
        self.waiting.clear()

    def _start(self, late: _Late) -> None:
        task = asyncio.ensure_future(self._release(late))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _release(self, late: _Late) -> None:
        if late not in self.waiting:
            return
        self.waiting.remove(late)
        if late.timer is not None:
            late.timer.cancel()
        await self._deliver(late.request)
