"""Compares the status markers with the documents, and makes them agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from nexus_bounty.idempotency import History
from nexus_bounty.models import BountyStatus, IndexStatus
from nexus_bounty.nexus.bounties.status_index import Standing, StatusIndex, standing
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.documents import Document, paths
from nexus_bounty.nexus.documents.commits import CommitStrategy
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.nexus.documents.records import listed, to_bounty


@dataclass(frozen=True, slots=True)
class _Known:
    """What a document says, as far as markers are concerned."""

    status: BountyStatus
    history: History


@dataclass(slots=True)
class _Findings:
    """How the index of one status compares: its markers, and what is wrong with them."""

    markers: list[str]
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)  # marker paths

    def report(self, status: BountyStatus) -> IndexStatus:
        return IndexStatus(
            status=status,
            markers=len(self.markers),
            missing=sorted(self.missing),
            stale=sorted({paths.marked_id(path) for path in self.stale}),
        )


class IndexRepair:
    """Inspects and repairs the status index of one zone.

    Markers of bounties that do not exist, or cannot be read, are left alone.
    """

    def __init__(
        self, client: NexusClient, zone: ZonePaths, index: StatusIndex, strategy: CommitStrategy
    ) -> None:
        self._client = client
        self._zone = zone
        self._index = index
        self._strategy = strategy

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
                await self._index.restore(missing, status, generation, self._client.deadline())
            await self._index.retire(found.stale, self._client.deadline())
        return [findings[status].report(status) for status in BountyStatus]

    async def _compare(
        self, only: str | None = None
    ) -> tuple[dict[str, _Known], dict[BountyStatus, _Findings]]:
        # markers first: what a later document no longer needs is stale for good
        findings = {status: _Findings(await self._markers(status, only)) for status in BountyStatus}
        known = await self._documents(only)
        for status, found in findings.items():
            found.stale = [
                path for path in found.markers if _standing(status, path, known) is Standing.STALE
            ]
        for bounty_id, each in known.items():
            if not each.status.is_known:  # where its program lists it is not ours to say
                continue
            needed = self._zone.marker(each.status, bounty_id, each.history.marker_seq)
            if needed not in findings[each.status].markers:
                findings[each.status].missing.append(bounty_id)
        return known, findings

    async def _markers(self, status: BountyStatus, only: str | None) -> list[str]:
        markers = await self._index.markers(status, self._client.deadline())
        return [path for path in markers if only in (None, paths.marked_id(path))]

    async def _documents(self, only: str | None) -> dict[str, _Known]:
        """What the bounties say that exist and can be read."""
        deadline = self._client.deadline()
        if only is None:
            names = await self._strategy.names(self._zone.bounties, deadline)
        else:
            names = [self._zone.bounty(only)]
        known = {}
        for document in await self._strategy.read_many(names, deadline):
            bounty = listed(document, to_bounty)
            if bounty is not None and isinstance(document, Document):
                bounty_id = paths.document_id(document.path)
                known[bounty_id] = _Known(bounty.status, document.history)
        return known


def _standing(status: BountyStatus, marker: str, known: dict[str, _Known]) -> Standing:
    about = known.get(paths.marked_id(marker))
    if about is None:
        return Standing.AHEAD
    return standing(status, paths.marker_generation(marker), about.status, about.history)
