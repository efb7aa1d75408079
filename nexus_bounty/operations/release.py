"""Release: commit `open` → give the lease back."""

from __future__ import annotations

from typing import Final

from nexus_bounty.idempotency import derived_key
from nexus_bounty.models import AgentIdentity, Bounty
from nexus_bounty.operations.escrow import check_ledger, forget_payee
from nexus_bounty.operations.lease_ends import RELEASE_LEASE, end_lease, has_lease_left, is_held_by
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
)
from nexus_bounty.outcomes import BountyStateError
from nexus_bounty.statuses import STATUSES, Claimer
from nexus_bounty.validation import check_agent, check_id

FORGET_PAYEE: Final = "forget_payee"
RELEASE: Final = Plan("release", decided_by="release", owed_then={RELEASE_LEASE: has_lease_left})


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
    asked_for = {"agentId": agent.agent_id}
    async with operation(services, RELEASE, bounty_id, key, asked_for, actor=actor):
        owed: list[str] = []
        step_key = derived_key(key, "release")
        before, bounty = await _released(services, bounty_id, agent, step_key, owed)
        if not is_held_by(bounty, agent):  # a repeat may find it claimed again
            async with owing(services, RELEASE_LEASE, owed):
                await _end_lease_of(services, before, agent, step_key)
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


async def _released(
    services: Services, bounty_id: str, agent: AgentIdentity, step_key: str, owed: list[str]
) -> tuple[Bounty, Bounty]:
    """The bounty as it was before it was released, and as it is afterwards.

    What is released is the claim that was looked at, so that it is its lease that ends. If the
    agent has claimed it anew meanwhile, that claim is looked at and released.
    """
    before = await known_bounty(services, bounty_id)
    while True:
        await check_ledger(services, before)
        step = services.store.release_bounty(
            bounty_id, agent, claim_id=before.claim_id, idempotency_key=step_key
        )
        try:
            return before, await committed(step, owed)
        except BountyStateError:
            at_work = STATUSES[before.status].claimer is Claimer.AT_WORK
            if not (at_work and is_held_by(before, agent)):
                raise
            looked_at, before = before, await known_bounty(services, bounty_id)
            if before.claim_id in (None, looked_at.claim_id):
                raise


async def _end_lease_of(
    services: Services, before: Bounty, agent: AgentIdentity, step_key: str
) -> None:
    """End the lease that this release gave back, and no other that `agent` has.

    A repeat finds the bounty released, and its history says with which lease. Times do not tell
    that one from another taken since: clocks differ, and the agent's next claim may be under way.
    """
    if is_held_by(before, agent):
        given_back = before.claim_id
    else:
        history = await services.store.get_history(before.bounty_id)
        given_back = next((each.gave_back for each in history if each.key == step_key), None)
    if given_back is not None:
        await end_lease(services, before.bounty_id, given_back)
