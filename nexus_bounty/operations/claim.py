"""Claim: take the lease → commit `claimed`. Renew: extend the lease.

The lease is given back only when the commit provably did not happen *and* the document says that
the agent does not hold the bounty.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Final

import msgspec

from nexus_bounty.events.tracking import level_triggered
from nexus_bounty.idempotency import derived_key
from nexus_bounty.lifecycle import holder_of
from nexus_bounty.models import AgentIdentity, Bounty, BountyStatus, Claim, composed
from nexus_bounty.operations.ahead import begun_ahead
from nexus_bounty.operations.claim_replay import CLAIM, claim_result, replayed
from nexus_bounty.operations.escrow import check_ledger
from nexus_bounty.operations.lease_ends import end_lease, is_held_by
from nexus_bounty.operations.lease_taking import (
    checked_lease,
    cut_at_deadline,
    give_lease_back,
    keeps_others_off,
    lease_id,
    take_lease,
)
from nexus_bounty.operations.policy import check_actor
from nexus_bounty.operations.results import OperationResult
from nexus_bounty.operations.services import (
    Plan,
    Services,
    before_commit,
    check_payee,
    committed,
    credits_with,
    has_landed,
    known_bounty,
    operation,
    remembered_bounty,
    target_of,
)
from nexus_bounty.outcomes import (
    BountyStateError,
    ClaimStateError,
    Evidence,
    IdempotencyMismatchError,
    Outcome,
    PreCommitError,
    Proof,
)
from nexus_bounty.ports import WorksAhead
from nexus_bounty.statuses import STATUSES, Claimer
from nexus_bounty.together import both
from nexus_bounty.validation import check_agent, check_id

RENEW: Final = Plan("renew", decided_by="renew", owed_then={})


async def claim(
    services: Services,
    bounty_id: str,
    agent: AgentIdentity,
    lease: timedelta | None,
    idempotency_key: str | None,
    actor: str | None = None,
) -> OperationResult:
    """Claim a bounty, or renew one's claim; see `BountyOperations.claim`."""
    check_id("bounty_id", bounty_id)
    check_agent("agent", agent)
    check_payee("agent", agent)
    check_actor(actor, "claim", agent.agent_id, bounty_id)
    lease = checked_lease(services, lease)
    key = services.key(idempotency_key)
    asked_for = {"agentId": agent.agent_id}
    async with operation(services, CLAIM, bounty_id, key, asked_for, actor=actor):
        bounty = await _looked_at(services, bounty_id, agent, key)
        if landed := await replayed(services, bounty, agent, lease, key):
            return landed
        await _check_claimable(services, bounty, agent, key)
        await check_ledger(services, bounty)
        return await _take_lease_and_commit(services, bounty, agent, lease, key)


async def _take_lease_and_commit(
    services: Services, bounty: Bounty, agent: AgentIdentity, lease: timedelta, key: str
) -> OperationResult:
    owed: list[str] = []
    commit_key = derived_key(key, "claim")
    held = await _leased(services, bounty, agent, lease, key)
    if not is_held_by(bounty, agent) and keeps_others_off(services, bounty, held):
        await _free(services, bounty, key)
    if held.claim_id != lease_id(key):  # the agent had a lease before
        if await has_landed(services, bounty.bounty_id, commit_key):
            return claim_result(await known_bounty(services, bounty.bounty_id), held, key, owed)
        held = await _without_one_to_be_ended(services, bounty, agent, lease, key, held)
    if not keeps_others_off(services, bounty, held):
        await _check_committed(services, bounty.bounty_id, commit_key, held)
    try:
        step = services.store.claim_bounty(
            bounty.bounty_id, agent, held.claim_id, once=True, idempotency_key=commit_key
        )
        bounty = await committed(step, owed)
    except PreCommitError as refusal:
        await give_lease_back(services, held, key, refusal)
        raise
    except IdempotencyMismatchError as mismatch:  # made since the bounty was last looked at
        await give_lease_back(services, held, key, mismatch)
        bounty = await known_bounty(services, bounty.bounty_id)
        landed = await replayed(services, bounty, agent, lease, key)
        if landed is None:
            raise
        return landed
    return claim_result(bounty, held, key, owed)


async def _leased(
    services: Services, bounty: Bounty, agent: AgentIdentity, lease: timedelta, key: str
) -> Claim:
    """The lease, taken while the store begins what follows if the bounty is free."""
    taking = take_lease(services, bounty, agent, lease, key, "lease")
    store = services.store
    if bounty.status is not BountyStatus.OPEN or not isinstance(store, WorksAhead):
        return await taking
    claim_id, commit_key = lease_id(key), derived_key(key, "claim")
    preparing = store.prepare_claim(
        bounty.bounty_id, agent, claim_id, once=True, idempotency_key=commit_key
    )
    held, _ = await both(taking, begun_ahead(preparing))
    return held


async def _without_one_to_be_ended(
    services: Services,
    bounty: Bounty,
    agent: AgentIdentity,
    lease: timedelta,
    key: str,
    renewed: Claim,
) -> Claim:
    """The lease that the agent had, renewed, or a new one if the bounty was released with it.

    Whoever released it has yet to end that lease, and would end it with ours.
    """
    if not await _was_released_with(services, renewed):
        return renewed
    standing = await known_bounty(services, bounty.bounty_id)
    if standing.claim_id == renewed.claim_id:
        return renewed  # it was to be given back, and its agent was faster
    await end_lease(services, bounty.bounty_id, renewed.claim_id)
    return await take_lease(services, bounty, agent, lease, key, "lease-anew")


async def _was_released_with(services: Services, claim: Claim) -> bool:
    """Whether the bounty was released with this very lease."""
    bounty_id = claim.target_ref.removeprefix(target_of(""))
    history = await before_commit(services.store.get_history(bounty_id), "the history")
    return any(each.gave_back == claim.claim_id for each in history)


