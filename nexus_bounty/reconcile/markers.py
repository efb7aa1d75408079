"""Status markers that disagree with the documents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from nexus_bounty.models import BountyStatus, IndexFault
from nexus_bounty.operations.services import Services
from nexus_bounty.reconcile.sweep import UNTRUSTED, Problem, Scope

_LEFT_AS_IT_IS = "another program wrote it, or somebody by hand; a person has to decide"


class IndexMarkers:
    """Missing and stale status markers, and documents that nobody can read, or has signed."""

    name = "index markers"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty whose markers disagree with its document."""
        services = scope.services
        async for page in services.store.audit_index(scope.state.after, partition=scope.partition):
            async for problem in _disagreeing(services, page.faults):
                yield problem
            for name, why in page.unreadable.items():
                yield Problem(name, f"cannot be understood: {why}", reason=_LEFT_AS_IT_IS)
            for name, why in page.untrusted.items():
                yield Problem(name, "is not to be trusted", reason=UNTRUSTED.format(why))
            if not scope.has_room_after(page.checked, page.after):
                return
        scope.has_seen_all()


async def _disagreeing(services: Services, faults: Sequence[IndexFault]) -> AsyncIterator[Problem]:
    """`faults` by bounty and status; whoever just moved or buried one is about to see to them."""
    bounties = await services.store.get_bounties([each.bounty_id for each in faults])
    found: dict[tuple[str, BountyStatus], list[IndexFault]] = defaultdict(list)
    for fault in faults:
        found[fault.bounty_id, fault.status].append(fault)
    for (bounty_id, _), together in found.items():
        bounty = bounties.get(bounty_id)
        touched = bounty.updated_at if bounty else together[0].touched_at
        yield _problem(services, together, touched)


def _problem(services: Services, faults: Sequence[IndexFault], touched: datetime | None) -> Problem:
    async def repair() -> str:
        if left := await services.store.repair_markers(faults):
            raise RuntimeError(f"{left[0].marker} is still there")
        return "markers written and removed as the document says"

    what = f"has a missing or stale {faults[0].status.value} marker"
    return Problem(faults[0].bounty_id, what, repair, touched=touched)
