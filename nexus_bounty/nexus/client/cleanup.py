"""Files that commits leave behind, removed in batches, off the critical path.

Only what nothing can make needed again is left here, so that it does no harm whenever it is
removed, and none if it never is: the reconciler finds what a process that died still owed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import CleanUpEnded
from nexus_bounty.events.stream import Observers, detached, publish
from nexus_bounty.events.types import told_as
from nexus_bounty.nexus.client.errors import NexusError

CLOSING_TIMEOUT: Final = 5.0
"""How many seconds closing a client waits for what is still to be removed."""

Delete = Callable[[Sequence[str], Deadline], Awaitable[Sequence[str]]]


class CleanUp:
    """Paths to be deleted within `delay` seconds, at most `batch` with one request.

    Args:
        delete: Deletes files and returns those that it could not.
        delay: How long a path waits for others to share its request.
        batch: How many paths do not wait any longer.
        timeout: How many seconds one batch may take.
        observers: Told of every batch.
    """

    def __init__(
        self,
        delete: Delete,
        *,
        delay: float,
        batch: int,
        timeout: float,
        observers: Observers = (),
    ) -> None:
        self._delete = delete
        self._delay = delay
        self._batch = batch
        self._timeout = timeout
        self._observers = observers
        self._owed: dict[str, None] = {}
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def owed(self) -> Sequence[str]:
        """What is still to be removed, oldest first."""
        return tuple(self._owed)

    def add(self, paths: Iterable[str]) -> None:
        """Remove `paths` soon; what cannot be removed is told of and left to the reconciler."""
        self._owed |= dict.fromkeys(paths)
        if not self._owed:
            return
        if len(self._owed) >= self._batch:
            self._full.set()
        if self._task is None or self._task.done():
            # of no operation: it outlives the one that comes first, and serves many
            self._task = asyncio.create_task(self._run(), context=detached())

    async def flush(self, timeout: float = CLOSING_TIMEOUT) -> None:
        """Remove what is owed now; what cannot be removed in `timeout` seconds is left."""
        await self.stop()
        await self._remove_all(min(timeout, self._timeout))

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
            await self._remove_all(self._timeout)

    async def _remove_all(self, timeout: float) -> None:
        while self._owed:
            batch = list(self._owed)[: self._batch]
            self._full.clear()
            failed, why = await self._removed(batch, Deadline.after(timeout))
            for path in batch:  # only now: a task that is cancelled meanwhile still owes them
                self._owed.pop(path, None)
            gone = len(batch) - len(failed)
            publish(self._observers, CleanUpEnded, gone, tuple(failed), why)

    async def _removed(
        self, batch: Sequence[str], deadline: Deadline
    ) -> tuple[Sequence[str], str | None]:
        """Those of `batch` that are still there, and why if the request failed."""
        try:
            return await self._delete(batch, deadline), None
        except NexusError as error:
            return batch, told_as(error)
