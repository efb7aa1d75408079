"""Listings of bounties: found by markers or documents, always checked at the document."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.models import Bounty, BountyQuery
from nexus_bounty.nexus.bounty_documents import listed, to_bounty
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.commit.results import CommitStrategy
from nexus_bounty.nexus.paths import ZonePaths
from nexus_bounty.nexus.retry import Deadline
from nexus_bounty.nexus.status_index import StatusIndex
from nexus_bounty.validation import check_query


class BountyListing:
    """Finds the bounties of one zone that match a query."""

    def __init__(
        self, client: NexusClient, zone: ZonePaths, index: StatusIndex, strategy: CommitStrategy
    ) -> None:
        self._client = client
        self._zone = zone
        self._index = index
        self._strategy = strategy

    async def select(self, query: BountyQuery) -> list[Bounty]:
        """The bounties that match, newest first, cut to `offset` and `limit`."""
        found = [bounty async for bounty in self.walk(query)]
        found.sort(key=lambda bounty: (bounty.created_at, bounty.bounty_id), reverse=True)
        end = None if query.limit is None else query.offset + query.limit
        return found[query.offset : end]

    async def count(self, query: BountyQuery) -> int:
        """How many bounties match, without keeping them."""
        return len([None async for _ in self.walk(query)])

    async def walk(self, query: BountyQuery) -> AsyncIterator[Bounty]:
        """The bounties that match, in no order, holding one batch of documents at a time."""
        check_query(query)
        deadline = self._client.deadline()
        paths = await self._candidates(query, deadline)
        size = self._client.settings.bulk_size
        for start in range(0, len(paths), size):
            batch = paths[start : start + size]
            deadline = self._client.deadline()  # each batch is an operation of its own
            for document in await self._strategy.read_many(batch, deadline):
                bounty = listed(document, to_bounty)
                if bounty is not None and query.matches(bounty):
                    yield bounty

    async def _candidates(self, query: BountyQuery, deadline: Deadline) -> list[str]:
        if query.statuses is None:
            return await self._strategy.names(self._zone.bounties, deadline)
        ids = await self._index.ids(query.statuses, deadline)
        return [self._zone.bounty(bounty_id) for bounty_id in ids]
