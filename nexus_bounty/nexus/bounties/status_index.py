"""Status markers: empty files that say in which status a bounty may be found.

A marker is written *before* the commit that it announces, so a listing never misses a committed
bounty; it is removed after the commit that leaves its status, so it may be stale, and listings
re-check the document. What makes that safe although deletes cannot be conditional and may arrive
late:

- A status that a bounty can go back to can be entered twice (`claimed → open` releases). A
  re-entry has a marker of its own generation, named after the sequence number of its write, which
  no late delete of an older one can hit. The plain marker is written besides, for the peer.
- The status that it goes back from can be entered twice, too. Its marker is kept on the way back
  and removed only when the bounty leaves both for good, so that no delete of it is ever under way
  while it may be needed, and a listing of `open` before `claimed` sees a bounty that moves
  meanwhile.
- Where the table of statuses expects a next one, its marker is written with the first, in one
  request. Should it never be entered, the marker is stale once the bounty has ended.
- Other programs remove markers that do not fit the document as it stands, and so may remove one
  that was written ahead. Whoever goes by one looks at it again after the commit, see `MarkerWatch`.
- The markers of a bounty that was announced and never created are left alone: it may yet be
  created, and nothing could tell a delete that arrives then from one that is due.
- Where a tombstone stands, of a draft that was taken back or of a create that was fenced off, every
  plain marker is stale: what is created there next has markers of its own generation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from enum import Enum
from functools import partial

from nexus_bounty.bounded_set import BoundedSet
from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import History
from nexus_bounty.lifecycle import ahead_of, goes_back, sources_of
from nexus_bounty.models import Bounty, BountyStatus, IndexFault
from nexus_bounty.nexus.bounties.creation_order import CreationOrder
from nexus_bounty.nexus.client import NexusClient, Page
from nexus_bounty.nexus.client.pages import chunks
from nexus_bounty.nexus.documents import paths, windows
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.partition import Partition
from nexus_bounty.statuses import STATUSES


class MarkerState(Enum):
    """How a marker relates to the document it points to."""

    CURRENT = "current"
    AHEAD = "ahead"
    """It may announce a commit that is still to come."""
    STALE = "stale"
    """Nothing can make it needed again."""


def announced_with(status: BountyStatus) -> list[BountyStatus]:
    """The statuses whose markers are written when a bounty is about to enter `status`."""
    expected = STATUSES[status].expects
    return [status] if expected is None else [status, expected]


def generation_after(
    history: History, before: BountyStatus, target: BountyStatus, seq: int
) -> int | None:
    """The generation of the marker of a bounty that enters `target` by write `seq`."""
    if target is before:
        return history.marker_seq
    # the plain marker of what is expected may have been removed with a draft taken back before
    anew = history.marker_seq is not None and STATUSES[before].expects is target
    return seq if anew or goes_back(before, target) else None


def left_behind(
    bounty_id: str, before: BountyStatus, target: BountyStatus, history: History, zone: ZonePaths
) -> list[str]:
    """The marker paths that a bounty leaves behind when it goes from `before` to `target`."""
    if target is before or goes_back(before, target):
        return []
    behind = [zone.marker(before, bounty_id)]
    behind += [
        zone.marker(ahead, bounty_id)
        for ahead in announced_with(before)[1:]
        if ahead is not target and ahead not in ahead_of(target)
    ]
    if history.marker_seq is not None:
        behind.append(zone.marker(before, bounty_id, history.marker_seq))
        behind += [
            zone.marker(each, bounty_id)
            for each in sources_of(before)
            if goes_back(each, before) and each is not target
        ]
    return behind


def marker_state(
    marked: BountyStatus, generation: int | None, status: BountyStatus, history: History
) -> MarkerState:
    """How a marker of `marked` stands to a bounty in `status`.

    Out of a status of another program a bounty may go anywhere.
    """
    if history.tombstone:
        is_ahead = generation is not None and generation > history.seq
        return MarkerState.AHEAD if is_ahead else MarkerState.STALE
    if not status.is_known:
        return MarkerState.AHEAD
    if generation is not None and generation > history.seq:
        return MarkerState.AHEAD
    if marked is status and generation in (None, history.marker_seq):
        return MarkerState.CURRENT
    ahead = generation is None and marked in ahead_of(status)  # a re-entry has one of its own
    return MarkerState.AHEAD if ahead else MarkerState.STALE


class StatusIndex:
    """The markers of one zone."""

    def __init__(self, client: NexusClient, zone: ZonePaths, order: CreationOrder) -> None:
        self._client = client
        self._zone = zone
        self._order = order
        self._written_ahead = BoundedSet()
        self._gone_by = BoundedSet()

    def announcing(
        self, bounty: Bounty, status: BountyStatus, generation: int | None
    ) -> tuple[str, ...]:
        """The markers to be written before `bounty` enters `status`: those of what comes next, too.

        Repeats are harmless, since a marker never lies; one written ahead is not written again.
        """
        plain = self._zone.marker(status, bounty.bounty_id)
        if generation is None and plain in self._written_ahead:
            self._written_ahead.discard(plain)
            self._gone_by.add(plain)
            return ()
        return tuple(self.of(bounty, status, generation))

    def of(self, bounty: Bounty, status: BountyStatus, generation: int | None) -> list[str]:
        """The markers that `bounty` has in `status`, those written ahead included."""
        bounty_id = bounty.bounty_id
        plain = [self._zone.marker(each, bounty_id) for each in announced_with(status)]
        again = [] if generation is None else [self._zone.marker(status, bounty_id, generation)]
        return [*plain, *again, *self._order.twins(again or plain, bounty.created_at)]

    def announced(self, bounty_id: str, status: BountyStatus, markers: Sequence[str]) -> None:
        """Remember which of the `markers` that were written are ahead of a bounty in `status`."""
        for expected in announced_with(status)[1:]:
            if (ahead := self._zone.marker(expected, bounty_id)) in markers:
                self._written_ahead.add(ahead)

    def went_by(self, marker: str) -> bool:
        """Whether `marker`, written ahead, was not written again when its status was announced.

        It says so once.
        """
        went_by = marker in self._gone_by
        self._gone_by.discard(marker)
        return went_by

    async def restore(self, fault: IndexFault, deadline: Deadline) -> None:
        """Write the marker that was found missing; without its generation, too, for the peer."""
        markers = {fault.marker}
        if not paths.is_dated(fault.marker):
            markers.add(self._zone.marker(fault.status, fault.bounty_id))
        await self._client.write_many(dict.fromkeys(markers, b""), deadline=deadline)

    async def walk_ids(
        self, status: BountyStatus, after: str, partition: Partition
    ) -> AsyncIterator[str]:
        """The ids in `partition` of bounties that may be in `status`, holding one page."""
        size = self._client.settings.page_size
        behind = self._zone.marker(status, after) if after else ""
        async for markers in self.chunks(status, size, partition, behind):
            for path in markers:
                yield paths.marked_id(path)

    async def chunks(
        self, status: BountyStatus, size: int, partition: Partition, after: str = ""
    ) -> AsyncIterator[list[str]]:
        """The markers of bounties in `partition` that may be in `status`, `size` at a time."""
        ask, within = partial(self.page, status), self._client.settings.listing_timeout
        window = windows.of_markers(self._zone.statuses(status), partition).going_on(after)
        async for found in chunks(ask, window.after, size, within, window.until):
            if markers := window.of_markers(found):
                yield markers

    async def page(self, status: BountyStatus, after: str) -> Page:
        """The paths of the markers of `status` after the path `after`, or of a page of them."""
        return await self._client.page(self._zone.statuses(status), after)
