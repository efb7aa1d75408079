"""Orphan claims: leases without their bounty, and claimed bounties without their lease."""

from __future__ import annotations

from collections.abc import AsyncIterator

from nexus_bounty.lifecycle import PAST_THE_PIVOT
from nexus_bounty.models import Bounty, BountyQuery, BountyStatus, Claim
from nexus_bounty.operations.claim import end_lease
from nexus_bounty.operations.services import Services, committed, target_of
from nexus_bounty.reconcile.sweep import Problem, Scope

_PREFIX = target_of("")


class OrphanClaims:
    """Active leases on bounties whose document does not give them to their holder."""

    name = "orphan claims"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every active lease that its bounty's document rules out."""
        for claim in await scope.services.claims.active_claims():
            if scope.is_young(claim.heartbeat_at) or not claim.target_ref.startswith(_PREFIX):
                continue
            bounty_id = claim.target_ref.removeprefix(_PREFIX)
            bounty = await scope.services.store.get_bounty(bounty_id)
            if bounty and not scope.is_young(bounty.updated_at) and not _belongs(claim, bounty):
                yield _problem(scope.services, claim, bounty)


class AbandonedBounties:
    """Claimed bounties whose claimer let the lease run out: others may have them."""

    name = "abandoned bounties"

    async def find(self, scope: Scope) -> AsyncIterator[Problem]:
        """Every claimed bounty whose lease has ended for longer than the grace period."""
        services = scope.services
        claimed = BountyQuery(status=BountyStatus.CLAIMED)
        async for bounty in services.store.walk_bounties(claimed):
            if bounty.claim_id is None or scope.is_young(bounty.updated_at):
                continue
            claim = await services.claims.get(bounty.claim_id)
            over = claim is not None and not claim.holds(scope.now - scope.grace)
            if claim is not None and over and bounty.deadline > scope.now:
                yield _abandoned(services, bounty, claim)


def _belongs(claim: Claim, bounty: Bounty) -> bool:
    holder = bounty.claimed_by.agent_id if bounty.claimed_by else None
    holding = bounty.status is BountyStatus.CLAIMED or bounty.status in PAST_THE_PIVOT
    ended = bounty.status is BountyStatus.SETTLED
    return holding and not ended and holder == claim.agent.agent_id


def _problem(services: Services, claim: Claim, bounty: Bounty) -> Problem:
    async def end() -> str:
        if bounty.status is BountyStatus.SETTLED and claim.claim_id == bounty.claim_id:
            await services.claims.complete(claim.claim_id)
            return "completed"
        await end_lease(services, claim.claim_id)
        return "released"

    holder = f" by {bounty.claimed_by.agent_id!r}" if bounty.claimed_by else ""
    what = f"holds bounty {bounty.bounty_id!r}, which is {bounty.status.value}{holder}"
    return Problem(claim.claim_id, what, end)


def _abandoned(services: Services, bounty: Bounty, claim: Claim) -> Problem:
    async def reopen() -> str:
        if bounty.claimed_by is not None:
            await committed(services.store.release_bounty(bounty.bounty_id, bounty.claimed_by), [])
        return "released for others to claim"

    until = claim.lease_expires_at.isoformat()
    what = f"is claimed by {claim.agent.agent_id!r}, whose lease ended at {until}"
    return Problem(bounty.bounty_id, what, reopen)
