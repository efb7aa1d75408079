"""Removes markers that nothing needs any more, once what made them so has been committed.

What makes a delete safe that cannot be conditional is said in `status_index`; here it is done, and
where it could not be, it is said to be owed, or left to the reconciler.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nexus_bounty.idempotency import History
from nexus_bounty.models import Bounty
from nexus_bounty.nexus.bounties.creation_order import CreationOrder
from nexus_bounty.nexus.bounties.marker_places import MarkerPlaces
from nexus_bounty.nexus.bounties.status_index import announced_with, is_stale, left_behind
from nexus_bounty.nexus.client import NexusClient
from nexus_bounty.nexus.client.errors import NexusError
from nexus_bounty.nexus.documents import Document
from nexus_bounty.nexus.documents.operation import Operation
from nexus_bounty.nexus.documents.paths import ZonePaths
from nexus_bounty.outcomes import PostCommitError, Proof

REMOVE_STALE_MARKER: Final = "remove_stale_marker"


@dataclass(frozen=True, slots=True)
class MarkerRemoval:
    """Removes the stale markers of one zone, before a mutation returns or `later`.

    Later they are left to `client.cleanup`.
    """

    client: NexusClient
    zone: ZonePaths
    places: MarkerPlaces
    order: CreationOrder
    later: bool = False

    async def after_step(
        self, operation: Operation, before: Bounty, history: History, bounty: Bounty
    ) -> Bounty:
        """Remove the markers that a bounty left behind which was `before`, with that `history`.

        Returns it as it is now.

        Raises:
            PostCommitError: Some of them are still there.
        """
        behind = left_behind(before, bounty, history, self.places)
        behind += self.order.twins(behind, bounty.created_at)
        if self.later:
            self.client.cleanup.add(behind)
            return bounty
        try:
            left = await self.client.delete_many(behind, deadline=operation.deadline)
        except NexusError as error:
            operation.trail.saw("delete", error.path, error.answer)
            left = behind
        if left:
            raise PostCommitError(
                f"bounty {operation.record_id!r} is {bounty.status.value}, and its old status "
                f"marker is still to be removed: {left[0]}",
                bounty=bounty,
                pending=[REMOVE_STALE_MARKER],
                evidence=operation.evidence(Proof.ACKNOWLEDGED),
            ).about(operation.name, operation.record_id, operation.key)
        return bounty

    async def after_repeat(
        self, operation: Operation, bounty: Bounty, existing: Bounty, document: Document
    ) -> None:
        """Remove the markers that announced `bounty`, as far as what exists does not need them."""
        statuses, at = announced_with(bounty.status), bounty.updated_at
        markers = [self.places.of(each, bounty.bounty_id, None, at) for each in statuses]
        stale = [each for each in markers if is_stale(each, existing, document.history, self.zone)]
        # a repeat that gives no time of creation has another one, which nobody will go by
        repeated = existing.created_at != bounty.created_at
        stale += self.order.twins(markers if repeated else stale, bounty.created_at)
        with suppress(NexusError):  # the reconciler repairs it
            await self.client.delete_many(stale, deadline=operation.deadline)

    async def of_nothing(self, operation: Operation, markers: Sequence[str]) -> None:
        """Remove markers of what is not there, now or soon; what is left the reconciler removes."""
        if self.later:
            self.client.cleanup.add(markers)
            return
        with suppress(NexusError):
            await self.client.delete_many(markers, deadline=operation.deadline)
