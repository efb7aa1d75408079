"""What reads a zone of which nothing is known yet.

Nobody has pinned a verdict in it, or none that can be believed. That says nothing of how it is
committed: somebody may pin one while a read is under way, and commit at once. So it is read in a
way that sees every commit, whoever made it and however the server keeps it.
"""

from __future__ import annotations

from nexus_bounty.deadlines import Deadline
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.commit.files import NoLeftovers
from nexus_bounty.nexus.commit.following import Following
from nexus_bounty.nexus.commit.log import CommitLog
from nexus_bounty.nexus.commit.rename_lock import RenameLocks
from nexus_bounty.nexus.commit.slots import Slots
from nexus_bounty.nexus.documents import BelievedFile
from nexus_bounty.nexus.documents.commits import Leftovers


class UnpinnedReads:
    """Sees what was committed by preconditions and by name, on any server.

    Nothing is tidied up: what cannot be read cannot be judged.
    """

    def __init__(self, client: NexusClient) -> None:
        slots, following = _AnySlots(client), Following(client)
        self.reads = CommitLog(client, slots, following)
        self.locks = RenameLocks(client, slots, following)
        self.leftovers: Leftovers = NoLeftovers()


class _AnySlots(Slots):
    """Slots on a server whose rename may lose content: that one cannot be read says nothing."""

    async def read(self, path: str, slot: str, deadline: Deadline) -> BelievedFile | None:
        """What won `slot`: there only if it exists, wherever its content is by then.

        A free one costs one request, as where it is known how slots are kept.

        Raises:
            NexusError: It could not be read.
        """
        if not (await self.taken([slot], deadline))[0]:
            return None
        return await self.file(slot, deadline) or await self._copied(path, slot, deadline)
