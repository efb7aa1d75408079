"""Looks at markers that were written ahead again, after the commits that they announced.

A marker is written before the document fits it, with the call that leads there or with the one
before that. Other programs, such as the peer's sweep, delete markers that do not fit: then a
listing by status would miss the bounty once it gets there. So a moment after each commit that
needs another marker, off the critical path and in batches, it is seen whether that is still there:
once the document's file has followed, and what the bounty left behind has been removed.

What it left behind may be needed again, where a bounty can go back: another process may release it,
or the peer give it back, before the marker that is to be removed is. That delete takes the plain
marker, by which the peer finds the bounty. So a claimed one is read again as well, and where it has
gone on meanwhile, looked at where it is.

A bounty that has moved on by then is looked at where it is now, so that a life that nothing holds
up costs no look on its way. Where it has ended, nothing can make its marker stale any more: it is
written again unseen, with its document's file or after that, in whatever batch is sent next, and so
costs no request where one is. What a process that died could not look at, the reconciler finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nexus_bounty.deadlines import Deadline
from nexus_bounty.events.log import logger_of
from nexus_bounty.lifecycle import goes_back, is_bounty_terminal
from nexus_bounty.models import Bounty, BountyStatus
from nexus_bounty.nexus.bounties.status_index import StatusIndex
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.deferred import DeferredWork
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.documents.commits import StrategyChoice
from nexus_bounty.nexus.documents.records import listed, to_bounty

logger = logger_of("nexus_bounty.nexus")

_AFTER_CLEAN_UPS: Final = 1.5
"""Times as long as what is left behind waits to be removed."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Which markers a bounty needs, and whether it may have gone back from where it is."""

    markers: tuple[str, ...]
    may_go_back: bool


class MarkerWatch(DeferredWork[_Look]):
    """The markers of bounties that have just moved, by the paths of their documents.

    Only the last move of a bounty counts. With each path go the markers that it needs.
    """

    def __init__(self, client: NexusClient, index: StatusIndex, choice: StrategyChoice) -> None:
        settings = client.settings
        super().__init__(
            delay=lambda: _AFTER_CLEAN_UPS * client.round_trips.life,
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
        if is_bounty_terminal(bounty.status):
            markers = self._index.needed(bounty, document)
            self._client.riding.add_markers(markers, after=document.path)
        else:
            self.put({document.path: self._look(bounty, document)})

    def _look(self, bounty: Bounty, document: Document) -> _Look:
        may_go_back = any(goes_back(bounty.status, each) for each in BountyStatus)
        return _Look(self._index.needed(bounty, document), may_go_back)

    async def _do(self, batch: Mapping[str, _Look], deadline: Deadline) -> None:
        try:
            gone = await self._gone(batch, deadline)
            in_doubt = [path for path, look in batch.items() if look.may_go_back or gone[path]]
            for path, now in (await self._looks(in_doubt, deadline)).items():
                if now != batch[path]:
                    self._follow(path, batch[path], now)
                elif missing := gone[path]:
                    await self._client.write_many(dict.fromkeys(missing, b""), deadline=deadline)
                    logger.info("another program had removed markers: %s", missing)
        except NexusError as error:
            logger.info("markers are left for the reconciler to look at: %s", error)

    async def _gone(
        self, batch: Mapping[str, _Look], deadline: Deadline
    ) -> Mapping[str, Sequence[str]]:
        """The markers that are not there, by the paths of the documents that need them."""
        markers = [each for look in batch.values() for each in look.markers]
        there = dict(
            zip(markers, await self._client.exist(markers, deadline=deadline), strict=True)
        )
        return {
            path: [each for each in look.markers if not there[each]] for path, look in batch.items()
        }

    async def _looks(self, paths: Sequence[str], deadline: Deadline) -> Mapping[str, _Look]:
        """What the bounties need that are at `paths`, as far as they can be understood."""
        if not paths:
            return {}
        strategy = await self._choice.for_reading(deadline)
        return {
            document.path: self._look(bounty, document)
            for document in await strategy.reads.read_many(paths, deadline)
            if isinstance(document, Document) and (bounty := listed(document, to_bounty))
        }

    def _follow(self, path: str, was: _Look, now: _Look) -> None:
        """Look where others have moved a bounty to, unless this process has moved it since."""
        owed = self._owed.get(path)
        if owed is not None and owed.item is was:
            self.put({path: now})
