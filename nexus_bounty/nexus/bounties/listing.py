"""Listings of bounties: found by markers or documents, always checked at the document.

Markers and documents are listed and read a page at a time, each page an operation of its own.
What is remembered spares reading documents, never checking them: a document is taken as it was
last seen only if the server shows the same content hash, and for the dates alone, which never
change, without asking.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import heappush, heappushpop, nlargest
from itertools import islice

from nexus_bounty.lifecycle import swept_for
from nexus_bounty.models import Bounty, BountyQuery, BountyStatus
from nexus_bounty.nexus.bounties.creation_order import CreationOrder, Dated, Place
from nexus_bounty.nexus.bounties.status_index import StatusIndex
from nexus_bounty.nexus.client import Etags, NexusClient, Page
from nexus_bounty.nexus.client.pages import chunks
from nexus_bounty.nexus.client.quirks import Extra
from nexus_bounty.nexus.documents import Document, is_tombstone, paths, windows
from nexus_bounty.nexus.documents.cache import DatesMemory, DocumentMemory, SnapshotMemory
from nexus_bounty.nexus.documents.commits import StrategyChoice
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import listed, to_bounty
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.statuses import Repair
from nexus_bounty.validation import check_query

Unreadable = dict[str, str] | None
"""Gets what is wrong with documents that cannot be understood, by their ids; `None` if unwanted."""

ALIVE = BountyQuery(status=swept_for(Repair.EXPIRE))


def place(bounty: Bounty) -> Place:
    """Where `bounty` stands."""
    return (bounty.created_at, bounty.bounty_id)


class BountyListing:
    """Finds the bounties of one zone that match a query."""

    def __init__(
        self,
        client: NexusClient,
        zone: ZonePaths,
        index: StatusIndex,
        order: CreationOrder,
        choice: StrategyChoice,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._zone = zone
        self._index = index
        self._order = order
        self._choice = choice
        self._snapshots = SnapshotMemory(client.settings.remembered_documents)
        # for less time than slots are kept: one that is gone would pass for one that is free
        self._decided = DocumentMemory(
            client.settings.remembered_documents,
            lasts=client.settings.tombstone_retention / 2,
            clock=clock,
        )
        self._dates = DatesMemory(client.settings.remembered_dates, clock)

    def forget(self) -> None:
        """Drop what is remembered."""
        self._snapshots.clear()
        self._decided.clear()
        self._dates.clear()

    async def select(self, query: BountyQuery, unreadable: Unreadable = None) -> list[Bounty]:
        """The bounties that match, newest first, cut to `offset` and `limit`."""
        check_query(query)
        if query.limit is None:
            found = [bounty async for bounty in self.walk(query, unreadable)]
        else:
            number = query.offset + query.limit
            in_order = await self._in_order(query, number, unreadable)
            found = await self._newest(query, number, unreadable) if in_order is None else in_order
        found.sort(key=place, reverse=True)
        return found[query.offset :]

    async def count(self, query: BountyQuery) -> int:
        """How many bounties match, without keeping them."""
        number = 0
        async for _ in self.walk(query):
            number += 1
        return number

    async def expired(
        self,
        now: datetime,
        partition: Partition = EVERYTHING,
        names_since: float | None = None,
    ) -> list[Bounty]:
        """The open and claimed bounties of a range whose deadline has passed, newest first.

        Those whose deadline is known and still to come are not read.
        """
        found: dict[str, Bounty] = {}
        async for candidates in self._candidates(ALIVE, partition, names_since):
            due = [path for path in candidates if path not in found and self._may_be_due(path, now)]
            read = await self._read(due)
            found |= {
                path: bounty
                for path, bounty in read.items()
                if ALIVE.matches(bounty) and bounty.deadline < now
            }
        return sorted(found.values(), key=place, reverse=True)

    def _may_be_due(self, path: str, now: datetime) -> bool:
        dates = self._dates.recall(path)
        return dates is None or dates.deadline < now

    async def walk(
        self,
        query: BountyQuery,
        unreadable: Unreadable = None,
        partition: Partition = EVERYTHING,
        names_since: float | None = None,
    ) -> AsyncIterator[Bounty]:
        """The bounties of a range that match, in no order, holding one page of documents.

        `unreadable` gets what is wrong with those that cannot be understood, by their ids.
        """
        check_query(query)
        etags = _EtagsOfWalk(self._choice, self._client, self._zone.bounties, self._snapshots)
        seen: set[str] = set()  # a bounty may have several markers
        async for candidates in self._candidates(query, partition, names_since):
            unseen = [path for path in candidates if path not in seen]
            for path, bounty in (await self._current(unseen, etags, unreadable)).items():
                if query.matches(bounty):
                    if query.statuses is not None:
                        seen.add(path)
                    yield bounty

    async def _in_order(
        self, query: BountyQuery, number: int, unreadable: Unreadable
    ) -> list[Bounty] | None:
        """The `number` newest bounties that match, by the order of creation.

        The statuses are gone through one after another in the order of a life, each as far as the
        newest that are known then: so one that moves on meanwhile is met in one of them. `None` if
        not all bounties are known to be in the order.
        """
        if query.statuses is None:
            return None
        best = _Best(number)
        await self._choice.for_reading(self._client.deadline())  # which tells the layout
        for status in BountyStatus:
            if status in query.statuses:
                page = await self._order.page(status, number)
                if page is None:
                    return None
                await self._gather(self._order.newest_first(status, page), query, best, unreadable)
        return best.bounties

    async def _gather(
        self,
        newest_first: AsyncIterator[Dated],
        query: BountyQuery,
        best: _Best,
        unreadable: Unreadable,
    ) -> None:
        """Read as many as may be among the best: at first no more than are wanted."""
        size, paths_to_read = best.number, list[str]()
        async for dated in newest_first:
            if not best.would_take(dated.place):
                break
            paths_to_read.append(dated.path)
            if len(paths_to_read) >= size:
                await self._take(paths_to_read, query, best, unreadable)
                size, paths_to_read = self._client.settings.bulk_size, []
        await self._take(paths_to_read, query, best, unreadable)

    async def _take(
        self, candidates: Sequence[str], query: BountyQuery, best: _Best, unreadable: Unreadable
    ) -> None:
        found = await self._undecided_since(candidates)
        found |= await self._read([path for path in candidates if path not in found], unreadable)
        best.add(each for each in found.values() if each is not None and query.matches(each))

    async def _undecided_since(self, candidates: Sequence[str]) -> dict[str, Bounty | None]:
        """Those of the bounties that provably are what they were when they were read last."""
        known = {path: seen for path in candidates if (seen := self._decided.recall(path))}
        if not known:
            return {}
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        seqs = {path: document.history.seq for path, document in known.items()}
        same = await strategy.reads.unchanged(seqs, deadline)
        return {path: listed(known[path], to_bounty) for path in same}

    async def _newest(
        self, query: BountyQuery, number: int, unreadable: Unreadable
    ) -> list[Bounty]:
        """The `number` newest bounties that match.

        Of those whose time of creation is known, only as many are read as are needed.
        """
        best = _Best(number)
        known = _Newest(number + self._client.settings.bulk_size)
        async for candidates in self._candidates(query):
            unknown = []
            for path in candidates:
                dates = self._dates.recall(path)
                if dates is None:
                    unknown.append(path)
                else:
                    known.add((dates.created_at, paths.document_id(path)), path)
            read = await self._read(unknown, unreadable)
            best.add(each for each in read.values() if query.matches(each))
        for places in known.by(max(number, 1)):
            if not best.would_take(places[0][0]):
                return best.bounties
            found = await self._read([path for _, path in places], unreadable)
            best.add(each for each in found.values() if query.matches(each))
        if known.is_cut:  # so many have moved on that one which was left out may be needed
            async for bounty in self.walk(query, unreadable):
                best.add([bounty])
        return best.bounties

    async def _candidates(
        self,
        query: BountyQuery,
        partition: Partition = EVERYTHING,
        names_since: float | None = None,
    ) -> AsyncIterator[list[str]]:
        """The paths of the documents that may match, a chunk at a time, in order within a status.

        The statuses are gone through in the order of a bounty's life, so that a bounty that moves
        on from one to the next meanwhile is met in at least one of them. By names that others have
        listed one that moved on between two of their listings may be missed: see `Reconciler`.
        """
        size = self._client.settings.bulk_size
        if query.statuses is None:
            async for chunk in self._documents(partition):
                yield chunk
            return
        for status in BountyStatus:
            if status in query.statuses:
                chunks_of = self._index.chunks(status, size, partition, names_since=names_since)
                async for markers in chunks_of:
                    ids = dict.fromkeys(paths.marked_id(marker) for marker in markers)
                    yield [self._zone.bounty(bounty_id) for bounty_id in ids]

    async def _documents(self, partition: Partition) -> AsyncIterator[list[str]]:
        """The paths of all documents of a range, a chunk at a time; at some there may be none."""
        settings = self._client.settings
        size, within = settings.bulk_size, settings.listing_timeout
        window = windows.of_documents(self._zone.bounties, partition)
        async for found in chunks(self._page, window.after, size, within, window.until):
            if documents := window.of_documents(found):
                yield documents
        if window.stragglers:
            yield list(window.stragglers)

    async def _page(self, after: str) -> Page:
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        return await strategy.reads.page(self._zone.bounties, after, deadline)

    async def _current(
        self, candidates: Sequence[str], etags: _EtagsOfWalk, unreadable: Unreadable
    ) -> dict[str, Bounty]:
        """The bounties at these paths; those that have not changed are not read again."""
        tags = await etags.of(candidates)
        known = {path: self._snapshots.recall(path, tags.get(path)) for path in candidates}
        changed = [path for path, snapshot in known.items() if snapshot is None]
        found = await self._read(changed, unreadable)
        for path, snapshot in known.items():
            if snapshot is not None and snapshot.bounty is not None:
                found[path] = snapshot.bounty
        return found

    async def _read(
        self, candidates: Sequence[str], unreadable: Unreadable = None
    ) -> dict[str, Bounty]:
        """The bounties at these paths, by their paths, that exist and can be read."""
        found: dict[str, Bounty] = {}
        if not candidates:
            return found
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        for document in await strategy.reads.read_many(candidates, deadline):
            bounty = listed(document, to_bounty, unreadable)
            if bounty is not None:
                self._dates.remember(document.path, bounty)
                found[document.path] = bounty
            if isinstance(document, Document) and (bounty is not None or is_tombstone(document)):
                self._snapshots.remember(document, bounty)
                if self._order.is_kept:
                    self._decided.remember(document)
                if not document.history.seq:
                    self._order.saw_stranger()
        return found


class _EtagsOfWalk:
    """Shows, in the course of one walk, which documents may be taken as they were last seen.

    It asks the server for etags where most of a chunk is known and not much else is on the page
    that would come; a page has its own directory's order, as the chunks of a status do.
    """

    def __init__(
        self,
        choice: StrategyChoice,
        client: NexusClient,
        directory: str,
        snapshots: SnapshotMemory,
    ) -> None:
        self._choice = choice
        self._client = client
        self._directory = directory
        self._snapshots = snapshots
        self._page: Etags | None = None
        self._is_sparse = False

    async def of(self, candidates: Sequence[str]) -> Mapping[str, str]:
        """The etags of those `candidates` for which it is worth while; none of the others."""
        known = sum(self._snapshots.knows(path) for path in candidates)
        if self._is_sparse or known < max(len(candidates) / 2, self._fewest):
            return {}
        first = min(candidates)
        if self._page is None or not self._page.cover(first):
            after, deadline = first[:-1], self._client.deadline()
            strategy = await self._choice.for_reading(deadline)
            self._page = await strategy.reads.etags(self._directory, after, deadline)
        by_path = self._page.by_path if self._page else {}
        found = {path: by_path[path] for path in candidates if path in by_path}
        self._is_sparse = len(found) < len(candidates) / 2
        return found

    @property
    def _fewest(self) -> float:
        """How many documents have to be spared for a page of etags: one read costs as much."""
        bulk = self._client.capabilities.has(Extra.BULK_READS) is not False
        return self._client.settings.page_size / 8 if bulk else 2


class _Best:
    """The newest of the bounties that are shown to it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._by_id: dict[str, Bounty] = {}
        self._kept: list[Bounty] | None = []

    @property
    def bounties(self) -> list[Bounty]:
        """Those that it keeps."""
        if self._kept is None:
            self._kept = nlargest(self.number, self._by_id.values(), key=place)
        return self._kept

    def add(self, bounties: Iterable[Bounty]) -> None:
        """Keep those that are new enough."""
        for bounty in bounties:
            self._by_id[bounty.bounty_id] = bounty
            self._kept = None
            if len(self._by_id) > 2 * self.number:
                self._by_id = {each.bounty_id: each for each in self.bounties}

    def would_take(self, other: Place) -> bool:
        """Whether a bounty that stands at `other` would be kept."""
        kept = self.bounties
        return len(kept) < self.number or (bool(kept) and other > place(kept[-1]))


class _Newest:
    """Of the candidates that are shown to it the `number` newest, by their dates alone."""

    def __init__(self, number: int) -> None:
        self.is_cut = False
        self._number = number
        self._heap: list[tuple[Place, str]] = []
        self._paths: set[str] = set()

    def add(self, at: Place, path: str) -> None:
        """Keep the candidate if it is new enough."""
        if path in self._paths:
            return
        self._paths.add(path)
        if len(self._heap) < self._number:
            heappush(self._heap, (at, path))
            return
        _, left_out = heappushpop(self._heap, (at, path))
        self._paths.discard(left_out)
        self.is_cut = True

    def by(self, size: int) -> Iterator[list[tuple[Place, str]]]:
        """The candidates, newest first, `size` at a time."""
        newest_first = iter(sorted(self._heap, reverse=True))
        while some := list(islice(newest_first, size)):
            yield some
