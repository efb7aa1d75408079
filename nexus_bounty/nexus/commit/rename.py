"""RenameCommit: a commit is won by renaming the new document into a slot that only one can win.

For servers whose preconditions race, but whose rename onto a new name has exactly one winner.

    staged/{id}/{attempt}   the whole new document, under a name of its own
    commits/{id}/{seq}      where it is renamed to: whoever gets there has made commit number seq
    bounties/{id}.json      brought up to date afterwards, for everyone

A slot is never written, only won, so it says for good what commit `seq` was. A request of unclear
outcome is resolved by looking there; giving up means winning the slot with an aborted record.
Nobody waits for a winner who died before updating the file: the next reader or writer does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events import FenceWritten
from nexus_bounty.events.stream import publish
from nexus_bounty.nexus.client import Etags, NexusClient, Page
from nexus_bounty.nexus.client.quirks import RenameQuirks
from nexus_bounty.nexus.commit.log import CommitLog
from nexus_bounty.nexus.commit.rename_lock import RenameLocks
from nexus_bounty.nexus.commit.rename_write import Bid
from nexus_bounty.nexus.commit.slot_sweep import SlotSweep
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents import BelievedFile, Document, UnreadableDocumentError
from nexus_bounty.nexus.documents.commits import CommitResult, Intent, Trail, Unknown


class RenameCommit:
    """Commits by exclusive rename; safe where a renamed file has exactly one winner.

    All programs that write a zone must commit in this way.

    Args:
        client: The server.
        quirks: What is odd about its rename; `AutoCommit` asks the probe.
    """

    def __init__(self, client: NexusClient, quirks: RenameQuirks | None = None) -> None:
        self._client = client
        self._slots = Slots(client, quirks)
        self._log = CommitLog(client, self._slots)
        self._locks = RenameLocks(client, self._slots)
        self._sweep = SlotSweep(client, self._slots, self._log, self._locks)

    async def ready(self, deadline: Deadline) -> None:
        """Nothing is to be made sure of."""

    async def read(self, path: str, deadline: Deadline) -> Document | None:
        """The document at `path` as committed last."""
        return await self._log.read(path, deadline)

    async def read_many(
        self, names: Sequence[str], deadline: Deadline
    ) -> list[Document | UnreadableDocumentError]:
        """The documents that exist among `names`, as committed last."""
        return await self._log.read_many(names, deadline)

    async def names(self, directory: str, deadline: Deadline) -> list[str]:
        """The paths of the documents in `directory`, those that have no file yet included."""
        return await self._log.names(directory, deadline)

    async def page(self, directory: str, after: str, deadline: Deadline) -> Page:
        """The paths of all documents in `directory` that come after `after`."""
        return await self._log.page(directory, after, deadline)

    async def etags(
        self,
        directory: str,  # noqa: ARG002 - the protocol's
        after: str,  # noqa: ARG002
        deadline: Deadline,  # noqa: ARG002
    ) -> Etags | None:
        """None: a file may lag behind its slots."""
        return None

    async def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> CommitResult:
        """Win the slot after the intent's base, or fence it off."""
        # a third of the time is kept for the fence
        patience = deadline.keeping(deadline.remaining / 3)
        bid = self._bid(intent, deadline, trail, in_doubt=in_doubt)
        return await bid.until(patience) or await self.abort(bid.intent, deadline, trail)

    async def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        """Win the slot with the fence of `intent`, unless it turns out to have landed."""
        publish((), FenceWritten, intent.path)
        fence = self._bid(intent, deadline, trail, in_doubt=True, as_fence=True)
        return await fence.until(deadline) or Unknown("neither it nor a fence could be proven")

    def _bid(
        self,
        intent: Intent,
        deadline: Deadline,
        trail: Trail,
        *,
        in_doubt: bool,
        as_fence: bool = False,
    ) -> Bid:
        return Bid(
            self._client, self._slots, self._log, intent, deadline, trail, in_doubt, as_fence
        )

    async def read_lock(self, path: str, deadline: Deadline) -> BelievedFile | None:
        """The lock at `path` as it was moved last."""
        return await self._locks.read(path, deadline)

    async def move_lock(
        self,
        path: str,
        now: BelievedFile | None,
        content: bytes,
        deadline: Deadline,
        trail: Trail,
    ) -> bool:
        """Win the slot after `now`."""
        return await self._locks.move(path, now, content, deadline, trail)

    async def collect(self, directory: str, before: datetime) -> list[str]:
        """Remove what was staged before that time and never taken, and slots no longer needed."""
        return await self._sweep.collect(directory, before)
