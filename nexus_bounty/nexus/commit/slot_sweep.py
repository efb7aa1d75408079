"""What commits by rename leave behind: staged files that lost, slots long past, copies of both.

Everything here is older than any request can be under way. A slot may go when the file has
followed it: the file can no longer be taken back before it then, and nobody can write it, since
whoever writes a slot looks at the file first.

Whether files have followed is asked of many at once: they are read in bulk, and of each it is seen
that the slot after it is free. What is not seen so is looked at by itself: a file that lags, and
one that was not shown, since a server that reads in bulk may leave out what it could not read.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.commit.log import CommitLog, next_seq, slot
from nexus_bounty.nexus.commit.rename_lock import RenameLocks, slot_after
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents import Document, UnreadableDocumentError, paths
from nexus_bounty.together import together


@dataclass(slots=True)
class _Left:
    """The old files that were left behind by the commits of one file."""

    staged: list[str] = field(default_factory=list)
    slots: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)

    def past(self, reached: float) -> list[str]:
        """Those that nothing can need, once the file has followed the commit number `reached`."""
        past = [each for each in self.slots if _number(each) <= reached]
        # old copies are those of old slots, or of writes that lost
        return [*self.staged, *past, *(self.copies if reached or not self.slots else ())]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a file was seen to have followed, if the slot `after` it is free."""

    reached: float
    after: str


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

        Of as many files at a time as are read in bulk.
        """
        removed = await self._slots.older_at_root(before, self._client.deadline())
        await self._slots.remove(removed)
        left = await self._left(directory, before)
        names, size = sorted(left), self._client.settings.bulk_size
        for start in range(0, len(names), size):
            some = {name: left[name] for name in names[start : start + size]}
            past = await self._past(directory, some)
            await self._slots.remove(past)
            removed += past
        return removed

    async def _left(self, directory: str, before: datetime) -> Mapping[str, _Left]:
        """What is old, by the encoded name of the file that it is for."""
        left: dict[str, _Left] = defaultdict(_Left)
        for name, staged in await self._older(paths.all_staged(directory), before):
            left[name].staged = staged
        for name, slots in await self._older(paths.all_commit_slots(directory), before):
            left[name].slots = slots
        for name, copies in await self._older(paths.all_contents(directory), before):
            left[name].copies = copies
        return left

    async def _older(self, directory: str, than: datetime) -> list[tuple[str, list[str]]]:
        """The old files beneath `directory`, by the encoded name of the file that they are for."""
        found = await self._slots.older(directory, than, self._client.deadline())
        grouped = groupby(sorted(found, key=paths.committed_id), key=paths.committed_id)
        return [(name, list(each)) for name, each in grouped]

    async def _past(self, directory: str, left: Mapping[str, _Left]) -> list[str]:
        """Those of what is `left` that nothing can need any more."""
        of_locks = paths.is_index(directory)
        files = {
            f"{directory}/{name}" if of_locks else f"{directory}/{name}.json": name
            for name, each in left.items()
            if each.slots  # the others need no look
        }
        slots = {path: left[name].slots for path, name in files.items()}
        seen = await (self._locks_seen if of_locks else self._documents_seen)(
            list(files), self._client.deadline()
        )
        reached = await self._have_followed(seen, slots)
        look = self._lock_has_reached if of_locks else self._document_has_reached
        others = [path for path in files if path not in reached]
        if others:
            told = await together(look(path, self._client.deadline()) for path in others)
            reached |= dict(zip(others, told, strict=True))
        by_name = {files[path]: number for path, number in reached.items()}
        return [path for name, each in left.items() for path in each.past(by_name.get(name, 0))]

    async def _have_followed(
        self, seen: Mapping[str, _Seen], slots: Mapping[str, Sequence[str]]
    ) -> dict[str, float]:
        """What the files have followed that lag behind no slot; `slots` are some that there are."""
        last = {path: each for path, each in seen.items() if each.after not in slots[path]}
        after = [each.after for each in last.values()]
        taken = await self._slots.taken(after, self._client.deadline())
        return {
            path: each.reached
            for (path, each), is_taken in zip(last.items(), taken, strict=True)
            if not is_taken
        }

    async def _documents_seen(self, names: Sequence[str], deadline: Deadline) -> dict[str, _Seen]:
        found = await self._log.files(names, deadline)
        return {
            path: _Seen(each.history.seq, slot(path, next_seq(each)))
            for path, each in found.items()
            if isinstance(each, Document)
        }

    async def _locks_seen(self, names: Sequence[str], deadline: Deadline) -> dict[str, _Seen]:
        found = await self._locks.files(names, deadline)
        return {each.path: _Seen(math.inf, slot_after(each.path, each)) for each in found}

    async def _lock_has_reached(self, path: str, deadline: Deadline) -> float:
        """Endless if the lock's file has followed its slots; 0 if it lagged until now."""
        file = await self._locks.file(path, deadline)
        newest = await self._locks.newest(path, file, deadline)
        if newest is not None and newest is not file:
            await self._locks.follow(path, newest.content, deadline)
            return 0
        return math.inf

    async def _document_has_reached(self, path: str, deadline: Deadline) -> float:
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
