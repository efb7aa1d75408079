"""Files that commits leave behind, removed in batches, off the critical path.

Only what nothing can make needed again is left here, or what somebody looks at again once it is
removed, so that it does no harm whenever that is, and none if it never is: the reconciler finds
what a process that died still owed. What this process writes again is no longer to be removed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import CleanUpEnded
from nexus_bounty.events.stream import Observers, publish
from nexus_bounty.events.types import told_as
from nexus_bounty.nexus.client.deferred import DeferredWork
from nexus_bounty.nexus.client.errors import NexusError

Delete = Callable[[Sequence[str], Deadline], Awaitable[Sequence[str]]]


class CleanUp(DeferredWork[None]):
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
        delay: Callable[[], float],
        batch: int,
        timeout: float,
        observers: Observers = (),
    ) -> None:
        super().__init__(delay=delay, batch=batch, timeout=timeout)
        self._delete = delete
        self._observers = observers

    def add(self, paths: Iterable[str]) -> None:
        """Remove `paths` soon; what cannot be removed is told of and left to the reconciler."""
        self.put(dict.fromkeys(paths))

    def forget(self, paths: Iterable[str]) -> None:
        """Leave `paths` alone, which are about to be written again; what is under way stays so."""
        for path in paths:
            self._owed.pop(path, None)

    async def _do(self, batch: Mapping[str, None], deadline: Deadline) -> None:
        failed, why = await self._removed(list(batch), deadline)
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
