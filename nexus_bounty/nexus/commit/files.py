"""What the strategies share that keep all there is to a document, or a lock, in its own file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import Etags, NexusClient, Page, etags
from nexus_bounty.nexus.client.classification import Disposition
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents import BelievedFile, DocumentReader
from nexus_bounty.nexus.documents.commits import Trail


class FileReads(DocumentReader):
    """Reads documents where they are, and believes them."""

    lists_whole = False

    async def is_absent(self, path: str, deadline: Deadline) -> bool:
        """Whether there is no file at `path`."""
        return not await self._client.exists(path, deadline=deadline)

    async def names(self, directory: str, deadline: Deadline) -> list[str]:
        """The paths of the documents in `directory`."""
        return await self._client.list(directory, deadline=deadline)

    async def page(self, directory: str, after: str, deadline: Deadline) -> Page:
        """The paths of documents in `directory`, those after `after`."""
        return await self._client.page(directory, after, deadline=deadline)

    async def etags(self, directory: str, after: str, deadline: Deadline) -> Etags | None:
        """The etags of documents in `directory`, those after `after`."""
        return await self._client.etags(directory, after, deadline=deadline)

    async def unchanged(
        self,
        seqs: Mapping[str, int],  # noqa: ARG002 - the protocol's
        deadline: Deadline,  # noqa: ARG002
    ) -> set[str]:
        """None: a file says its number itself, and has to be read for it."""
        return set()


class FileLocks:
    """Locks that are moved by preconditions on their own files."""

    def __init__(self, client: NexusClient) -> None:
        self._client = client
        self._reader = DocumentReader(client)

    async def read(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The lock at `path`, believed."""
        return await self._reader.read_file(path, deadline)

    async def move(
        self,
        path: str,
        now: BelievedFile | None,
        content: bytes,
        deadline: Deadline,
        trail: Trail,
        *,
        promptly: bool,  # noqa: ARG002 - the file is the lock
    ) -> bool:
        """Move the lock by one conditional write."""
        try:
            etag = await self._client.write(
                path,
                content,
                if_match=now.etag if now else None,
                if_none_match=now is None,
                deadline=deadline,
            )
        except NexusError as error:
            if error.disposition in (Disposition.NEVER_SENT, Disposition.REFUSED):
                raise
            trail.saw("write", path, error.answer)
            return False
        return etags.speaks_for(etag, content)


class NoLeftovers:
    """Writes of files leave nothing behind."""

    async def collect(
        self,
        directory: str,  # noqa: ARG002 - the protocol's
        before: datetime,  # noqa: ARG002
    ) -> list[str]:
        """Nothing is ever left behind."""
        return []
