"""What becomes of a claim, as pure functions from what is stored to what shall be stored.

Each returns the claim to write, returns its argument itself where nothing is to change, or
refuses.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from nexus_bounty.models import AgentIdentity, Claim, ClaimStatus
from nexus_bounty.outcomes import (
    ClaimConflictError,
    ClaimNotFoundError,
    ClaimStateError,
    Evidence,
    IdempotencyMismatchError,
    Observation,
    Proof,
)
from nexus_bounty.validation import (
    check_agent,
    check_context,
    check_duration,
    check_id,
    check_segment,
    check_string,
)


class LeaseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller of `claim_or_renew` asks for."""

    target_ref: str
    agent: AgentIdentity
    claim_id: str
    lease: timedelta
    intent_summary: str = ""
    context: dict[str, Any] | None = None
    renews: bool = True
    """Whether a claim that the agent has on the target already is renewed; else it conflicts."""


def wished(
    target_ref: str,
    agent: AgentIdentity,
    claim_id: str,
    lease: timedelta,
    intent_summary: str,
    context: dict[str, Any] | None,
) -> LeaseRequest:
    """What is asked for, checked.

    Raises:
        InvalidInputError: An argument is wrong (pre-commit).
    """
    check_agent("agent", agent)
    check_id("claim_id", claim_id)
    check_duration("lease", lease)
    check_string("intent_summary", intent_summary)
    check_context("context", context)
    return LeaseRequest(
        target_ref=check_segment("target_ref", target_ref),
        agent=agent,
        claim_id=claim_id,
        lease=lease,
        intent_summary=intent_summary,
        context=context,
    )


def taken(
    request: LeaseRequest, holder: Claim | None, namesake: Claim | None, now: datetime
) -> Claim:
    """The claim that `request` leads to: a renewal of the agent's own, or a new one.

    `holder` is the claim that holds the target at `now`, `namesake` the claim that has the wished
    id already, if there is one.

    Raises:
        ClaimConflictError: Another agent holds the target (pre-commit).
        ClaimStateError: The id belongs to a claim that has ended (pre-commit).
        IdempotencyMismatchError: The id belongs to another agent's or target's claim.
    """
    _check_namesake(request, namesake)
    if holder is not None and not may_renew(request, holder):
        raise _held(request.target_ref, holder, now)
    if holder is not None:
        return renewed(holder, request.lease, now, request.intent_summary)
    if namesake is not None:
        raise _ended(namesake, now)
    return _new(request, now)


def may_renew(request: LeaseRequest, holder: Claim) -> bool:
    """Whether `request` may extend the claim that holds its target."""
    return request.renews and holder.agent.agent_id == request.agent.agent_id


def renewed(
    claim: Claim,
    lease: timedelta,
    now: datetime,
    intent_summary: str = "",
    target_ref: str | None = None,
) -> Claim:
    """`claim` with its lease reaching to `lease` from `now`; as `completed`, with a `target_ref`.

    Raises:
        ClaimStateError: It does not hold its target any more, or was moved (pre-commit).
    """
    _check_target(claim, now, target_ref)
    if not claim.holds(now):
        raise _ended(claim, now)
    return msgspec.structs.replace(
        claim,
        heartbeat_at=now,
        lease_expires_at=now + lease,
        intent_summary=intent_summary or claim.intent_summary,
        revision=claim.revision + 1,
    )


def released(
    claim: Claim, now: datetime, revision: int | None = None, target_ref: str | None = None
) -> Claim:
    """`claim` given back; one whose lease has run out is back already.

    With a `revision`, only if it is still the one that the caller saw; with a `target_ref`, only
    if that is what it is on.

    Raises:
        ClaimStateError: It was completed, renewed meanwhile, or moved (pre-commit).
    """
    _check_target(claim, now, target_ref)
    if claim.status is ClaimStatus.COMPLETED:
        raise _ended(claim, now)
    if not claim.holds(now):
        return expired(claim)
    if revision not in (None, claim.revision):
        message = f"claim {claim.claim_id} was renewed meanwhile, to revision {claim.revision}"
        raise ClaimStateError(message, evidence=_seen(claim, now))
    return _in(claim, ClaimStatus.RELEASED)


