"""Release: commit `open` → give the lease back."""

from __future__ import annotations

from typing import Final

from nexus_bounty.idempotency import derived_key
from nexus_bounty.models import AgentIdentity, Bounty
from nexus_bounty.operations.escrow import check_ledger, forget_payee
from nexus_bounty.operations.lease_ends import RELEASE_LEASE, end_lease, is_held_by
from nexus_bounty.operations.policy import check_actor
from nexus_bounty.operations.results import OperationResult
from nexus_bounty.operations.services import (
    Plan,
    Services,
    committed,
    credits_with,
    known_bounty,
    operation,
    owing,
    target_of,
)
from nexus_bounty.statuses import STATUSES, Claimer
from nexus_bounty.validation import check_agent, check_id

FORGET_PAYEE: Final = "forget_payee"
RELEASE: Final = Plan("release", decided_by="release", owed_then=(RELEASE_LEASE,))


async def release(
    services: Services,
    bounty_id: str,
    agent: AgentIdentity,
    idempotency_key: str | None,
    actor: str | None = None,
) -> OperationResult:
    """Give a claimed bounty back; see `BountyOperations.release`."""
    check_id("bounty_id", bounty_id)
    check_agent("agent", agent)
    check_actor(actor, "release", agent.agent_id, bounty_id)
    key = services.key(idempotency_key)
    async with operation(services, RELEASE, bounty_id, key, {"agentId": agent.agent_id}):
        owed: list[str] = []
        before = await known_bounty(services, bounty_id)
        await check_ledger(services, before)
        step = services.store.release_bounty(
            bounty_id, agent, idempotency_key=derived_key(key, "release")
        )
        bounty = await committed(step, owed)
        if not is_held_by(bounty, agent):  # a repeat may find it claimed again
            async with owing(services, RELEASE_LEASE, owed):
                await _end_lease_of(services, before, agent)
            if STATUSES[bounty.status].claimer is Claimer.NONE:  # nor moved on otherwise
                async with owing(services, FORGET_PAYEE, owed):
                    await forget_payee(services, bounty)
    return OperationResult(
        operation="release",
        idempotency_key=key,
        bounty=bounty,
        done=("commit_open", *(each for each in (RELEASE_LEASE, FORGET_PAYEE) if each not in owed)),
        owed=owed,
        credits_with=credits_with(bounty),
    )


async def _end_lease_of(services: Services, before: Bounty, agent: AgentIdentity) -> None:
    """End the lease that `agent` had on a bounty, and none taken since.

    A repeat finds the bounty released: then it is one that was not taken or renewed since.
    """
    if is_held_by(before, agent):
        ids = [before.claim_id] if before.claim_id else []
    else:
        active = await services.claims.active_claims(target_of(before.bounty_id))
        ids = [
            each.claim_id
            for each in active
            if each.agent.agent_id == agent.agent_id and each.heartbeat_at <= before.updated_at
        ]
    for each in ids:
        await end_lease(services, each)
