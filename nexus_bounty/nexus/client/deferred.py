"""Work that nobody waits for, done in batches a moment later, and before the client closes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Generic, TypeVar

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.stream import detached

V = TypeVar("V")

CLOSING_TIMEOUT: Final = 5.0
"""How many seconds closing a client waits for what is still to be done."""


class DeferredWork(Generic[V]):
    """Something to be done for each of some paths within `delay` seconds, `batch` at most at once.

    What is done must do no harm whenever it is done, and none if it never is: a process may die
    before. A subclass says what it is.

    Args:
        delay: How long a path waits for others to share its requests.
        batch: How many paths do not wait any longer.
        timeout: How many seconds one batch may take.
    """

    def __init__(self, *, delay: float, batch: int, timeout: float) -> None:
        self._delay = delay
        self._batch = batch
        self._timeout = timeout
        self._owed: dict[str, V] = {}
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def owed(self) -> Sequence[str]:
        """The paths for which it is still to be done, oldest first."""
        return tuple(self._owed)

    def put(self, items: Mapping[str, V]) -> None:
        """Do it for these paths soon."""
        self._owed |= items
        if not self._owed:
            return
        if len(self._owed) >= self._batch:
            self._full.set()
        if self._task is None or self._task.done():
            # of no operation: it outlives the one that comes first, and serves many
            self._task = asyncio.create_task(self._run(), context=detached())

    async def flush(self, timeout: float = CLOSING_TIMEOUT) -> None:
        """Do what is owed now; what cannot be done in `timeout` seconds is left."""
        deadline = Deadline.after(min(timeout, self._timeout))
        await self.hasten(deadline)
        await self.stop()
        await self._all(deadline.remaining)

    async def hasten(self, deadline: Deadline) -> None:
        """Wait until what is owed is done, and let it wait for nothing else to share its requests.

        What is under way is not stopped: its request could still arrive, after that of a newer one.
        """
        if self._task is not None and not self._task.done():
            self._full.set()
            await asyncio.wait([self._task], timeout=deadline.remaining)

    async def stop(self) -> None:
        """Leave what is owed to the reconciler, or to a later `flush`."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        while self._owed:
            try:
                async with asyncio.timeout(self._delay):
                    await self._full.wait()
            except TimeoutError:
                pass  # they have waited long enough
            await self._all(self._timeout)

    async def _all(self, timeout: float) -> None:
        while self._owed:
            batch = dict(list(self._owed.items())[: self._batch])
            self._full.clear()
            await self._do(batch, Deadline.after(timeout))
            self.done(batch)  # only now: a task that is cancelled still owes them

    def done(self, batch: Mapping[str, V]) -> None:
        """Note that it is done for these, but for what was put anew meanwhile."""
        for path, item in batch.items():
            if self._owed.get(path, self) is item:
                del self._owed[path]

    async def _do(self, batch: Mapping[str, V], deadline: Deadline) -> None:
        """Do it for a batch; nothing is raised for want of a server."""
        raise NotImplementedError
