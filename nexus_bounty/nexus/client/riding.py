"""Small files that are written with whatever batch is sent next.

To write them costs no request of its own where one is sent anyway; where none is, they get their
own soon. Like all deferred work it does no harm whenever it is done, and none if it never is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client.deferred import DeferredWork
from nexus_bounty.nexus.client.errors import NexusError

Write = Callable[[Mapping[str, bytes], Deadline], Awaitable[object]]


class RidingWrites(DeferredWork[bytes]):
    """Files to be written with the next batch of other files, or alone within `delay` seconds.

    Args:
        write: Writes files that it does no harm to write again.
        delay: How long a file waits for a batch.
        batch: How many files do not wait any longer.
        timeout: How many seconds one batch of them alone may take.
    """

    def __init__(self, write: Write, *, delay: float, batch: int, timeout: float) -> None:
        super().__init__(delay=delay, batch=batch, timeout=timeout)
        self._write = write

    def with_room_for(self, files: int) -> dict[str, bytes]:
        """At most so many of the files, the oldest first, to be written with others."""
        return dict(list(self._owed.items())[: max(files, 0)])

    async def _do(self, batch: Mapping[str, bytes], deadline: Deadline) -> None:
        with suppress(NexusError):  # whoever looks for them finds out: the reconciler, say
            await self._write(batch, deadline)
