"""Work that nobody waits for, done in batches a moment later, and before the client closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.stream import detached

V = TypeVar("V")

CLOSING_TIMEOUT: Final = 5.0
"""How many seconds closing a client waits for what is still to be done."""
_AT_ONCE: Final = 0.001
"""Seconds; clocks and timers are no more exact."""


@dataclass(frozen=True, slots=True)
class Owed(Generic[V]):
    """What is to be done for one path, and since when something is, on the event loop's clock."""

    item: V
    since: float


class DeferredWork(Generic[V]):
    """Something to be done for each of some paths within `delay` seconds, `batch` at most at once.

    What is done must do no harm whenever it is done, and none if it never is: a process may die
    before. A subclass says what it is.

    Args:
        delay: How long a path waits for others to share its requests, asked anew each time.
        batch: How many paths do not wait any longer.
        timeout: How many seconds one batch may take.
    """

    def __init__(self, *, delay: Callable[[], float], batch: int, timeout: float) -> None:
        self._delay = delay
        self._batch = batch
        self._timeout = timeout
        self._owed: dict[str, Owed[V]] = {}
        self._under_way: set[str] = set()
        self._full = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def owed(self) -> Sequence[str]:
        """The paths for which it is still to be done, oldest first."""
        return tuple(self._owed)

    def put(self, items: Mapping[str, V]) -> None:
        """Do it for these paths soon; what is newer takes the place of what was owed, not its turn.

        So a path never waits longer than `delay`, however often it is put again.
        """
        now = asyncio.get_running_loop().time()
        for path, item in items.items():
            owed = self._owed.get(path)
            self._owed[path] = Owed(item, owed.since if owed else now)
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
            await self._until_due()
            await self._all(self._timeout)

    async def _until_due(self) -> None:
        """Wait for the oldest to have waited long enough, or for enough to share a request."""
        while self._owed and (left := self._left()) > _AT_ONCE and not self._full.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._full.wait()

    def _left(self) -> float:
        """For how many seconds the oldest may still wait."""
        return self._may_wait(next(iter(self._owed.values())))

    def _may_wait(self, owed: Owed[V]) -> float:
        return owed.since + self._delay() - asyncio.get_running_loop().time()

    async def _all(self, timeout: float) -> None:
        while self._owed:
            batch = self._free()
            if not batch:
                if not await self._one_ends(timeout):
                    return
                continue
            self._full.clear()
            with self.under_way(batch):
                await self._do(_items(batch), Deadline.after(timeout))
            self.done(batch)  # only now: a task that is cancelled still owes them

    def _free(self) -> dict[str, Owed[V]]:
        """Those that are done next: none that is under way, or the newer might come before it."""
        owed = self._owed.items()
        free = ((path, item) for path, item in owed if path not in self._under_way)
        return dict(islice(free, self._batch))

    async def _one_ends(self, timeout: float) -> bool:
        """Whether something that is under way ends in time."""
        self._ended.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                return await self._ended.wait()
        return False

    @contextmanager
    def under_way(self, paths: Iterable[str]) -> Iterator[None]:
        """It is being done for these paths: nothing else is meanwhile."""
        mine = set(paths)
        self._under_way |= mine
        try:
            yield
        finally:
            self._under_way -= mine
            self._ended.set()

    def done(self, batch: Mapping[str, Owed[V]]) -> None:
        """Note that it is done for these, but for what was put anew meanwhile."""
        for path, owed in batch.items():
            if self._owed.get(path) is owed:
                del self._owed[path]

    async def _do(self, batch: Mapping[str, V], deadline: Deadline) -> None:
        """Do it for a batch; nothing is raised for want of a server."""
        raise NotImplementedError


def _items(batch: Mapping[str, Owed[V]]) -> dict[str, V]:
    return {path: owed.item for path, owed in batch.items()}
