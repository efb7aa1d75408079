"""SingleWriter: the server's own preconditions although they race, by one process alone.

The caller says that no other process writes the zone; a lease on the zone holds it to that, and
refuses a second process before it writes anything. Inside the process, writes of one document wait
for each other.

What remains: a request that its sender has given up on may be carried out at the very moment at
which its successor is, and a server whose preconditions race may then let both through.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from nexus_bounty.deadlines import Deadline
from nexus_bounty.keyed_locks import KeyedLocks
from nexus_bounty.models import utc_now
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.quirks import RenameQuirks
from nexus_bounty.nexus.commit.conditional import ConditionalCommit
from nexus_bounty.nexus.commit.files import FileLocks
from nexus_bounty.nexus.commit.zone_lease import ZoneLease
from nexus_bounty.nexus.documents import BelievedFile
from nexus_bounty.nexus.documents.commits import CommitResult, Intent, Trail
from nexus_bounty.nexus.documents.paths import ZonePaths

LEASE_LASTS = timedelta(seconds=120)


class SingleWriter(ConditionalCommit):
    """Commits by preconditions, as the only process that writes a zone.

    Share one between all stores of a zone, and close it when they are done:

        async with SingleWriter(client) as commit:
            store = NexusBountyStore(client, commit=commit)

    Args:
        client: The server; its rename must have one winner, but may be slow.
        zone_id: The zone; the client's setting if not given.
        lasts: How long after a crash the zone stays closed to others, at least.
        quirks: What is odd about the server's rename; `AutoCommit` asks the probe.
        clock: The current time, aware.
    """

    def __init__(
        self,
        client: NexusClient,
        zone_id: str | None = None,
        *,
        lasts: timedelta = LEASE_LASTS,
        quirks: RenameQuirks | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(client)
        zone = ZonePaths(zone_id if zone_id is not None else client.settings.zone_id)
        self._lease = ZoneLease(client, zone, lasts=lasts, quirks=quirks, clock=clock)
        self._turns = KeyedLocks()
        self.locks = _HeldLocks(client, self._lease, self._turns)

    async def __aenter__(self) -> Self:
        """Take the zone.

        Raises:
            UnsupportedServerError: Another process holds it; nothing was written (pre-commit).
        """
        await self._lease.hold()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the zone back."""
        await self.close()

    async def close(self) -> None:
        """Give the zone back, so that another process may have it at once."""
        await self._lease.release()

    async def ready(self, deadline: Deadline) -> None:  # noqa: ARG002 - the protocol's
        """Hold the zone.

        Raises:
            UnsupportedServerError: Another process holds it; nothing was written (pre-commit).
        """
        await self._lease.hold()

    async def commit(
        self, intent: Intent, deadline: Deadline, trail: Trail, *, in_doubt: bool
    ) -> CommitResult:
        """Carry `intent` to a proven end, while the zone is held.

        Raises:
            NexusError: A marker could not be written; nothing else was sent.
        """
        async with self._turns.of(intent.path):
            held = deadline.within(self._lease.remaining)
            return await super().commit(intent, held, trail, in_doubt=in_doubt)

    async def abort(self, intent: Intent, deadline: Deadline, trail: Trail) -> CommitResult:
        """Fence `intent` off, while the zone is held."""
        async with self._turns.of(intent.path):
            return await super().abort(intent, deadline.within(self._lease.remaining), trail)


class _HeldLocks(FileLocks):
    """Locks that are moved while the zone is held, one at a time."""

    def __init__(self, client: NexusClient, lease: ZoneLease, turns: KeyedLocks) -> None:
        super().__init__(client)
        self._lease = lease
        self._turns = turns

    async def move(
        self,
        path: str,
        now: BelievedFile | None,
        content: bytes,
        deadline: Deadline,
        trail: Trail,
        *,
        promptly: bool,
    ) -> bool:
        """Move the lock by one conditional write, while the zone is held."""
        await self._lease.hold()
        async with self._turns.of(path):
            held = deadline.within(self._lease.remaining)
            return await super().move(path, now, content, held, trail, promptly=promptly)
