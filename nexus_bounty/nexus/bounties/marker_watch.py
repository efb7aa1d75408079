"""Looks at markers that were written ahead again, after the commits that they announced.

A marker is written before the document fits it, with the call that leads there or with the one
before that. Other programs, such as the peer's sweep, delete markers that do not fit: then a
listing by status would miss the bounty once it gets there. So a moment after each commit that
needs another marker, off the critical path and in batches, it is seen whether that is still there.
A bounty that has moved on by then is looked at where it is now, so that a life that nothing holds
up costs no look on its way. Where it has ended, nothing can make its marker stale any more: it is
written again unseen, with whatever batch is sent next, and so costs no request where one is. What a
process that died could not look at, the reconciler finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.log import logger_of
from nexus_bounty.lifecycle import is_bounty_terminal
from nexus_bounty.models import Bounty
from nexus_bounty.nexus.bounties.status_index import StatusIndex
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.deferred import DeferredWork
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.documents.commits import StrategyChoice
from nexus_bounty.nexus.documents.records import listed, to_bounty

logger = logger_of("nexus_bounty.nexus")


class MarkerWatch(DeferredWork[str]):
    """The markers of bounties that have just moved, by the paths of their documents.

    Only the last move of a bounty counts. With each path goes the marker that it needs.
    """

    def __init__(self, client: NexusClient, index: StatusIndex, choice: StrategyChoice) -> None:
        settings = client.settings
        super().__init__(
            delay=lambda: client.round_trips.life,
            batch=settings.bulk_size,
            timeout=settings.operation_timeout,
        )
        self._client = client
        self._index = index
        self._choice = choice
        client.closes_after(self)

    def look_again(self, document: Document) -> None:
        """See to it soon that this bounty has the marker that was written ahead of its commit."""
        self._owed.pop(document.path, None)  # it has moved on from where it was to be looked at
        bounty = listed(document, to_bounty)
        if bounty is None:
            return
        marker = self._marker_of(bounty, document)
        if is_bounty_terminal(bounty.status):
            self._client.riding.add_markers([marker])
        else:
            self.put({document.path: marker})

    def _needed(self, document: Document) -> str | None:
        bounty = listed(document, to_bounty)
        return None if bounty is None else self._marker_of(bounty, document)

    def _marker_of(self, bounty: Bounty, document: Document) -> str:
        seq = document.history.marker_seq
        return self._index.places.of(bounty.status, bounty.bounty_id, seq, bounty.updated_at)

    async def _do(self, batch: Mapping[str, str], deadline: Deadline) -> None:
        try:
            there = await self._client.exist(list(batch.values()), deadline=deadline)
            gone = [path for path, is_there in zip(batch, there, strict=True) if not is_there]
            await self._restore(gone, batch, deadline)
        except NexusError as error:
            logger.info("markers are left for the reconciler to look at: %s", error)

    async def _restore(
        self, gone: Sequence[str], batch: Mapping[str, str], deadline: Deadline
    ) -> None:
        """Write the markers that are gone although their bounties have not moved on since."""
        if not gone:
            return
        strategy = await self._choice.for_reading(deadline)
        for document in await strategy.reads.read_many(gone, deadline):
            if isinstance(document, Document) and self._needed(document) == batch[document.path]:
                await self._client.write(batch[document.path], b"", deadline=deadline)
                logger.info("another program had removed the marker of %s", document.path)
