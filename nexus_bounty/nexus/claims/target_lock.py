"""The file that names the one claim which may hold a target.

It is only ever moved from one claim id to the next, exclusively, as the commit strategy does it,
and never deleted: a delete cannot be conditional, and one that arrives late would free a target
that is held. Naming a claim that has ended is as good as being free, and so is being empty, which
is how newer Groves give it back. A claim id is used again, if ever, once its claim was cleaned
away, long after every request about it: so no other content returns to an earlier one while a move
that is based on that may be under way. A move that is based on an emptied lock and lands late does
no harm: whoever finds the lock naming a claim that was not written by then fences that claim off.

Winning the lock commits nothing by itself: the claim's document does. So a write of unclear
outcome needs no fence here, only another look.

The id is stored as it is, or as base64 of it, as Grove does, and what is stored says which: ids
that could be taken for base64 are always encoded. Earlier versions did not encode them in a zone
of raw files, so that what they wrote can be read in two ways; the claim's document says whether it
is one of theirs.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.client.settings import StorageEncoding
from nexus_bounty.nexus.documents import BelievedFile, UnreadableDocumentError
from nexus_bounty.nexus.documents.commits import Locks
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.validation import MOST_NAME_BYTES, is_name


@dataclass(frozen=True, slots=True)
class LockState:
    """What a lock says, and the file that says so.

    Attributes:
        claim_id: The claim that it names; `None` if its last holder gave it back by emptying it.
        or_claim_id: The claim that it names instead if an earlier version wrote it, and then
            there is a document of that claim: its id is the text that is base64 of the other.
        file: The file.
    """

    claim_id: str | None
    or_claim_id: str | None
    file: BelievedFile


class TargetLock:
    """The lock at one path, moved by a commit strategy."""

    def __init__(
        self, locks: Locks, path: str, encoding: StorageEncoding, *, promptly: bool
    ) -> None:
        self._locks = locks
        self._promptly = promptly
        self._base64 = encoding == "base64"
        self.path = path

    async def state(self, deadline: Deadline) -> LockState | None:
        """Which claim the lock names now; `None` if it was never taken.

        Raises:
            NexusError: It could not be read.
            UnreadableDocumentError: It could not be understood.
        """
        file = await self._locks.read(self.path, deadline)
        return None if file is None else _understood(file)

    async def read(self, operation: Operation) -> LockState | None:
        """The same, for an operation that has not committed anything.

        Raises:
            PreCommitError: It could not be read, or not be understood; its evidence names it.
            CommitUnknownError: The same, but an earlier attempt may be under way.
        """
        try:
            return await self.state(operation.deadline)
        except (NexusError, UnreadableDocumentError) as error:
            raise operation.stopped_by(error, "read the target lock") from error

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
        is_encoded = self._base64 or _is_base64(claim_id)
        return b64encode(claim_id.encode()) if is_encoded else claim_id.encode()


def _understood(file: BelievedFile) -> LockState:
    """What the lock in `file` says, in whichever encoding.

    Raises:
        UnreadableDocumentError: It is not the id of a claim.
    """
    try:
        text = file.content.decode().strip("\r\n")  # an editor may have added an end of line
    except UnicodeDecodeError:
        raise _not_a_lock(file) from None
    if not text.strip():
        return LockState(None, None, file)
    if _is_base64(text):
        named = b64decode(text).decode()
        return LockState(named if named.strip() else None, text, file)
    if not is_name(text, MOST_NAME_BYTES):
        raise _not_a_lock(file)
    return LockState(text, None, file)


def _is_base64(text: str) -> bool:
    """Whether `text` can be taken for the base64 of an id, or of a lock given back."""
    try:
        named = b64decode(text, validate=True).decode()
    except ValueError:
        return False
    return not named.strip() or is_name(named, MOST_NAME_BYTES)


def _not_a_lock(file: BelievedFile) -> UnreadableDocumentError:
    return UnreadableDocumentError(
        file.path,
        f"{file.content[:80]!r} is not the id of a claim: write the id of the one that holds the "
        "target in its place, or nothing at all if none does",
    )
