"""How a lease ends before its time: when nothing says any more that its agent holds the bounty."""

from __future__ import annotations

from typing import Final

from nexus_bounty.idempotency import new_key
from nexus_bounty.lifecycle import holder_of
from nexus_bounty.models import AgentIdentity, Bounty, Claim
from nexus_bounty.operations.services import Services, target_of
from nexus_bounty.outcomes import ClaimNotFoundError, ClaimStateError
from nexus_bounty.statuses import STATUSES, Claimer

RELEASE_LEASE: Final = "release_lease"


async def give_up_lease(services: Services, held: Claim) -> bool:
    """End a lease, unless its agent holds the bounty; whether it was ended.

    While the bounty may still be claimed, a claim made with this lease may be under way, or about
    to be made by a repeat of the call that took it. The document is made to say that the lease was
    given back: that keeps out what is based on the document as it stands, and refuses the other.
    So whoever has renewed the lease meanwhile cannot claim with it either, and it may end.
    """
    bounty_id = held.target_ref.removeprefix(target_of(""))
    bounty = await services.store.get_bounty(bounty_id)
    if bounty is not None and _may_be_claimed(bounty, held.agent):
        resolution = await services.store.resolve_operation(
            bounty_id, new_key(services.random), giving_back=held.claim_id
        )
        bounty = resolution.bounty
    if bounty is not None and is_held_by(bounty, held.agent):
        return False
    return await end_lease(services, bounty_id, held.claim_id)


async def has_lease_left(services: Services, bounty: Bounty) -> bool:
    """Whether there is a lease on a bounty that its document gives to nobody."""
    at_work = STATUSES[bounty.status].claimer is Claimer.AT_WORK
    leases = await services.claims.active_claims(target_of(bounty.bounty_id))
    return any(not (at_work and is_held_by(bounty, each.agent)) for each in leases)


async def end_lease(services: Services, bounty_id: str, claim_id: str) -> bool:
    """Release a lease that its bounty no longer needs; whether it was there to be released."""
    try:
        await services.claims.release(claim_id, target_ref=target_of(bounty_id))
    except (ClaimNotFoundError, ClaimStateError):
        return False  # it has ended, was moved meanwhile, or was never kept here
    return True


def _may_be_claimed(bounty: Bounty, agent: AgentIdentity) -> bool:
    """Whether a claim by `agent` may follow: also of what a lapsed claimer still holds."""
    claimer = STATUSES[bounty.status].claimer
    return claimer in (Claimer.NONE, Claimer.AT_WORK) and not is_held_by(bounty, agent)


def is_held_by(bounty: Bounty, agent: AgentIdentity) -> bool:
    """Whether it is `agent` who works on it, or has."""
    return holder_of(bounty) == agent.agent_id
