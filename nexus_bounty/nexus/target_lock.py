"""The file that names the one claim which may hold a target.

It is only ever moved from one claim id to the next by a conditional write, never deleted: a
delete cannot be conditional, and one that arrives late would free a target that is held. Naming a
claim that has ended is as good as being free. Because no claim id is used twice, its content
never returns to an earlier one.

Winning the lock commits nothing by itself: the claim's document does. So a write of unclear
outcome needs no fence here, only another look.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass

from nexus_bounty.nexus import etags
from nexus_bounty.nexus.classification import Disposition
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import DocumentReader
from nexus_bounty.nexus.errors import NexusError
from nexus_bounty.nexus.writer import Operation


@dataclass(frozen=True, slots=True)
class LockState:
    """Which claim a lock names, and the etag that moving it has to match."""

    claim_id: str
    etag: str


class TargetLock:
    """The lock at one path.

    With base64 storage its content is base64 text, as the peer writes it.
    """

    def __init__(self, client: NexusClient, path: str) -> None:
        self._client = client
        self._reader = DocumentReader(client)
        self._base64 = client.settings.storage_encoding == "base64"
        self.path = path

    async def read(self, operation: Operation) -> LockState | None:
        """Which claim the lock names now; `None` if it was never taken."""
        try:
            file = await self._reader.read_file(self.path, operation.deadline)
        except NexusError as error:
            raise operation.stopped_by(error, "read the target lock") from error
        return LockState(self._decode(file.content), file.etag) if file else None

    async def move(self, operation: Operation, now: LockState | None, claim_id: str) -> bool:
        """Try once to make the lock name `claim_id`; whether it provably does.

        Raises:
            PreCommitError: The request was refused or could not be sent.
        """
        content = self._encode(claim_id)
        try:
            etag = await self._client.write(
                self.path,
                content,
                if_match=now.etag if now else None,
                if_none_match=now is None,
                deadline=operation.deadline,
            )
        except NexusError as error:
            if error.disposition in (Disposition.NEVER_SENT, Disposition.REFUSED):
                raise operation.stopped_by(error, "take the target lock") from error
            operation.trail.saw("write", self.path, error.answer)
            return False
        return etags.speaks_for(etag, content)

    def _encode(self, claim_id: str) -> bytes:
        return b64encode(claim_id.encode()) if self._base64 else claim_id.encode()

    def _decode(self, content: bytes) -> str:
        if self._base64:
            with suppress(binascii.Error):  # a lock from before the zone was set to base64
                content = b64decode(content, validate=True)
        return content.decode(errors="replace")
