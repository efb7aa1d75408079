"""Slots: names that exactly one file wins, by rename.

What is to win is staged under a name of its own first, which is never used again: a write that
arrives late can only bring the same bytes, and whoever else renames has other names to rename.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from nexus_bounty.idempotency import derived_id
from nexus_bounty.nexus import paths
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import BelievedFile, DocumentReader
from nexus_bounty.nexus.retry import Deadline


class Slots:
    """Stages files, and renames them into slots."""

    def __init__(self, client: NexusClient) -> None:
        self._client = client
        self._reader = DocumentReader(client)

    async def stage(self, path: str, key: str, content: bytes, deadline: Deadline) -> str:
        """Put `content` where it can be renamed from, once; returns where that is.

        Raises:
            NexusError: It was not acknowledged. Nothing will ever come of it.
        """
        attempt = f"{derived_id('op', key)}-{uuid.uuid4().hex}"
        name = f"{paths.staged(path)}/{attempt}"
        # the same bytes under a name of their own: a repeat that arrives late does no harm
        await self._client.write(name, content, idempotent=True, deadline=deadline)
        return name

    async def take(self, staged: str, slot: str, deadline: Deadline) -> None:
        """Rename a staged file into `slot`, which only one can be.

        Raises:
            NexusError: It was not acknowledged.
        """
        await self._client.rename(staged, slot, deadline=deadline)

    async def read(self, slot: str, deadline: Deadline) -> BelievedFile | None:
        """What won `slot`, or `None` if it is still free.

        Raises:
            NexusError: It could not be read.
        """
        return await self._reader.read_file(slot, deadline)

    async def taken(self, slots: Sequence[str], deadline: Deadline) -> list[bool]:
        """Which of `slots` have been won, in their order."""
        return await self._client.exist(slots, deadline=deadline)

    async def walk(self, directory: str, deadline: Deadline) -> AsyncIterator[str]:
        """The paths of all slots anywhere beneath `directory`."""
        async for entry in self._client.walk(directory, recursive=True, deadline=deadline):
            yield entry.path

    async def older(self, directory: str, than: datetime, deadline: Deadline) -> list[str]:
        """The files beneath `directory` that were last written before `than`."""
        walk = self._client.walk(directory, recursive=True, details=True, deadline=deadline)
        return [e.path async for e in walk if e.modified is not None and e.modified < than]

    async def remove(self, names: Sequence[str], deadline: Deadline) -> None:
        """Delete files that nothing can need any more."""
        for name in names:
            await self._client.delete(name, deadline=deadline)
