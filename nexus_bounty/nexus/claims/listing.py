"""Claims as they are found: by their ids, by their markers, or all that were ever made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from nexus_bounty.models import Claim, ClaimQuery, ClaimStatus
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
from nexus_bounty.nexus.documents.records import listed, to_claim
from nexus_bounty.partition import Partition
from nexus_bounty.validation import is_name


class ClaimListing:
    """Finds the claims of one zone, and removes those that ended long ago."""

    def __init__(
        self,
        client: NexusClient,
        zone: ZonePaths,
        choice: StrategyChoice,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._zone = zone
        self._choice = choice
        self._clock = clock
        self._names = SharedNames()
        self._no_idle_marker_at: datetime | None = None
        """When a walk through all markers began that met none without an active claim."""

    async def by_ids(
        self, claim_ids: Sequence[str], unreadable: dict[str, str] | None = None
    ) -> dict[str, Claim]:
        """Those of the claims that exist, by their ids; read in bulk.

        `unreadable` gets what is wrong with those that cannot be understood, by their ids.
        """
        asked = {self._zone.claim(each): each for each in claim_ids if is_name(each)}
        found = await self._read(list(asked), unreadable)
        return {asked[path]: claim for path, claim in found.items()}

    async def marked(
        self,
        targets: Partition,
        names_since: float | None = None,
        unreadable: dict[str, str] | None = None,
    ) -> AsyncIterator[Claim]:
        """The claims on the targets with a marker in the index of active ones, ended or not.

        One that another program moved to another target is found by its marker there, not by the
        one that it left. Of a server that lists all names it goes by those that somebody listed at
        `names_since` or later, see `SharedNames`. `unreadable` gets what is wrong with those that
        cannot be understood, by their ids.
        """
        ask = self._ask(names_since)
        settings = self._client.settings
        size, within = settings.bulk_size, settings.listing_timeout
        window = windows.of_targets(self._zone.active_claims, targets)
        began, met_idle_ones = self._clock() - _age(names_since), not targets.is_everything
        async for found in chunks(ask, window.after, size, within, window.until):
            markers = {path for path in window.of_targets(found) if self._is_marker(path)}
            marked = [paths.marked_id(path) for path in sorted(markers)]
            claims = await self.by_ids(marked, unreadable)
            active = [each for each in claims.values() if each.status is ClaimStatus.ACTIVE]
            met_idle_ones |= len(active) < len(markers)
            for claim in claims.values():
                if self._zone.active_claim(claim.target_ref, claim.claim_id) in markers:
                    yield claim
        if not met_idle_ones:
            self._no_idle_marker_at = began

    def _ask(self, names_since: float | None) -> Ask:
        ask = partial(self._client.page, self._zone.active_claims, recursive=True)
        if names_since is None or not self._client.capabilities.lists_whole:
            return ask
        return partial(self._names.page, ask, since=names_since)

    def _is_marker(self, path: str) -> bool:
        """Whether it is one; on 0.10 the directories of the targets are listed, too."""
        return "/" in path.removeprefix(f"{self._zone.active_claims}/")

    async def every(self, unreadable: dict[str, str] | None = None) -> AsyncIterator[Claim]:
        """All claims, holding one page; `unreadable` gets what is wrong with others, by id."""
        settings = self._client.settings
        async for some in chunks(self._page, "", settings.bulk_size, settings.listing_timeout):
            for claim in (await self._read(some, unreadable)).values():
                yield claim

    async def select(
        self, query: ClaimQuery, unreadable: dict[str, str] | None = None
    ) -> list[Claim]:
        """The claims that match, newest first."""
        found = [each async for each in self.every(unreadable) if query.matches(each)]
        found.sort(key=lambda claim: (claim.created_at, claim.claim_id), reverse=True)
        return found[: query.limit]

    async def remove_ended(self, kept_from: datetime, settled_before: datetime) -> int:
        """Delete the claims that ended with their last heartbeat before `kept_from`.

        Only those whose files were not written since `settled_before`, so long ago that no request
        about them can be under way any more. A delete cannot be conditional; but nothing ever
        changes a claim that has ended.
        """
        directory = self._zone.claims
        strategy = await self._choice.for_reading(self._client.deadline())
        await strategy.leftovers.collect(directory, settled_before)  # or they would come back
        await self.remove_idle_markers(settled_before)
        still = await self._settled(settled_before)
        old = []
        async for claim in self.every():
            ended = claim.status is not ClaimStatus.ACTIVE and claim.heartbeat_at < kept_from
            if ended and self._zone.claim(claim.claim_id) in still:
                old.append(self._zone.claim(claim.claim_id))
        left = await self._client.delete_many(old, deadline=self._client.deadline())
        return len(old) - len(left)

    async def remove_idle_markers(self, before: datetime) -> list[str]:
        """Delete the active markers from before that time of claims that are not active.

        A marker is written ahead of its claim, which then may never be made: the lease was
        another's, say. Whoever was refused leaves it, since its claim may yet be made with the same
        key, and a delete that arrived late would hide it. Returns their paths.

        No request is sent where a walk since that time has met none; the markers of claims that
        have ended since are removed by whoever ended them, or the next walk.
        """
        if self._no_idle_marker_at is not None and before <= self._no_idle_marker_at:
            return []
        walk = self._client.walk(
            self._zone.active_claims,
            recursive=True,
            details=True,
            deadline=self._client.deadline(),
        )
        old = [e.path async for e in walk if e.modified is not None and e.modified < before]
        size = self._client.settings.bulk_size
        removed = []
        for begin in range(0, len(old), size):
            removed += await self._remove_idle(old[begin : begin + size])
        return removed

    async def _remove_idle(self, markers: Sequence[str]) -> list[str]:
        """Delete those of the `markers` whose claims are not active; returns their paths."""
        deadline = self._client.deadline()
        claims = {path: self._zone.claim(paths.marked_id(path)) for path in markers}
        reads = (await self._choice.for_reading(deadline)).reads
        found = await reads.read_many(list(dict.fromkeys(claims.values())), deadline)
        needed = {each.path for each in found if _may_be_active(each)}
        idle = [path for path, claim in claims.items() if claim not in needed]
        left = await self._client.delete_many(idle, deadline=deadline)
        return [path for path in idle if path not in left]

    async def _settled(self, before: datetime) -> set[str]:
        """The claims' files that were last written before that time."""
        walk = self._client.walk(self._zone.claims, details=True, deadline=self._client.deadline())
        return {e.path async for e in walk if e.modified is not None and e.modified < before}

    async def _page(self, after: str) -> Page:
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        return await strategy.reads.page(self._zone.claims, after, deadline)

    async def _read(
        self, names: Sequence[str], unreadable: dict[str, str] | None = None
    ) -> dict[str, Claim]:
        deadline = self._client.deadline()
        strategy = await self._choice.for_reading(deadline)
        documents = await strategy.reads.read_many(names, deadline)
        found = ((each.path, listed(each, to_claim, unreadable)) for each in documents)
        return {path: claim for path, claim in found if claim is not None}


def _age(names_since: float | None) -> timedelta:
    """How old names may be that were listed since then; ordinarily they are listed anew."""
    if names_since is None:
        return timedelta()
    return timedelta(seconds=asyncio.get_running_loop().time() - names_since)


def _may_be_active(document: Document | UnreadableDocumentError) -> bool:
    """Whether a claim may hold its target; what cannot be understood may."""
    if isinstance(document, Document) and is_tombstone(document):
        return False
    claim = listed(document, to_claim)
    return claim is None or claim.status is ClaimStatus.ACTIVE
