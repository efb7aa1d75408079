"""Status markers that disagree with the documents."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.models import IndexStatus
from nexus_bounty.reconcile.sweep import Problem, Scope


class IndexMarkers:
    """Missing and stale status markers."""

    name = "index markers"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty whose markers disagree with its document, for longer than a moment."""
        store = scope.services.store
        for status in await store.list_index_statuses():
            for bounty_id in _disagreeing(status):
                bounty = await store.get_bounty(bounty_id)
                if bounty is not None and scope.is_young(bounty.updated_at):
                    continue  # whoever has just moved it, such as the peer, is about to

                async def repair(bounty_id: str = bounty_id) -> str:
                    await store.repair_index(bounty_id)
                    return "markers written and removed as the document says"

                what = f"has a missing or stale {status.status.value} marker"
                yield Problem(bounty_id, what, repair)


def _disagreeing(status: IndexStatus) -> list[str]:
    return sorted({*status.missing, *status.stale})
