"""The file that names the one claim which may hold a target.

It is only ever moved from one claim id to the next, exclusively, as the commit strategy does it,
and never deleted: a delete cannot be conditional, and one that arrives late would free a target
that is held. Naming a claim that has ended is as good as being free, and so is being empty, which
is how newer Groves give it back. Because no claim id is used twice, no other content returns to an
earlier one. A move that is based on an emptied lock and lands late does no harm: whoever finds the
lock naming a claim that was not written by then fences that claim off.

Winning the lock commits nothing by itself: the claim's document does. So a write of unclear
outcome needs no fence here, only another look.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass

from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents import BelievedFile
from nexus_bounty.nexus.documents.commits import Locks
from nexus_bounty.nexus.documents.operation import Operation


@dataclass(frozen=True, slots=True)
class LockState:
    """Which claim a lock names, and the file that says so."""

    claim_id: str
    file: BelievedFile

    @property
    def is_empty(self) -> bool:
        """Whether its last holder gave it back by emptying it."""
        return not self.claim_id


class TargetLock:
    """The lock at one path, moved by a commit strategy.

    With base64 storage its content is base64 text, as the peer writes it.
    """

    def __init__(
        self, locks: Locks, path: str, encoding: StorageEncoding, *, promptly: bool
    ) -> None:
        self._locks = locks
        self._promptly = promptly
        self._base64 = encoding == "base64"
        self.path = path

    async def read(self, operation: Operation) -> LockState | None:
        """Which claim the lock names now; `None` if it was never taken."""
        try:
            file = await self._locks.read(self.path, operation.deadline)
        except NexusError as error:
            raise operation.stopped_by(error, "read the target lock") from error
        return LockState(self._decode(file.content), file) if file else None

    async def move(self, operation: Operation, now: LockState | None, claim_id: str) -> bool:
        """Try once to make the lock name `claim_id`; whether it provably does.

        Raises:
            PreCommitError: The request was refused or could not be sent.
        """
        try:
            return await self._locks.move(
                self.path,
                now.file if now else None,
                self._encode(claim_id),
                operation.deadline,
                operation.trail,
                promptly=self._promptly,
            )
        except NexusError as error:
            raise operation.stopped_by(error, "take the target lock") from error

    def _encode(self, claim_id: str) -> bytes:
        return b64encode(claim_id.encode()) if self._base64 else claim_id.encode()

    def _decode(self, content: bytes) -> str:
        if self._base64:
            with suppress(binascii.Error):  # a lock from before the zone was set to base64
                content = b64decode(content, validate=True)
        return content.decode(errors="replace")
