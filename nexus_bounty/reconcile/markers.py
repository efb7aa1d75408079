"""Status markers that disagree with the documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from nexus_bounty.models import BountyStatus, IndexFault
from nexus_bounty.operations.services import Services
from nexus_bounty.reconcile.sweep import Problem, Scope

_LEFT_AS_IT_IS = "another program wrote it, or somebody by hand; a person has to decide"


class IndexMarkers:
    """Missing and stale status markers, and documents that nobody can read any more."""

    name = "index markers"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty whose markers disagree with its document, for longer than a moment."""
        services = scope.services
        async for page in services.store.audit_index(scope.state.after):
            for faults in await _for_longer(scope, page.faults):
                yield _problem(services, faults)
            for name, problem in page.unreadable.items():
                yield Problem(name, f"cannot be understood: {problem}", reason=_LEFT_AS_IT_IS)
            if not scope.has_room_after(page.checked, page.after):
                return
        scope.has_seen_all()


async def _for_longer(scope: Scope, faults: Sequence[IndexFault]) -> list[list[IndexFault]]:
    """`faults` by bounty and status, without those of bounties that have only just moved.

    Whoever moved them, such as the peer, is about to see to the markers.
    """
    if not faults:
        return []
    bounties = await scope.services.store.get_bounties([each.bounty_id for each in faults])
    found: dict[tuple[str, BountyStatus], list[IndexFault]] = defaultdict(list)
    for fault in faults:
        bounty = bounties.get(fault.bounty_id)
        if bounty is None or not scope.is_young(bounty.updated_at):
            found[fault.bounty_id, fault.status].append(fault)
    return list(found.values())


def _problem(services: Services, faults: Sequence[IndexFault]) -> Problem:
    async def repair() -> str:
        if left := await services.store.repair_markers(faults):
            raise RuntimeError(f"{left[0].marker} is still there")
        return "markers written and removed as the document says"

    what = f"has a missing or stale {faults[0].status.value} marker"
    return Problem(faults[0].bounty_id, what, repair)
