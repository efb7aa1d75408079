"""Settlements under way: past the pivot there is only forward."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.models import Bounty, BountyQuery, BountyStatus
from nexus_bounty.operations.services import Services
from nexus_bounty.operations.settle import finish
from nexus_bounty.reconcile.sweep import Problem, Scope


class PendingSettlements:
    """Settles that died after the pivot."""

    name = "pending settlements"
    status = BountyStatus.PENDING_SETTLEMENT

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every bounty that is still being paid, by nobody."""
        async for bounty in scope.services.store.walk_bounties(BountyQuery(status=self.status)):
            if not scope.is_young(bounty.updated_at):
                yield _problem(scope.services, bounty)


class CompletedNotSettled(PendingSettlements):
    """Bounties that the peer, or a store's user, completed and nobody settled."""

    name = "completed, not settled"
    status = BountyStatus.COMPLETED


def _problem(services: Services, bounty: Bounty) -> Problem:
    async def pay() -> str:
        result = await finish(services, bounty, services.key(None))
        if result.reservation is None:
            return "settled; it holds no credits"
        return f"paid {bounty.amount} to {result.credits_with} and settled"

    return Problem(bounty.bounty_id, f"is {bounty.status.value}", pay)
