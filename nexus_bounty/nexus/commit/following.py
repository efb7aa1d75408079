"""Brings files up to date with the slots that decide what they are.

The slots are the truth, whatever a file says: one that lags only costs whoever reads it a look at
the slots, and one that is written late, or never, does no harm.
"""

from __future__ import annotations

from collections.abc import Awaitable

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.log import logger_of
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError

logger = logger_of("nexus_bounty.nexus")


class Following:
    """The files of one client that follow their slots: at once, or in batches a moment later."""

    def __init__(self, client: NexusClient) -> None:
        self._client = client

    def owes(self, path: str) -> bool:
        """Whether the file at `path` is to follow soon."""
        return self._client.riding.owes(path)

    def follow(
        self, path: str, content: bytes, deadline: Deadline, *, promptly: bool, seq: int = 0
    ) -> Awaitable[None]:
        """Write the file: now, if that can be done, or in the next batch with others.

        What is newer and to be written later stays so; what is older and to be written, or is being
        written, comes first, so that it is not the last. The next reader does what is left undone.
        """
        if promptly and not self.owes(path):
            return self._write(path, content, deadline)
        return self._join(path, content, deadline, promptly=promptly, seq=seq)

    async def _join(
        self, path: str, content: bytes, deadline: Deadline, *, promptly: bool, seq: int
    ) -> None:
        """Have the next batch write the file, unless that is to be newer; `promptly` at once."""
        self._client.riding.add(path, content, seq)
        if promptly:
            await self._client.riding.hasten(deadline)

    async def _write(self, path: str, content: bytes, deadline: Deadline) -> None:
        try:
            await self._client.write(path, content, deadline=deadline)
        except NexusError as error:
            logger.info("left for the next reader to bring up to date: %s", error)
