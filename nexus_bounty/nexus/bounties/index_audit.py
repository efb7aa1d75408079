"""The audit of the status index: every document and every marker is looked at, a page at a time.

Documents come first, for markers that they lack; then the markers of one status after another,
for those that are stale, and then their dated twins. No more than one page is held, and the path
that a page ends with says where to go on, in this process or in another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial

import msgspec

from nexus_bounty.lifecycle import TERMINAL
from nexus_bounty.models import Bounty, BountyStatus, IndexFault, IndexPage, IndexStatus
from nexus_bounty.nexus.bounties.creation_order import CreationOrder
from nexus_bounty.nexus.bounties.status_index import StatusIndex, is_stale
from nexus_bounty.nexus.client import NexusClient, Page
from nexus_bounty.nexus.client.pages import Ask, chunks
from nexus_bounty.nexus.client.shared_names import SharedNames
from nexus_bounty.nexus.documents import (
    Document,
    UnreadableDocumentError,
    is_tombstone,
    paths,
    windows,
)
from nexus_bounty.nexus.documents.commits import StrategyChoice
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import listed, to_bounty
from nexus_bounty.nexus.documents.windows import Window
from nexus_bounty.partition import EVERYTHING, Partition
from nexus_bounty.statuses import STATUSES


@dataclass(slots=True)
class _Found:
    """What is wrong with some files: markers, and by their ids documents that do not count."""

    faults: list[IndexFault]
    unreadable: dict[str, str] = field(default_factory=dict)
    untrusted: dict[str, str] = field(default_factory=dict)

    @property
    def is_all_well(self) -> bool:
        """Whether every document counts and no marker is missing."""
        is_missing = any(each.missing and not each.listed_elsewhere for each in self.faults)
        return not (is_missing or self.unreadable or self.untrusted)

    def page(self, files: Sequence[str]) -> IndexPage:
        """The page of an audit that looked at `files`."""
        return IndexPage(
            after=files[-1],
            checked=len(files),
            faults=self.faults,
            unreadable=self.unreadable,
            untrusted=self.untrusted,
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """One directory: how to ask for its pages, and what may be wrong with the files on one.

    `window` is where the files of the range are, and `belonging` tells them from others there.
    """

    directory: str
    ask: Ask
    window: Window
    belonging: Callable[[Sequence[str]], list[str]]
    audit: Callable[[Sequence[str]], Awaitable[_Found]]

    def covers(self, path: str) -> bool:
        return path.startswith(f"{self.directory}/")


class IndexAudit:
    """Compares the status index of one zone with its documents.

    Markers of bounties that were never heard of, or cannot be read, are left alone.
    """

    def __init__(
        self,
        client: NexusClient,
        zone: ZonePaths,
        index: StatusIndex,
        order: CreationOrder,
        choice: StrategyChoice,
    ) -> None:
        self._client = client
        self._zone = zone
        self._index = index
        self._order = order
        self._choice = choice
        self._came_to = ""
        self._all_are_dated = True
        self._order_begun: datetime | None = None
        self._names_of_documents = SharedNames()

    async def pages(
        self,
        after: str,
        partition: Partition = EVERYTHING,
        since: date | None = None,
        *,
        documents: bool = True,
        names_since: float | None = None,
    ) -> AsyncIterator[IndexPage]:
        """What is wrong with the files of a range after the path `after`, a page at a time.

        The markers of bounties that ended before the day `since` are left out, where they are laid
        out by days; without `documents` only markers are looked at. Where a few names cost as much
        as all of them it may go by names that others have listed since `names_since`. At the end of
        a walk through all documents, in one go or in several, it is known whether all bounties are
        in the order of creation: their names it lists itself.
        """
        await self._choice.for_reading(self._client.deadline())  # which tells the layout
        parts = [self._documents(partition, names_since)] if documents else []
        for status in BountyStatus:
            parts += self._of_status(status, partition, since, names_since)
        if not after:
            self._order_begun = self._order.begun
        self._all_are_dated = not after or (self._all_are_dated and after == self._came_to)
        begun = next((number for number, part in enumerate(parts) if part.covers(after)), 0)
        for part in parts[begun:]:
            async for files in self._files(part, after if part.covers(after) else ""):
                found = await part.audit(files)
                self._came_to = files[-1]
                self._all_are_dated &= found.is_all_well
                yield found.page(files)

        if partition.is_everything and documents:
            self._order.conclude(self._order_begun, is_complete=self._all_are_dated)

    async def _files(self, part: _Part, after: str) -> AsyncIterator[list[str]]:
        settings, window = self._client.settings, part.window.going_on(after)
        size, within, sparse = settings.bulk_size, settings.listing_timeout, window.is_sparse
        asked = chunks(part.ask, window.after, size, within, window.until, filled=sparse)
        async for found in asked:
            if files := part.belonging(found):
                yield files
        if window.stragglers:
            yield list(window.stragglers)

    async def repair(self, faults: Sequence[IndexFault]) -> list[IndexFault]:
        """Write the markers that are missing, remove the stale ones; returns what is left.

        However old `faults` are, it does no harm: nothing can make a stale marker needed again,
        and one too many misleads nobody.
        """
        missing = [fault for fault in faults if fault.missing]
        if missing:
            await self._index.restore(missing, self._client.deadline())
        stale = {fault.marker: fault for fault in faults if not fault.missing}
        left = await self._client.delete_many(list(stale))
        return [stale[marker] for marker in left]

    async def compare(self, only: str | None = None) -> tuple[list[IndexFault], list[IndexStatus]]:
        """All that is wrong, and how the index of each status compares; or of one bounty alone."""
        faults: list[IndexFault] = []
        markers: Counter[str] = Counter()
        async for page in self.pages("") if only is None else self._about(only):
            faults += page.faults
            if not paths.is_dated(page.after):
                markers[paths.status_of(page.after)] += page.checked
        return faults, [_summary(status, markers[status], faults) for status in BountyStatus]

    async def _about(self, bounty_id: str) -> AsyncIterator[IndexPage]:
        """What is wrong with one bounty's markers."""
        document = self._zone.bounty(bounty_id)
        found = await self._lacking([document])
        yield found.page([document])
        for status in BountyStatus:
            for part in self._of_status(status, EVERYTHING):
                async for files in self._files(part, ""):
                    if markers := [path for path in files if _marked_id(path) == bounty_id]:
                        found = await part.audit(markers)
                        yield found.page(markers)

    def _documents(self, partition: Partition, names_since: float | None) -> _Part:
        directory = self._zone.bounties

        async def ask(after: str) -> Page:
            deadline = self._client.deadline()
            reads = (await self._choice.for_reading(deadline)).reads
            if partition.is_everything or names_since is None or not reads.lists_whole:
                return await reads.page(directory, after, deadline)
            listing = partial(reads.page, directory, deadline=deadline)
            return await self._names_of_documents.page(listing, after, names_since)

        window = windows.of_documents(directory, partition)
        return _Part(directory, ask, window, window.of_documents, self._lacking)

    def _of_status(
        self,
        status: BountyStatus,
        partition: Partition,
        since: date | None = None,
        names_since: float | None = None,
    ) -> list[_Part]:
        """The markers of one status; with the first range their twins, which no id gives order."""
        directory, places = self._zone.statuses(status), self._index.places
        window = places.window(status, partition)
        ask = places.ask(status, partition, since, names_since)
        parts = [_Part(directory, ask, window, window.of_markers, partial(self._stale, status))]
        if self._order.is_kept and STATUSES[status].dated and partition.is_first:
            directory = self._zone.newest_first(status)
            window = windows.of_markers(directory, EVERYTHING)
            ask, audit = partial(self._client.page, directory), partial(self._stale_twins, status)
            parts.append(_Part(directory, ask, window, window.of_markers, audit))
        return parts

    async def _lacking(self, documents: Sequence[str]) -> _Found:
        """The markers that some of `documents` lack, and those that cannot be understood."""
        needed, ended = dict[str, IndexFault](), dict[str, str | None]()
        found = _Found([])
        for document in await self._read(documents):
            bounty = listed(document, to_bounty, found.unreadable)
            if bounty and bounty.untrusted is not None:
                found.untrusted[bounty.bounty_id] = bounty.untrusted
            if bounty and bounty.status.is_known and isinstance(document, Document):
                bounty_id = paths.document_id(document.path)
                markers = self._index.needed(bounty, document)
                for marker in markers:
                    ended[marker] = self._index.places.elsewhere(marker, bounty.updated_at)
                twins = self._order.twins(markers[:1], bounty.created_at)
                for each in (*markers, *(twins if document.history.seq else ())):
                    needed[each] = IndexFault(
                        bounty_id=bounty_id, status=bounty.status, marker=each, missing=True
                    )
            if isinstance(document, Document) and _is_of_another_program(document, bounty):
                self._order.saw_stranger()
                self._all_are_dated = False
        there = await self._client.exist(list(needed))
        lacking = [
            fault for fault, exists in zip(needed.values(), there, strict=True) if not exists
        ]
        found.faults = await self._not_elsewhere(lacking, ended)
        return found

    async def _not_elsewhere(
        self, lacking: Sequence[IndexFault], ended: Mapping[str, str | None]
    ) -> list[IndexFault]:
        """What is to be done about missing markers, some of which lie in the other layout.

        These are moved, if it is pinned where they are to lie.
        """
        others = {fault.marker: other for fault in lacking if (other := ended.get(fault.marker))}
        there = await self._client.exist(list(others.values()))
        moved = {marker for marker, exists in zip(others, there, strict=True) if exists}
        faults = [
            msgspec.structs.replace(fault, listed_elsewhere=True)
            if fault.marker in moved
            else fault
            for fault in lacking
        ]
        are_pinned = self._index.places.are_pinned
        return [fault for fault in faults if are_pinned or not fault.listed_elsewhere]

    async def _stale(self, status: BountyStatus, markers: Sequence[str]) -> _Found:
        """Those of `markers` that are there, and that nothing can make needed again.

        They were listed before the documents are read: what these do not need is stale for good.
        Since then whoever moved a bounty on may have removed it.
        """
        ids = {marker: _marked_id(marker) for marker in markers}
        names = list(dict.fromkeys(map(self._zone.bounty, ids.values())))
        about = {}
        for document in await self._read(names):
            bounty = _as_it_was(document)
            if bounty and bounty.untrusted is None and isinstance(document, Document):
                about[paths.document_id(document.path)] = (bounty, document.history)
        stale = {
            marker: bounty_id
            for marker, bounty_id in ids.items()
            if bounty_id in about and is_stale(marker, *about[bounty_id], self._zone)
        }
        doubled = await self._doubled(
            {
                marker: about[bounty_id][0].updated_at
                for marker, bounty_id in ids.items()
                if bounty_id in about and marker not in stale and _has_ended(about[bounty_id][0])
            }
        )
        stale |= {marker: ids[marker] for marker in doubled}
        twins = {
            twin: bounty_id
            for marker, bounty_id in stale.items()
            for twin in self._order.twins([marker], about[bounty_id][0].created_at)
        }
        candidates = stale | twins
        there = await self._client.exist(list(candidates))
        stale = {
            marker: bounty_id
            for (marker, bounty_id), exists in zip(candidates.items(), there, strict=True)
            if exists
        }
        return _Found(  # what cannot be understood, or trusted, was found among the documents
            [
                IndexFault(
                    bounty_id=bounty_id,
                    status=status,
                    marker=marker,
                    touched_at=about[bounty_id][1].touched_at,
                    listed_elsewhere=marker in doubled,
                )
                for marker, bounty_id in stale.items()
            ]
        )

    async def _doubled(self, needed: Mapping[str, datetime]) -> set[str]:
        """The flat markers of bounties, that ended at these times, which have one by date, too.

        Only of a zone that is laid out by date. The other one stays for good, so that a delete of
        the flat one takes nothing that is needed, however late it arrives.
        """
        places = self._index.places
        if not places.are_by_date:
            return set()
        flat = {marker: at for marker, at in needed.items() if places.is_met_before_days(marker)}
        dated = {
            marker: other for marker, at in flat.items() if (other := places.elsewhere(marker, at))
        }
        there = await self._client.exist(list(dated.values()))
        return {marker for marker, exists in zip(dated, there, strict=True) if exists}

    async def _stale_twins(self, status: BountyStatus, twins: Sequence[str]) -> _Found:
        """The same of dated markers: only those without their marker are held to the document."""
        dated = [each for each in twins if not paths.says_that_all_are_dated(each)]
        there = await self._client.exist([paths.undated(each) for each in dated])
        alone = [each for each, has_marker in zip(dated, there, strict=True) if not has_marker]
        return await self._stale(status, alone) if alone else _Found([])

    async def _read(self, names: Sequence[str]) -> list[Document | UnreadableDocumentError]:
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        return await strategy.reads.read_many(names, deadline)


def _marked_id(marker: str) -> str:
    return paths.marked_id(paths.undated(marker) if paths.is_dated(marker) else marker)


def _has_ended(bounty: Bounty) -> bool:
    """Whether nothing can make it need a marker that it does not need now."""
    return bounty.status in TERMINAL


def _is_of_another_program(document: Document, bounty: Bounty | None) -> bool:
    return not document.history.seq or (bounty is not None and not bounty.status.is_known)


def _as_it_was(document: Document | UnreadableDocumentError) -> Bounty | None:
    """The bounty that a document is, or was before it was taken back; `None` if none can tell."""
    if isinstance(document, Document) and is_tombstone(document):
        with suppress(UnreadableDocumentError):
            return to_bounty(document)
    return listed(document, to_bounty)


def _summary(status: BountyStatus, markers: int, faults: Sequence[IndexFault]) -> IndexStatus:
    """How the index of one status compares, by all that is wrong."""
    about = [fault for fault in faults if fault.status is status and not fault.listed_elsewhere]
    return IndexStatus(
        status=status,
        markers=markers,
        missing=sorted({fault.bounty_id for fault in about if fault.missing}),
        stale=sorted({fault.bounty_id for fault in about if not fault.missing}),
    )
