"""How a lease ends before its time: when nothing says any more that its agent holds the bounty."""

from __future__ import annotations

from typing import Final

from nexus_bounty.lifecycle import holder_of
from nexus_bounty.models import AgentIdentity, Bounty, BountyStatus, Claim
from nexus_bounty.operations.services import Services, target_of
from nexus_bounty.outcomes import ClaimNotFoundError, ClaimStateError

RELEASE_LEASE: Final = "release_lease"


async def give_up_lease(services: Services, held: Claim) -> bool:
    """End a lease, unless its agent holds the bounty or has renewed it since; whether it was ended.

    While the bounty is open, a claim made with this lease may be under way, or about to be made by
    a repeat of the call that took it. The document is made to say that the lease was given back:
    that keeps out what is based on the document as it stands, and refuses the other.
    """
    bounty_id = held.target_ref.removeprefix(target_of(""))
    bounty = await services.store.get_bounty(bounty_id)
    if bounty is not None and bounty.status is BountyStatus.OPEN:
        resolution = await services.store.resolve_operation(
            bounty_id, services.key(None), giving_back=held.claim_id
        )
        bounty = resolution.bounty
    if bounty is not None and is_held_by(bounty, held.agent):
        return False
    return await end_lease(services, bounty_id, held.claim_id, held.revision)


async def end_lease(
    services: Services, bounty_id: str, claim_id: str, revision: int | None = None
) -> bool:
    """Release a lease that its bounty no longer needs, if it is that `revision`; whether it was."""
    on = target_of(bounty_id)
    try:
        await services.claims.release(claim_id, revision=revision, target_ref=on)
    except (ClaimNotFoundError, ClaimStateError):
        return False  # it has ended, was renewed or moved meanwhile, or was never kept here
    return True


def is_held_by(bounty: Bounty, agent: AgentIdentity) -> bool:
    """Whether it is `agent` who works on it, or has."""
    return holder_of(bounty) == agent.agent_id