def completed(claim: Claim, now: datetime, target_ref: str | None = None) -> Claim:
    """`claim` ended because its work is done; with a `target_ref`, only if that is what it is on.

    Raises:
        ClaimStateError: It was released or moved, or its lease has run out (pre-commit).
    """
    _check_target(claim, now, target_ref)
    if claim.status is ClaimStatus.COMPLETED:
        return claim
    if not claim.holds(now):
        raise _ended(claim, now)
    return _in(claim, ClaimStatus.COMPLETED)


def is_stalled(claim: Claim, now: datetime, stalled_for: timedelta) -> bool:
    """Whether a claim holds its target at `now`, its agent not heard of for so long."""
    return claim.holds(now) and now - claim.heartbeat_at > stalled_for


def is_over(claim: Claim, now: datetime, stalled_for: timedelta | None) -> bool:
    """Whether a claim keeps others off no longer: its lease has run out, or it has stalled."""
    stalled = stalled_for is not None and is_stalled(claim, now, stalled_for)
    return stalled or not claim.holds(now)


def expired(claim: Claim) -> Claim:
    """A claim whose lease has run out, marked as such if nothing else ended it."""
    return _in(claim, ClaimStatus.EXPIRED) if claim.status is ClaimStatus.ACTIVE else claim


def known(claim: Claim | None, claim_id: str) -> Claim:
    """`claim`, which must be there.

    Raises:
        ClaimNotFoundError: It is not (pre-commit).
    """
    if claim is not None:
        return claim
    seen = Observation(action="read", target=claim_id, answer="no such claim")
    evidence = Evidence(proof=Proof.DOCUMENT, observations=(seen,))
    raise ClaimNotFoundError(f"there is no claim {claim_id}", evidence=evidence)


def _new(request: LeaseRequest, now: datetime) -> Claim:
    return Claim(
        claim_id=request.claim_id,
        target_ref=request.target_ref,
        agent=request.agent,
        intent_summary=request.intent_summary,
        heartbeat_at=now,
        lease_expires_at=now + request.lease,
        created_at=now,
        context=request.context,
    )


def _in(claim: Claim, status: ClaimStatus) -> Claim:
    return msgspec.structs.replace(claim, status=status, revision=claim.revision + 1)


def _check_namesake(request: LeaseRequest, namesake: Claim | None) -> None:
    if namesake is None:
        return
    asked = (request.target_ref, request.agent.agent_id)
    if asked != (namesake.target_ref, namesake.agent.agent_id):
        owner = f"{namesake.agent.agent_id}'s claim on {namesake.target_ref}"
        raise IdempotencyMismatchError(f"{request.claim_id} is {owner}")


def _check_target(claim: Claim, now: datetime, target_ref: str | None) -> None:
    """See that a claim is on what its caller thinks: a peer moves live ones to other targets."""
    if target_ref not in (None, claim.target_ref):
        message = f"claim {claim.claim_id} is on {claim.target_ref!r}, not on {target_ref!r}"
        raise ClaimStateError(message, evidence=_seen(claim, now))


def _held(target_ref: str, holder: Claim, now: datetime) -> ClaimConflictError:
    return ClaimConflictError(
        f"{target_ref} has the active claim {holder.claim_id} of {holder.agent.agent_id}",
        claim_id=holder.claim_id,
        holder=holder.agent.agent_id,
        held_until=holder.lease_expires_at,
        evidence=_seen(holder, now),
    )


def _ended(claim: Claim, now: datetime) -> ClaimStateError:
    state = _state(claim, now)
    return ClaimStateError(f"claim {claim.claim_id} is {state}", evidence=_seen(claim, now))


def _seen(claim: Claim, now: datetime) -> Evidence:
    seen = Observation(action="read", target=claim.claim_id, answer=_state(claim, now))
    return Evidence(proof=Proof.DOCUMENT, observations=(seen,))


def _state(claim: Claim, now: datetime) -> str:
    if claim.status is not ClaimStatus.ACTIVE:
        return claim.status.value
    until = claim.lease_expires_at.isoformat()
    return f"active until {until}" if claim.holds(now) else f"expired since {until}"