async def _free(services: Services, bounty: Bounty, key: str) -> None:
    """Release a bounty whose holder let the lease run out; it is ours now, so that stays so."""
    if bounty.claimed_by is None or STATUSES[bounty.status].claimer is not Claimer.AT_WORK:
        return
    step = services.store.release_bounty(
        bounty.bounty_id,
        bounty.claimed_by,
        claim_id=bounty.claim_id,
        idempotency_key=derived_key(key, "free"),
    )
    with suppress(BountyStateError):  # somebody was faster: the claim itself says how it stands
        await committed(step, [])


async def _is_abandoned(services: Services, bounty: Bounty) -> bool:
    """Whether whoever holds the bounty has let the lease run out, or moved it to something else."""
    if STATUSES[bounty.status].claimer is not Claimer.AT_WORK or bounty.claim_id is None:
        return False
    held = await before_commit(services.claims.get(bounty.claim_id), "the claim")
    if held is None:
        return False
    return not keeps_others_off(services, bounty, held)


async def _looked_at(services: Services, bounty_id: str, agent: AgentIdentity, key: str) -> Bounty:
    """The bounty: as it was seen before will do, unless that would refuse `agent`."""
    remembered = await remembered_bounty(services, bounty_id)
    if remembered is not None and not _objection(services, remembered, agent, lease_id(key)):
        return remembered
    return await known_bounty(services, bounty_id)


async def _check_claimable(
    services: Services, bounty: Bounty, agent: AgentIdentity, key: str
) -> None:
    """See that `agent` may claim the bounty.

    Raises:
        BountyStateError: It may not (pre-commit).
    """
    objection = _objection(services, bounty, agent, lease_id(key))
    if objection and await _is_abandoned(services, bounty):
        objection = _objection(services, _as_if_open(bounty), agent, lease_id(key))
    if objection:
        raise _refusal(bounty, objection)


def _as_if_open(bounty: Bounty) -> Bounty:
    return msgspec.structs.replace(bounty, status=BountyStatus.OPEN, claimed_by=None, claim_id=None)


def _objection(
    services: Services, bounty: Bounty, agent: AgentIdentity, claim_id: str
) -> str | None:
    if bounty.claim_id == claim_id:
        return None  # it is this very operation that claimed it
    if bounty.status is not BountyStatus.OPEN and not is_held_by(bounty, agent):
        holder = holder_of(bounty)
        return f"is {bounty.status.value}{f' by {holder!r}' if holder else ''}"
    if bounty.deadline <= services.clock():
        return f"is past its deadline {bounty.deadline.isoformat()}"
    is_own = composed(bounty.creator.agent_id) == composed(agent.agent_id)
    if is_own and not services.allow_self_claims:
        return f"was created by {agent.agent_id!r}, who cannot be paid from it"
    return None


async def _check_committed(
    services: Services, bounty_id: str, commit_key: str, held: Claim
) -> None:
    """Go on with a lease that is over, or was moved, only if the claim was committed before.

    Raises:
        ClaimStateError: It was not, and is fenced off now (pre-commit).
    """
    resolution = await services.store.resolve_operation(bounty_id, commit_key)
    if resolution.outcome is not Outcome.COMMITTED:
        moved = held.target_ref != target_of(bounty_id)
        became = f"is on {held.target_ref!r} by now" if moved else f"is {held.status.value}"
        raise ClaimStateError(
            f"the lease taken with this key {became}; claim with a new key",
            evidence=resolution.evidence,
        )


async def renew(
    services: Services,
    bounty_id: str,
    agent: AgentIdentity,
    lease: timedelta | None,
    actor: str | None = None,
) -> OperationResult:
    """Extend the lease on a claimed bounty; see `BountyOperations.renew`."""
    check_id("bounty_id", bounty_id)
    check_agent("agent", agent)
    check_actor(actor, "renew", agent.agent_id, bounty_id)
    lease = checked_lease(services, lease)
    key = services.key(None)
    with level_triggered():  # whoever does not know renews it again
        async with operation(services, RENEW, bounty_id, key):
            bounty = await known_bounty(services, bounty_id)
            _check_holder(bounty, agent)
            await check_ledger(services, bounty)
            held = await _extended(services, bounty, cut_at_deadline(services, bounty, lease))
    return OperationResult(
        operation="renew",
        idempotency_key=key,
        bounty=bounty,
        done=("extend_lease",),
        claim=held,
        credits_with=credits_with(bounty),
    )


async def _extended(services: Services, bounty: Bounty, lease: timedelta) -> Claim:
    """The lease that the bounty names, extended.

    Raises:
        BountyStateError: Another program has moved it to something else (pre-commit).
        ClaimStateError: It has ended (pre-commit).
    """
    claim_id, on = bounty.claim_id or "", target_of(bounty.bounty_id)
    try:
        return await services.claims.heartbeat(claim_id, lease=lease, target_ref=on)
    except ClaimStateError:
        held = await before_commit(services.claims.get(claim_id), "the claim")
        if held is None or held.target_ref == on:
            raise
        raise _refusal(bounty, f"names a lease that is on {held.target_ref!r} by now") from None


def _check_holder(bounty: Bounty, agent: AgentIdentity) -> None:
    if not is_held_by(bounty, agent):
        raise _refusal(bounty, f"is not claimed by {agent.agent_id!r}")


def _refusal(bounty: Bounty, why: str) -> BountyStateError:
    """What refuses an operation because of what the bounty's document says."""
    return BountyStateError(
        f"bounty {bounty.bounty_id!r} {why}",
        current_status=bounty.status.value,
        evidence=Evidence(proof=Proof.DOCUMENT),
    )
