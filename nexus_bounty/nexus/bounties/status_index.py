"""Status markers: empty files that say in which status a bounty may be found.

A marker is written *before* the commit that it announces, so a listing never misses a committed
bounty; it is removed after the commit that leaves its status, so it may be stale, and listings
re-check the document. What makes that safe although deletes cannot be conditional and may arrive
late:

- A status that a bounty can go back to can be entered twice (`claimed → open` releases). A
  re-entry has a marker of its own generation, named after the sequence number of its write, which
  no late delete of an older one can hit. The plain marker is written besides, for the peer, which
  finds a bounty by no other: a late delete takes it, and it is written again, see `MarkerWatch`.
- The status that it goes back from can be entered twice, too. Its marker is kept on the way back
  and removed only when the bounty leaves both for good, so that no delete of it is ever under way
  while it may be needed, and a listing of `open` before `claimed` sees a bounty that moves
  meanwhile.
- Where the table of statuses expects a next one, its marker is written with the first, in one
  request. Should it never be entered, the marker is stale once the bounty has ended.
- Other programs remove markers that do not fit the document as it stands, and so may remove one
  that was written ahead. It is looked at again after the commit, see `MarkerWatch`.
- The markers of a bounty that was announced and never created are left alone: it may yet be
  created, and nothing could tell a delete that arrives then from one that is due.
- Where a tombstone stands, of a draft that was taken back or of a create that was fenced off, every
  plain marker is stale: what is created there next has markers of its own generation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from enum import Enum
from functools import cache

from nexus_bounty.bounded_set import BoundedSet
from nexus_bounty.deadlines import Deadline
from nexus_bounty.idempotency import History
from nexus_bounty.lifecycle import ahead_of, goes_back, sources_of
from nexus_bounty.models import Bounty, BountyStatus, IndexFault, MarkedPage
from nexus_bounty.nexus.bounties.creation_order import CreationOrder
from nexus_bounty.nexus.bounties.marker_places import MarkerPlaces
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.pages import chunks
from nexus_bounty.nexus.documents import Document, paths
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


@cache
def _announced_by_now(status: BountyStatus) -> frozenset[BountyStatus]:
    """The statuses still to come whose markers may be there when a bounty is in `status`."""
    expected = {row.expects for each, row in STATUSES.items() if status in {each, *ahead_of(each)}}
    return frozenset(each for each in expected if each in ahead_of(status))


def generation_after(
    history: History, before: BountyStatus, target: BountyStatus, seq: int
) -> int | None:
    """The generation of the marker of a bounty that enters `target` by write `seq`."""
    if target is before:
        return history.marker_seq
    # the plain marker of what is expected may have been removed with a draft taken back before
    anew = history.marker_seq is not None and STATUSES[before].expects is target
    return seq if anew or goes_back(before, target) else None


def left_behind(was: Bounty, now: Bounty, history: History, places: MarkerPlaces) -> list[str]:
    """The marker paths that a bounty leaves behind when it goes from what it `was` on to `now`."""
    bounty_id, before, target = was.bounty_id, was.status, now.status
    if target is before or goes_back(before, target):
        return []

    def marker(status: BountyStatus, generation: int | None = None) -> str:
        return places.of(status, bounty_id, generation, was.updated_at)

    behind = [marker(before)]
    behind += [
        marker(ahead)
        for ahead in announced_with(before)[1:]
        if ahead is not target and ahead not in ahead_of(target)
    ]
    behind += [  # time goes on: that of an hour which has passed is never needed
        marker(ahead)
        for ahead in _announced_by_now(before)
        if marker(ahead) != places.of(ahead, bounty_id, None, now.updated_at)
    ]
    if history.marker_seq is not None:
        behind.append(marker(before, history.marker_seq))
        behind += [
            marker(each)
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


def is_stale(marker: str, bounty: Bounty, history: History, zone: ZonePaths) -> bool:
    """Whether nothing can make `marker` needed again by `bounty`, which has this history."""
    if paths.is_dated(marker) and paths.date_of(marker) != bounty.created_at:
        return True
    status = BountyStatus(paths.status_of(marker))
    generation = paths.marker_generation(marker)
    if paths.day_of(marker) and bounty.status is status:  # it ended in one hour, for good
        needed = zone.marker(status, bounty.bounty_id, generation, ended_at=bounty.updated_at)
        if marker != needed:
            return True
    return marker_state(status, generation, bounty.status, history) is MarkerState.STALE


class StatusIndex:
    """The markers of one zone."""

    def __init__(self, client: NexusClient, places: MarkerPlaces, order: CreationOrder) -> None:
        self._client = client
        self._order = order
        self.places = places
        self._written_ahead = BoundedSet()

    def announcing(
        self, bounty: Bounty, status: BountyStatus, generation: int | None, at: datetime
    ) -> tuple[str, ...]:
        """The markers to be written before `bounty` enters `status`: those of what comes next, too.

        Repeats are harmless, since a marker never lies; one written ahead is not written again.
        `at` is what the bounty then says of when it was updated.
        """
        plain = self.places.of(status, bounty.bounty_id, None, at)
        if generation is None and plain in self._written_ahead:
            self._written_ahead.discard(plain)
            return ()
        return tuple(self.of(bounty, status, generation, at))

    def of(
        self, bounty: Bounty, status: BountyStatus, generation: int | None, at: datetime
    ) -> list[str]:
        """The markers that `bounty` has in `status` since then, those written ahead included."""
        bounty_id, of = bounty.bounty_id, self.places.of
        plain = [of(each, bounty_id, None, at) for each in announced_with(status)]
        again = [] if generation is None else [of(status, bounty_id, generation, at)]
        return [*plain, *again, *self._order.twins(again or plain, bounty.created_at)]

    def needed(self, bounty: Bounty, document: Document) -> tuple[str, ...]:
        """The markers that a bounty needs as it is now: that of its generation, the plain one.

        Of a re-entry the peer knows no other than that.
        """
        bounty_id, at = paths.document_id(document.path), bounty.updated_at
        generations = dict.fromkeys([document.history.marker_seq, None])
        return tuple(self.places.of(bounty.status, bounty_id, each, at) for each in generations)

    def announced(self, bounty: Bounty, markers: Sequence[str]) -> None:
        """Remember which of the `markers` that were written are ahead of what `bounty` is now."""
        for expected in announced_with(bounty.status)[1:]:
            ahead = self.places.of(expected, bounty.bounty_id, None, bounty.updated_at)
            if ahead in markers:
                self._written_ahead.add(ahead)

    async def restore(self, faults: Sequence[IndexFault], deadline: Deadline) -> None:
        """Write markers that were found missing; without their generations, too, for the peer."""
        markers = [fault.marker for fault in faults]
        plain = [paths.plain(each) for each in markers if not paths.is_dated(each)]
        await self._client.write_many(dict.fromkeys([*markers, *plain], b""), deadline=deadline)

    async def pages(
        self,
        status: BountyStatus,
        partition: Partition,
        after: str,
        size: int,
        since: date | None,
        names_since: float | None = None,
    ) -> AsyncIterator[MarkedPage]:
        """The bounties in `partition` that may be in `status`, `size` markers at a time."""
        async for markers in self.chunks(status, size, partition, after, since, names_since):
            ids = list(dict.fromkeys(paths.marked_id(each) for each in markers))
            yield MarkedPage(ids=ids, after=markers[-1], day=paths.day_of(markers[0]))

    async def chunks(
        self,
        status: BountyStatus,
        size: int,
        partition: Partition,
        after: str = "",
        since: date | None = None,
        names_since: float | None = None,
    ) -> AsyncIterator[list[str]]:
        """The markers of bounties in `partition` that may be in `status`, `size` at a time."""
        window = self.places.window(status, partition).going_on(after)
        ask = self.places.ask(status, partition, since, names_since)
        within, sparse = self._client.settings.listing_timeout, window.is_sparse
        async for found in chunks(ask, window.after, size, within, window.until, filled=sparse):
            if markers := window.of_markers(found):
                yield markers
