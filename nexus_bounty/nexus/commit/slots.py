"""Slots: names that exactly one file wins, by rename, or by a create where that is exclusive.

What is to win by rename is staged under a name of its own first, which is never used again: a write
that arrives late can only bring the same bytes, and whoever else renames has other names to rename.

That a slot was won is believed when it is acknowledged: the answer names the request, what won has
a name or bytes that are its own, and the probe has seen that what is acknowledged is there. Reads
of a slot need no etag that speaks for them: its content never becomes another.

Why a slot and no lock, on 0.9.9 to 0.9.18, which store no conditional write? Measured on 0.9.18,
`lock_acquire` with a time to live is exclusive, and plain writes are stored as acknowledged. But
a lock that runs out while its holder's write is under way does not stop that write: it lands over
what the next holder wrote, and the server knows no token that could fence it off. Locks without an
end would leave the bounty to the dead. A slot needs neither: whatever arrives late finds it taken.
What is lost there is the content of the renamed file, not its etag, which names a copy of it; both
outlive a `kill -9` of the server.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import derived_id
from nexus_bounty.nexus.client import NexusClient, classification, etags
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.quirks import EtagKind, RenameQuirks
from nexus_bounty.nexus.documents import BelievedFile, paths
from nexus_bounty.together import together

STAGED_AT_ROOT: Final = "/nexus-bounty-staged-"
WITHOUT_ETAG: Final = ""
"""Where names decide, no write goes by an etag; this one matches nothing."""


class Slots:
    """Stages files, and has them win slots."""

    def __init__(self, client: NexusClient, quirks: RenameQuirks | None = None) -> None:
        self._client = client
        self._quirks = quirks or RenameQuirks()

    @property
    def are_staged_together(self) -> bool:
        """Whether it saves requests to stage what is expected next with what is to be now.

        Not where nothing is staged, nor at the root, where nothing is written in bulk either.
        """
        return not (self._quirks.creates_instead or self._quirks.blocks_in_directories)

    async def stage(
        self,
        path: str,
        contents: Mapping[str, bytes],
        deadline: Deadline,
        markers: Sequence[str] = (),
    ) -> Mapping[str, str]:
        """Put what may become the file at `path` where it can be renamed from, each once.

        Args:
            path: Where the file is.
            contents: What it may become, by the keys of the operations.
            deadline: When to stop trying.
            markers: Empty files to be written besides.

        Returns where they are, by the same keys: nowhere, where they can be created in the slot.

        Raises:
            NexusError: It was not acknowledged. Nothing will ever come of it.
        """
        files = dict.fromkeys(markers, b"")
        if self._quirks.creates_instead:
            await self._client.write_many(files, deadline=deadline)
            return {}
        # the same bytes under a name of their own: a repeat that arrives late does no harm
        names = {key: self._new_name(path, key) for key in contents}
        files |= {names[key]: content for key, content in contents.items()}
        if self._quirks.loses_content:
            await self._write_with_copies(files, path, names.values(), deadline)
        else:
            await self._client.write_many(files, deadline=deadline)
        return names

    def _new_name(self, path: str, key: str) -> str:
        attempt = f"{derived_id('op', key)}-{uuid.uuid4().hex}"
        at_root = self._quirks.blocks_in_directories
        return f"{STAGED_AT_ROOT}{attempt}" if at_root else f"{paths.staged(path)}/{attempt}"

    async def _write_with_copies(
        self, files: Mapping[str, bytes], path: str, staged: Collection[str], deadline: Deadline
    ) -> None:
        """Write `files`, and a copy of each that is `staged` under the etag that it will have.

        Which that is can be told before, once it was seen how this server makes etags; until then
        as every release does on which copies are needed. A wrong guess costs a file too many.
        """
        hashes = self._client.capabilities.hashes or EtagKind.BLAKE3
        told = {name: etags.etag_by(hashes, files[name]) for name in staged}
        copies = {self._copy(path, told[name]): files[name] for name in told}
        stored = await self._client.write_many({**files, **copies}, deadline=deadline)
        for name in staged:
            if told.get(name) != stored[name]:
                await self._keep_copy(path, files[name], stored[name], deadline)

    async def _keep_copy(
        self, path: str, content: bytes, etag: str | None, deadline: Deadline
    ) -> None:
        copy = self._copy(path, etag)
        if not etags.speaks_for(etag, content):
            detail = "the etag is no hash of the content, so that it cannot name its copy"
            raise NexusError(classification.UNREADABLE, method="write", path=copy, detail=detail)
        await self._client.write(copy, content, idempotent=True, deadline=deadline)

    def _copy(self, path: str, etag: str | None) -> str:
        return f"{paths.contents(path)}/{etag}"

    def take(
        self, staged: str | None, slot: str, content: bytes, deadline: Deadline
    ) -> Awaitable[object]:
        """Win `slot` with what was staged, which only one can do.

        Raises:
            NexusError: It was not acknowledged.
        """
        if staged is None:
            return self._client.write(slot, content, if_none_match=True, deadline=deadline)
        return self._client.rename(staged, slot, deadline=deadline)

    async def file(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The file at `path`, which may lag behind its slots: its content alone counts.

        Raises:
            NexusError: It could not be read.
        """
        file = await self._client.read(path, deadline=deadline)
        return None if file is None else BelievedFile(path, file.content, WITHOUT_ETAG)

    async def files(self, names: Sequence[str], deadline: Deadline) -> list[BelievedFile]:
        """The files that were shown among those of these names, each as `file` has it.

        Raises:
            NexusError: They could not be read.
        """
        files = await self._client.read_many(names, deadline=deadline)
        return [BelievedFile(each.path, each.content, WITHOUT_ETAG) for each in files if each]

    async def read(self, path: str, slot: str, deadline: Deadline) -> BelievedFile | None:
        """What won `slot`, one of those of the file at `path`; `None` if it is still free.

        Raises:
            NexusError: It could not be read.
        """
        if not self._quirks.loses_content:
            return await self.file(slot, deadline)
        return await self._copied(path, slot, deadline)

    async def _copied(self, path: str, slot: str, deadline: Deadline) -> BelievedFile | None:
        """What won `slot`, by the copy that its etag names."""
        etag = await self._client.etag(slot, deadline=deadline)
        if etag is None:
            return None
        copy = await self._client.read(self._copy(path, etag), deadline=deadline)
        if copy is None or not etags.speaks_for(etag, copy.content):
            detail = f"there is no copy of its content, whose etag is {etag}"
            raise NexusError(classification.UNREADABLE, method="read", path=slot, detail=detail)
        return BelievedFile(slot, copy.content, WITHOUT_ETAG)

    async def taken(self, slots: Sequence[str], deadline: Deadline) -> Sequence[bool]:
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

    async def older_at_root(self, than: datetime, deadline: Deadline) -> list[str]:
        """The files staged at the root, for whatever zone, that were written before `than`."""
        if not self._quirks.blocks_in_directories:
            return []
        walk = self._client.walk("/", details=True, deadline=deadline)
        staged = [e async for e in walk if e.path.startswith(STAGED_AT_ROOT)]
        return [e.path for e in staged if e.modified is not None and e.modified < than]

    async def remove(self, names: Sequence[str]) -> None:
        """Delete files that nothing can need any more, as many with one request as can be.

        What a request in bulk does not take is deleted by itself. Each batch is an operation with a
        deadline of its own.

        Raises:
            NexusError: Not all could be deleted; some may be gone.
        """
        size = self._client.settings.bulk_size
        for start in range(0, len(names), size):
            deadline = self._client.deadline()
            left = await self._client.delete_many(names[start : start + size], deadline=deadline)
            if left:
                await together(self._client.delete(each, deadline=deadline) for each in left)
