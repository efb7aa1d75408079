"""Compares the status markers with the documents, and makes them agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from nexus_bounty.idempotency import History, derived_key, new_key
from nexus_bounty.models import BountyStatus, IndexStatus
from nexus_bounty.nexus import paths
from nexus_bounty.nexus.bounty_documents import anonymous_tombstone, listed, to_bounty
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import (
    Document,
    DocumentReader,
    UnreadableDocumentError,
    is_tombstone,
)
from nexus_bounty.nexus.paths import ZonePaths
from nexus_bounty.nexus.retry import Deadline
from nexus_bounty.nexus.status_index import Standing, StatusIndex, standing
from nexus_bounty.nexus.wire import Entry
from nexus_bounty.nexus.writer import DocumentWriter


@dataclass(slots=True)
class _Known:
    """What a document says, as far as markers are concerned."""

    status: BountyStatus | None
    history: History
    readable: bool = True


@dataclass(slots=True)
class _Findings:
    """What is wrong with the index of one status."""

    markers: int = 0
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)  # marker paths

    def report(self, status: BountyStatus) -> IndexStatus:
        return IndexStatus(
            status=status,
            markers=self.markers,
            missing=sorted(self.missing),
            stale=sorted({paths.marked_id(path) for path in self.stale}),
        )


class IndexRepair:
    """Inspects and repairs the status index of one zone."""

    def __init__(
        self, client: NexusClient, zone: ZonePaths, index: StatusIndex, writer: DocumentWriter
    ) -> None:
        self._client = client
        self._zone = zone
        self._index = index
        self._writer = writer
        self._reader = DocumentReader(client)

    async def inspect(self) -> list[IndexStatus]:
        """How each status index compares with the documents."""
        _, findings = await self._compare()
        return [findings[status].report(status) for status in BountyStatus]

    async def repair(self, bounty_id: str | None) -> list[IndexStatus]:
        """Write what is missing and remove what is stale, of one bounty or of all."""
        known, findings = await self._compare(bounty_id)
        for status, found in findings.items():
            for missing in found.missing:
                generation = known[missing].history.marker_seq
                await self._index.announce(missing, status, generation, self._client.deadline())
            orphans = {paths.marked_id(path) for path in found.stale} - known.keys()
            for orphan in orphans:
                await self._fence_off(orphan)
            await self._index.retire(found.stale, self._client.deadline())
        return [findings[status].report(status) for status in BountyStatus]

    async def _compare(
        self, only: str | None = None
    ) -> tuple[dict[str, _Known], dict[BountyStatus, _Findings]]:
        # markers first: what a later document no longer needs is stale for good
        markers = {status: await self._markers(status, only) for status in BountyStatus}
        known = await self._documents(only)
        findings: dict[BountyStatus, _Findings] = defaultdict(_Findings)
        current: set[str] = set()
        for status, entries in markers.items():
            found = findings[status]
            found.markers = len(entries)
            for entry in entries:
                verdict = self._standing(status, entry, known)
                if verdict is Standing.STALE:
                    found.stale.append(entry.path)
                if verdict is Standing.CURRENT:
                    current.add(entry.path)
        for bounty_id, each in known.items():
            if each.status is not None:
                needed = self._zone.marker(each.status, bounty_id, each.history.marker_seq)
                if needed not in current:
                    findings[each.status].missing.append(bounty_id)
        return known, findings

    async def _markers(self, status: BountyStatus, only: str | None) -> list[Entry]:
        directory = self._zone.statuses(status)
        walk = self._client.walk(directory, details=True, deadline=self._client.deadline())
        return [entry async for entry in walk if only in (None, paths.marked_id(entry.path))]

    async def _documents(self, only: str | None) -> dict[str, _Known]:
        deadline = self._client.deadline()
        if only is None:
            names = await self._client.list(self._zone.bounties, deadline=deadline)
        else:
            names = [self._zone.bounty(only)]
        return dict(self._known(await self._read(names, deadline)))

    async def _read(
        self, names: list[str], deadline: Deadline
    ) -> Iterable[Document | UnreadableDocumentError]:
        return await self._reader.read_many(names, deadline)

    def _known(
        self, documents: Iterable[Document | UnreadableDocumentError]
    ) -> Iterable[tuple[str, _Known]]:
        for document in documents:
            known = _Known(None, History(), readable=False)
            if isinstance(document, Document) and is_tombstone(document):
                known = _Known(None, document.history)
            elif isinstance(document, Document) and (bounty := listed(document, to_bounty)):
                known = _Known(bounty.status, document.history)
            yield paths.document_id(document.path), known

    def _standing(self, status: BountyStatus, entry: Entry, known: dict[str, _Known]) -> Standing:
        about = known.get(paths.marked_id(entry.path))
        if about is None:
            return Standing.STALE if self._is_old(entry.modified) else Standing.AHEAD
        if not about.readable:
            return Standing.AHEAD  # nothing is known: leave it alone
        generation = paths.marker_generation(entry.path)
        return standing(status, generation, about.status, about.history)

    def _is_old(self, modified: datetime | None) -> bool:
        """Whether no request of the operation that wrote it can be under way any more."""
        retention = self._client.settings.tombstone_retention
        return modified is not None and self._writer.clock() - modified > retention

    async def _fence_off(self, bounty_id: str) -> None:
        """Make sure that a bounty which a marker announced long ago can no longer be created."""
        key = derived_key(new_key(self._client.random), "repair")
        operation = self._writer.operation("repair_index", "repair", bounty_id, {}, key)
        tombstone = anonymous_tombstone(bounty_id, self._writer.clock())
        path = self._zone.bounty(bounty_id)
        document = await self._writer.read(operation, path)
        if document is None:
            await self._writer.abort(
                operation, self._writer.fence(operation, path, None, tombstone)
            )
