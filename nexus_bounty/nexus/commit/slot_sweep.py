"""What commits by rename leave behind: staged files that lost, slots long past, copies of both.

Everything here is older than any request can be under way. A slot may go when the file has
followed it: the file can no longer be taken back before it then, and nobody can write it, since
whoever writes a slot looks at the file first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.commit.log import CommitLog
from nexus_bounty.nexus.commit.rename_lock import RenameLocks
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents import UnreadableDocumentError, paths


class SlotSweep:
    """Removes what nothing can need any more."""

    def __init__(
        self, client: NexusClient, slots: Slots, log: CommitLog, locks: RenameLocks
    ) -> None:
        self._client = client
        self._slots = slots
        self._log = log
        self._locks = locks

    async def collect(self, directory: str, before: datetime) -> list[str]:
        """Remove staged files and slots of the files in `directory` from before that time.

        The leftovers of each file are an operation of their own, with a deadline of its own.
        """
        leftovers: dict[str, list[str]] = defaultdict(list)
        leftovers[""] = await self._slots.older_at_root(before, self._client.deadline())
        for name, staged in await self._older(paths.all_staged(directory), before):
            leftovers[name] += staged
        slots = dict(await self._older(paths.all_commit_slots(directory), before))
        copies = dict(await self._older(paths.all_contents(directory), before))
        for name in slots.keys() | copies.keys():
            leftovers[name] += await self._past(
                directory, name, slots.get(name, []), copies.get(name, [])
            )
        for files in leftovers.values():
            await self._slots.remove(files, self._client.deadline())
        return [file for files in leftovers.values() for file in files]

    async def _older(self, directory: str, than: datetime) -> Iterable[tuple[str, list[str]]]:
        """The old files beneath `directory`, by the encoded name of the file that they are for."""
        found = await self._slots.older(directory, than, self._client.deadline())
        grouped = groupby(sorted(found, key=paths.committed_id), key=paths.committed_id)
        return [(name, list(each)) for name, each in grouped]

    async def _past(
        self, directory: str, name: str, slots: list[str], copies: list[str]
    ) -> list[str]:
        """Those of the old `slots` that the file has followed, and the old `copies` with them."""
        reached = await self._reached(directory, name, self._client.deadline())
        past = [slot for slot in slots if _number(slot) <= reached]
        # old copies are those of old slots, or of writes that lost
        return past + (copies if reached or not slots else [])

    async def _reached(self, directory: str, name: str, deadline: Deadline) -> float:
        """The number of the commit that the file has followed; 0 if it lagged until now."""
        if paths.is_index(directory):
            followed = await self._lock_has_followed(f"{directory}/{name}", deadline)
            return math.inf if followed else 0
        return await self._document_has_reached(f"{directory}/{name}.json", deadline)

    async def _lock_has_followed(self, path: str, deadline: Deadline) -> bool:
        file = await self._locks.file(path, deadline)
        newest = await self._locks.newest(path, file, deadline)
        if newest is not None and newest is not file:
            await self._locks.follow(path, newest.content, deadline)
            return False
        return True

    async def _document_has_reached(self, path: str, deadline: Deadline) -> int:
        """The number of the commit that the document's file has followed; 0 if it lagged.

        A file that has only just followed leaves its slots for the next sweep: somebody may have
        read it before, and need them.
        """
        try:
            document = await self._log.file(path, deadline)
            newest = await self._log.newest(path, document, deadline)
        except UnreadableDocumentError:
            return 0
        if newest is not None and newest is not document:
            await self._log.follow(newest, deadline)
            return 0
        return document.history.seq if document else 0


def _number(slot: str) -> float:
    name = slot.rsplit("/", 1)[-1]
    return int(name) if name.isdecimal() else math.inf
