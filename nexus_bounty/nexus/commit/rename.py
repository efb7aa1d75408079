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

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.quirks import RenameQuirks
from nexus_bounty.nexus.commit.following import Following
from nexus_bounty.nexus.commit.log import CommitLog
from nexus_bounty.nexus.commit.proven_write import CommitsByProvenWrite
from nexus_bounty.nexus.commit.rename_lock import RenameLocks
from nexus_bounty.nexus.commit.slot_sweep import SlotSweep
from nexus_bounty.nexus.commit.slot_write import SlotWrite
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents.commits import Intent, Leftovers, Trail


class RenameCommit(CommitsByProvenWrite):
    """Commits by exclusive rename; safe where a renamed file has exactly one winner.

    All programs that write a zone must commit in this way.

    Args:
        client: The server.
        quirks: What is odd about its rename; `AutoCommit` asks the probe.
    """

    def __init__(self, client: NexusClient, quirks: RenameQuirks | None = None) -> None:
        self._client = client
        self._slots = Slots(client, quirks)
        following = Following(client)
        self.reads = CommitLog(client, self._slots, following)
        self.locks = RenameLocks(client, self._slots, following)
        self.leftovers: Leftovers = SlotSweep(client, self._slots, self.reads, self.locks)

    def _write(
        self,
        intent: Intent,
        deadline: Deadline,
        trail: Trail,
        *,
        in_doubt: bool,
        as_fence: bool = False,
    ) -> SlotWrite:
        return SlotWrite(
            client=self._client,
            intent=intent,
            deadline=deadline,
            trail=trail,
            in_doubt=in_doubt,
            as_fence=as_fence,
            slots=self._slots,
            log=self.reads,
        )
